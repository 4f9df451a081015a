"""Parse a stored message into something that can be asked questions, without holding it in memory.

Reads RFC 5322 with the MIME of RFC 2045-2049, 2183, 2231, 6532, tolerant as mail clients are. Decides nothing, changes
nothing, writes nothing. Must not log what it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import BinaryIO

from relay.core.ports import ContentSource
from relay.message.arrange import Arrangement, arrange_parts
from relay.message.charsets import language_of_charset
from relay.message.content import ContentReader, MessageAttachment, MessageImage
from relay.message.header_view import HeaderView, find_language_tag
from relay.message.kinds import (
    find_smime_kind,
    has_invitation,
    is_openpgp_encrypted_text,
    is_openpgp_signed_text,
    is_report,
    is_tnef,
)
from relay.message.limits import ParseLimits
from relay.message.structure import Part, walk_structure
from relay.message.tnef import TnefContent, read_tnef

__all__ = ["MessageAttachment", "MessageImage", "ParsedMessage", "parse_message", "parse_source"]

_PEEK_OCTETS = 4096
_ARMOUR_OCTETS = 64 * 1024


class ParsedMessage(HeaderView):
    """A message's structure and header. Texts are decoded on demand and never trusted.

    Reads its stream when asked; use it from one thread.
    """

    def __init__(
        self,
        stream: BinaryIO,
        root: Part,
        size: int,
        limits: ParseLimits,
        reopen: Callable[[], BinaryIO] | None = None,
    ) -> None:
        super().__init__(root.fields)
        self.root = root
        """The tree of parts."""
        self.size = size
        """Octets of the whole message."""
        self.body_offset = root.body_start
        """Offset of the first body octet."""
        self._limits = limits
        self._stream = stream
        self._reader = ContentReader(stream, limits, reopen)

    def close(self) -> None:
        """Close the stream beneath; for a message that `parse_source` opened. Files opened by then stay open."""
        self._stream.close()

    @cached_property
    def _arrangement(self) -> Arrangement:
        return arrange_parts(self.root, self._limits)

    @cached_property
    def _leaves(self) -> tuple[Part, ...]:
        return tuple(part for part in self.root.walk() if not part.is_multipart)

    @cached_property
    def _shown(self) -> tuple[Part, ...]:
        return tuple(part for segment in self._arrangement.segments for part in segment.plain + segment.rich)

    @cached_property
    def _armour(self) -> str:
        """The begin of the plain text, where inline OpenPGP armour would stand."""
        return self._reader.read_plain(self._arrangement, _ARMOUR_OCTETS) or ""

    @cached_property
    def _smime(self) -> str:
        return find_smime_kind(self.root, lambda part: self._reader.read_part(part, _PEEK_OCTETS))

    @cached_property
    def _tnefs(self) -> dict[int, TnefContent]:
        """What winmail.dat parts hold, by the part's offset; parts that cannot be read are not in it."""
        found: dict[int, TnefContent] = {}
        for part in self._arrangement.files:
            if is_tnef(part):
                content = read_tnef(lambda part=part: self._reader.open_part(part))  # type: ignore[misc]
                if content is not None:
                    found[part.body_start] = content
        return found

    # --- more of the header -------------------------------------------------------------------------------------------
    @property
    def content_language(self) -> str | None:
        """First tag of Content-Language (RFC 3282), of the message or of its shown part."""
        for fields in (self.fields, *(part.fields for part in self._shown)):
            tag = find_language_tag(fields.get("Content-Language"))
            if tag:
                return tag
        return None

    @property
    def charset(self) -> str | None:
        """The charset label of the first shown text part, lower case; a hint at its language."""
        label = next((part.charset for part in self._shown if part.charset), None)
        return label.lower() if label else None

    @property
    def language_hint(self) -> str | None:
        """BCP 47 tag for drawing the body: Content-Language, else what the charset implies (Han unification)."""
        return self.content_language or language_of_charset(self.charset)

    # --- what it is ---------------------------------------------------------------------------------------------------
    @property
    def is_mdn(self) -> bool:
        """Tell whether it is a message disposition notification (RFC 8098 3)."""
        return is_report(self.root, "disposition-notification")

    @property
    def is_dsn(self) -> bool:
        """Tell whether it is a delivery status notification (RFC 3464 2)."""
        return is_report(self.root, "delivery-status")

    @property
    def is_invitation(self) -> bool:
        """Tell whether it carries a text/calendar part with a method (RFC 6047 2.4)."""
        return has_invitation(self._leaves, lambda part: self._reader.read_part(part, _PEEK_OCTETS))

    @property
    def is_encrypted_smime(self) -> bool:
        """Tell whether it is EnvelopedData or AuthEnvelopedData (RFC 8551 3.3, 3.4)."""
        return self._smime == "encrypted"

    @property
    def is_encrypted_openpgp(self) -> bool:
        """Tell whether it is OpenPGP encrypted, PGP/MIME (RFC 3156 4) or inline armour."""
        return self.root.media_type == "multipart/encrypted" or is_openpgp_encrypted_text(self._armour)

    @property
    def is_encrypted(self) -> bool:
        """Tell whether it is encrypted by S/MIME or OpenPGP."""
        return self.is_encrypted_smime or self.is_encrypted_openpgp

    @property
    def is_signed(self) -> bool:
        """Tell whether it is signed: multipart/signed, opaque S/MIME or an inline OpenPGP signature."""
        if self.root.media_type == "multipart/signed" or self._smime == "signed":
            return True
        return is_openpgp_signed_text(self._armour)

    # --- what it says -------------------------------------------------------------------------------------------------
    @cached_property
    def _has_own_text(self) -> bool:
        """Whether the MIME parts show any text; if not, a winmail.dat may hold it."""
        return self._arrangement.has_html or bool((self._reader.read_plain(self._arrangement) or "").strip())

    @cached_property
    def _html(self) -> str | None:
        if self._has_own_text:
            return self._reader.read_html(self._arrangement)
        return next((content.body_html for content in self._tnefs.values() if content.body_html), None)

    @cached_property
    def _image_parts(self) -> list[tuple[str, Part]]:
        return self._reader.find_images(self._arrangement, self._html)

    def body_text(self, whole: bool = False) -> str | None:
        """Return the plain text shown, all text parts in order, LF line ends; None when no part is plain text.

        `whole` lifts the limit on length.
        """
        shown = self._reader.read_plain(self._arrangement, self.size if whole else None)
        if self._has_own_text:
            return shown
        return next((content.body_text for content in self._tnefs.values() if content.body_text), shown)

    def body_html(self) -> str | None:
        """Return the HTML shown, all shown parts in order, NOT sanitised; None when no part is HTML."""
        return self._html

    def inline_images(self) -> tuple[MessageImage, ...]:
        """Return the pictures that the HTML body names, anywhere, within the limits. Reads them into memory.

        Whoever shows the body has to hand out those that it does not show: they are no attachments.
        """
        return tuple(
            self._reader.read_image(content_id, part, number)
            for number, (content_id, part) in enumerate(self._image_parts, 1)
        )

    def attachments(self) -> tuple[MessageAttachment, ...]:
        """Return everything that is not shown, in mail order. Detached signatures are left out.

        A picture that the body names (inline_images) is left out too, unless the sender marked it as attachment as
        well; a winmail.dat that can be read (TNEF) is replaced by the files in it.
        """
        inline = {part.body_start for _, part in self._image_parts if not part.is_attachment}
        found: list[MessageAttachment] = []
        for part in self._arrangement.files:
            content = self._tnefs.get(part.body_start)
            if content is not None:
                found += content.attachments
                if content.has_unread_body and not self._has_own_text:
                    found.append(self._reader.make_attachment(part, len(found) + 1))
            elif part.body_start not in inline:
                found.append(self._reader.make_attachment(part, len(found) + 1))
        return tuple(found)


def parse_message(
    stream: BinaryIO, limits: ParseLimits | None = None, reopen: Callable[[], BinaryIO] | None = None
) -> ParsedMessage:
    """Parse a seekable stream from its first octet. Memory stays flat; the stream must outlive the result.

    `reopen` gives an independent stream for each attachment that is opened; without it all share `stream` and must be
    read from one thread. Raises MessageError when a limit is exceeded; broken MIME is read as well as it goes.
    """
    limits = limits or ParseLimits()
    root, size = walk_structure(stream, limits)
    return ParsedMessage(stream, root, size, limits, reopen)


def parse_source(source: ContentSource, limits: ParseLimits | None = None) -> ParsedMessage:
    """Parse stored content; every attachment opens a stream of its own. Raises MessageError like parse_message."""
    return parse_message(source.open(), limits, source.open)
