"""How much of a message the parser is willing to look at. Beyond it: MessageError, never a crash and never a guess."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds of one parse. The defaults let every real mail seen so far through and stop the bombs."""

    depth: int = 30
    """Multiparts inside each other."""
    parts: int = 2_000
    """Parts of the whole message."""
    header_octets: int = 1 << 20
    """Octets of the message's own header."""
    part_header_octets: int = 128 << 10
    """Octets of one part's header."""
    header_fields: int = 5_000
    """Fields of one header."""
    text_octets: int = 2 << 20
    """Octets, still encoded, of one text part that are shown; a longer part is also offered whole as an attachment."""
    shown_parts: int = 200
    """Text parts that are shown one after the other; the rest are offered as attachments."""
    image_octets: int = 8 << 20
    """Octets, still encoded, of one inline picture; a larger one is an attachment."""
    images_octets: int = 24 << 20
    """Octets, still encoded, of all inline pictures together."""
