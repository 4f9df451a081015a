"""Header fields as octets with offsets (RFC 5322 2.2). Unknown, broken and repeated fields are kept as they are.

Must not decode, reorder or repair anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.core.errors import MessageError
from relay.message.limits import ParseLimits

# RFC 5322 2.2: a name of printable octets without the colon; 4.5 allows white space before the colon. A continuation
# begins with white space (2.2.3). One possessive-looking run per line keeps this linear.
_FIELD = re.compile(rb"([!-9;-~]*)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_MBOX_LINE = re.compile(rb">?From [^\n]*\n")
_LINE_END = re.compile(rb"\r?\n[ \t]?")


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One field: its name as written, all its octets with the line end, and where it stands in the message."""

    name: str
    raw: bytes
    offset: int

    @property
    def value(self) -> bytes:
        """The octets behind the colon, unfolded (RFC 5322 2.2.3) and stripped."""
        behind = self.raw[self.raw.index(b":") + 1 :]
        if b"\n" in behind:
            # Only the line end goes; the white space of the fold stays as one space.
            behind = _LINE_END.sub(b" ", behind)
        return behind.strip(b" \t\r\n")


class HeaderFields:
    """The fields of one header in order, found by name without regard to case."""

    __slots__ = ("_fields", "_index")

    def __init__(self, fields: tuple[HeaderField, ...] = ()) -> None:
        self._fields = fields
        index: dict[str, list[HeaderField]] = {}
        for field in fields:
            index.setdefault(field.name.lower(), []).append(field)
        self._index = index

    def __iter__(self) -> Iterator[HeaderField]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    @property
    def names(self) -> tuple[str, ...]:
        """The names that occur, lower case, in order of first appearance."""
        return tuple(self._index)

    def get(self, name: str) -> bytes | None:
        """Return the value of the first field of that name, or None."""
        found = self._index.get(name.lower())
        return found[0].value if found else None

    def get_all(self, name: str) -> tuple[HeaderField, ...]:
        """Return all fields of that name."""
        return tuple(self._index.get(name.lower(), ()))


def find_header_end(data: bytes, start: int = 0, most: int = 1 << 30) -> tuple[int, int]:
    """Return (end of the last field, begin of the body) of the header in `data`, or (-1, -1) without a blank line.

    A blank line is an empty one, CRLF or LF; `start` is where the header begins, `most` how many octets to look at.
    """
    if data.startswith(b"\r\n", start):
        return start, start + 2
    if data.startswith(b"\n", start):
        return start, start + 1
    stop = min(len(data), start + most)
    crlf = data.find(b"\n\r\n", start, stop)
    bare = data.find(b"\n\n", start, crlf + 1 if crlf >= 0 else stop)
    if bare >= 0:
        return bare + 1, bare + 2
    if crlf >= 0:
        return crlf + 1, crlf + 3
    return -1, -1


def parse_fields(header: bytes, limits: ParseLimits, offset: int = 0) -> tuple[HeaderFields, int]:
    """Split a header block (no blank line in it) into fields; return them and how many octets of `header` they fill.

    The first line that is neither a field nor a continuation ends the header, as if a blank line stood before it.
    `offset` is where `header` stands in the message. Raises MessageError over `limits.header_fields`.
    """
    fields: list[HeaderField] = []
    position = 0
    mbox = _MBOX_LINE.match(header)
    if mbox:
        # A Unix envelope line at the very top is no field (RFC 4155); it is skipped like Postfix does.
        position = mbox.end()
    match = _FIELD.match
    size = len(header)
    most = limits.header_fields
    while position < size:
        found = match(header, position)
        if found is None:
            break
        if len(fields) >= most:
            raise MessageError(f"header has more than {most} fields")
        end = found.end()
        fields.append(HeaderField(found[1].decode("ascii"), header[position:end], offset + position))
        position = end
    return HeaderFields(tuple(fields)), position
