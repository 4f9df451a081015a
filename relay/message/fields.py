"""Header fields as octets with offsets (RFC 5322 2.2). Unknown, broken and repeated fields are kept as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relay.message.limits import ParseLimits


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One field: its name as written, all its octets with the line end, and where it stands in the message."""

    name: str
    raw: bytes
    offset: int

    @property
    def value(self) -> bytes:
        """The octets behind the colon, unfolded and stripped."""
        raise NotImplementedError


class HeaderFields:
    """The fields of one header in order, found by name without regard to case."""

    def __init__(self, fields: tuple[HeaderField, ...]) -> None:
        self._fields = fields

    def __iter__(self) -> Iterator[HeaderField]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def get(self, name: str) -> bytes | None:
        """Return the value of the first field of that name, or None."""
        raise NotImplementedError

    def get_all(self, name: str) -> tuple[HeaderField, ...]:
        """Return all fields of that name."""
        raise NotImplementedError


def parse_fields(header: bytes, limits: ParseLimits, offset: int = 0) -> tuple[HeaderFields, int]:
    """Split a header block into fields; return them and how many octets of `header` they fill.

    The first line that is neither a field nor a continuation ends the header, as if a blank line stood before it.
    Raises MessageError over `limits.header_fields`.
    """
    raise NotImplementedError
