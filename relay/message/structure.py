"""The tree of MIME parts with their offsets, found in one pass over the message (RFC 2046 5.1).

Searches for delimiter lines in big blocks and decodes nothing. Tolerant: missing close delimiters, missing blank lines,
bare LF, a multipart without any delimiter (then it is text). Nested messages (message/rfc822) are leaves.
Time is linear in the message's size; depth, parts and headers are bounded and raise MessageError beyond.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from relay.core.errors import MessageError
from relay.message.fields import HeaderFields, find_header_end, parse_fields
from relay.message.limits import ParseLimits
from relay.message.parameters import StructuredValue, parse_content_type, parse_disposition
from relay.message.words import decode_words

_BLOCK = 1 << 20
_LONGEST_BOUNDARY = 256
"""RFC 2046 5.1.1 says 70; some clients write more."""
_DELIMITER_ROOM = _LONGEST_BOUNDARY + 256
"""Octets that a delimiter line may take with its trailing white space."""
_MOST_MISSES = 100_000
"""Lines that begin like a delimiter and are none. No real mail has more than a handful; each costs a closer look."""


@dataclass(slots=True)
class Part:
    """One entity: a leaf or a multipart. Offsets count octets of the whole message."""

    fields: HeaderFields
    header_start: int
    body_start: int
    body_end: int
    media_type: str
    """Lower case; `text/plain` where the header says nothing usable (RFC 2045 5.2)."""
    parameters: dict[str, str]
    disposition: StructuredValue | None
    encoding: str
    """Content-Transfer-Encoding, lower case, empty when absent."""
    children: list[Part] = field(default_factory=list)

    @property
    def is_multipart(self) -> bool:
        """Tell whether it has parts of its own."""
        return bool(self.children)

    @property
    def encoded_size(self) -> int:
        """Octets of the body as transferred."""
        return max(0, self.body_end - self.body_start)

    @property
    def filename(self) -> str:
        """The decoded file name, or the empty string (RFC 2183 2.3, RFC 2045 name as second choice)."""
        name = self.disposition.parameters.get("filename", "") if self.disposition else ""
        return (name or self.parameters.get("name", "")).strip()

    @property
    def is_attachment(self) -> bool:
        """Tell whether the header says `attachment`; unknown dispositions count as that (RFC 2183 2.8)."""
        return self.disposition is not None and self.disposition.value != "inline"

    @property
    def content_id(self) -> str:
        """The Content-ID without angle brackets, or the empty string (RFC 2045 7)."""
        value = self.fields.get("Content-ID")
        return decode_words(value).strip().strip("<>") if value else ""

    @property
    def charset(self) -> str | None:
        """The charset label, if any."""
        return self.parameters.get("charset")

    def walk(self) -> Iterator[Part]:
        """Yield this part and all below it in mail order."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.children))


@dataclass(frozen=True, slots=True)
class _Delimiter:
    level: int
    content_end: int
    """Where the part before it ends: the line end before the delimiter belongs to the delimiter (RFC 2046 5.1.1)."""
    line_end: int
    is_close: bool


class _Window:
    """A moving view of the stream, so that small messages are read once and large ones in blocks."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.base = 0
        self.data = b""
        self.at_end = False

    def ensure(self, position: int, room: int) -> None:
        """Make [position, position + room) visible as far as the message goes. Only moves forward."""
        end = self.base + len(self.data)
        if self.at_end or position + room <= end:
            return
        keep = self.data[position - self.base :] if position < end else b""
        self._stream.seek(position + len(keep))
        pieces = [keep]
        missing = max(room - len(keep), 1) + _BLOCK
        while missing > 0:
            block = self._stream.read(missing)
            if not block:
                self.at_end = True
                break
            pieces.append(block)
            missing -= len(block)
        self.data = b"".join(pieces)
        self.base = position

    @property
    def end(self) -> int:
        """Offset behind the last visible octet."""
        return self.base + len(self.data)


@dataclass(slots=True)
class _Open:
    part: Part
    boundary: bytes


class _Walker:
    def __init__(self, stream: BinaryIO, limits: ParseLimits) -> None:
        self._window = _Window(stream)
        self._limits = limits
        self._stack: list[_Open] = []
        self._prefixes: tuple[bytes, ...] = ()
        self._parts = 0
        self._misses = 0

    def walk(self) -> tuple[Part, int]:
        root = self._read_part(0, "text/plain", is_root=True)
        leaf: Part | None = self._enter(root, root)
        position = root.body_start
        while self._stack:
            found = self._find_delimiter(position)
            if found is None:
                break
            if leaf is not None:
                self._close_leaf(leaf, found)
                leaf = None
            while len(self._stack) > found.level + (0 if found.is_close else 1):
                closed = self._stack.pop().part
                # An empty last part ends behind the line end that the delimiter claims for itself.
                last = closed.children[-1].body_end if closed.children else closed.body_start
                closed.body_end = max(last, found.content_end)
            self._prefixes = tuple(entry.boundary for entry in self._stack)
            position = found.line_end
            if not found.is_close:
                parent = self._stack[-1].part
                kind = "message/rfc822" if parent.media_type == "multipart/digest" else "text/plain"
                child = self._read_part(position, kind)
                parent.children.append(child)
                leaf = self._enter(child, child)
                position = child.body_start
        size = self._size()
        for entry in self._stack:
            entry.part.body_end = size
        if leaf is not None:
            leaf.body_end = size
        return root, size

    def _close_leaf(self, leaf: Part, found: _Delimiter) -> None:
        leaf.body_end = max(leaf.body_start, found.content_end)
        if leaf.header_start == leaf.body_start and found.content_end < leaf.body_start:
            # Two delimiters one after the other: no part stands between them.
            self._stack[-1].part.children.pop()

    def _size(self) -> int:
        window = self._window
        while not window.at_end:
            window.ensure(window.end, 1)
        return window.end

    def _enter(self, part: Part, leaf: Part) -> Part | None:
        """Open a multipart, or return the leaf whose end is still to be found."""
        boundary = part.parameters.get("boundary", "") if part.media_type.startswith("multipart/") else ""
        raw = boundary.rstrip().encode("utf-8", "replace")
        if not raw or len(raw) > _LONGEST_BOUNDARY or b"\n" in raw:
            return leaf
        if len(self._stack) >= self._limits.depth:
            raise MessageError(f"message is nested deeper than {self._limits.depth} multiparts")
        self._stack.append(_Open(part, raw))
        self._prefixes = tuple(entry.boundary for entry in self._stack)
        return None

    def _find_delimiter(self, position: int) -> _Delimiter | None:
        """Find the next delimiter line of any open multipart at or behind `position`, which is a line's begin."""
        window = self._window
        # The line end before the first delimiter is the header's own.
        start = max(0, position - 1)
        while True:
            # More room than the overlap below, so that every turn reads on.
            window.ensure(start, _DELIMITER_ROOM + 8)
            data, base = window.data, window.base
            last = len(data) if window.at_end else len(data) - _DELIMITER_ROOM
            prefixes = self._prefixes
            hit = data.find(b"\n--", start - base, last)
            while hit >= 0:
                if data.startswith(prefixes, hit + 3):
                    self._count_miss()
                    found = self._read_delimiter(hit)
                    if found is not None:
                        return found
                hit = data.find(b"\n--", hit + 1, last)
            if window.at_end:
                return None
            # Two octets of overlap: the mark may straddle the border.
            start = base + last - 2

    def _read_delimiter(self, hit: int) -> _Delimiter | None:
        window = self._window
        data = window.data
        begin = hit + 3
        line_end = data.find(b"\n", begin, begin + _DELIMITER_ROOM)
        if line_end < 0:
            if not (window.at_end and begin + _DELIMITER_ROOM >= len(data)):
                return None
            line_end = len(data)
            behind = line_end
        else:
            behind = line_end + 1
        line = data[begin:line_end].rstrip(b" \t\r")
        level, is_close = self._match_boundary(line)
        if level < 0:
            return None
        content_end = hit - 1 if hit > 0 and data[hit - 1 : hit] == b"\r" else hit
        return _Delimiter(level, window.base + content_end, window.base + behind, is_close)

    def _match_boundary(self, line: bytes) -> tuple[int, bool]:
        # The innermost wins where broken clients use one boundary twice.
        closed = line[:-2].rstrip(b" \t") if line.endswith(b"--") else None
        for level in range(len(self._stack) - 1, -1, -1):
            boundary = self._stack[level].boundary
            if line == boundary:
                return level, False
            if closed is not None and closed == boundary:
                return level, True
        return -1, False

    def _read_part(self, start: int, default_type: str, *, is_root: bool = False) -> Part:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise MessageError(f"message has more than {self._limits.parts} parts")
        fields, body_start = self._read_header(start, is_root=is_root)
        content_type = parse_content_type(fields.get("Content-Type"))
        if content_type is None:
            content_type = StructuredValue(default_type if "Content-Type" not in fields else "text/plain", {})
        encoding = fields.get("Content-Transfer-Encoding") or b""
        return Part(
            fields=fields,
            header_start=start,
            body_start=body_start,
            body_end=body_start,
            media_type=content_type.value,
            parameters=content_type.parameters,
            disposition=parse_disposition(fields.get("Content-Disposition")),
            # `base64; x=y` and `base64 (comment)` are seen; the first word counts.
            encoding=(encoding.split(b";")[0].split() or [b""])[0].decode("latin-1").lower(),
        )

    def _read_header(self, start: int, *, is_root: bool) -> tuple[HeaderFields, int]:
        window = self._window
        most = self._limits.header_octets if is_root else self._limits.part_header_octets
        room = 4 * 1024
        while True:
            window.ensure(start, room)
            data, base = window.data, window.base
            fields_end, body_start = find_header_end(data, start - base, most + 2)
            seen = len(data) - (start - base)
            if fields_end >= 0 or window.at_end or seen > most:
                break
            room = min(most + 2, max(seen, room) * 2)
        is_cut_off = fields_end < 0 and seen > most
        if fields_end < 0:
            fields_end = body_start = min(len(data), start - base + most + 1)
        block = data[start - base : fields_end]
        if not is_root and self._prefixes:
            # A part that ends before its blank line: the delimiter is no header line.
            cut = self._find_delimiter_in_header(block)
            if cut >= 0:
                block = block[:cut]
                body_start = start - base + cut
                is_cut_off = False
        fields, used = parse_fields(block, self._limits, start)
        if used < len(block):
            # A line that is no field: the body begins there, the blank line was forgotten.
            body_start = start - base + used
        elif is_cut_off:
            raise MessageError(f"header is larger than {most} octets")
        return fields, base + body_start

    def _find_delimiter_in_header(self, block: bytes) -> int:
        """Return where a delimiter line begins in a header without blank line, or -1."""
        begin = 0 if block.startswith(b"--") else block.find(b"\n--") + 1
        while begin or block.startswith(b"--"):
            if block.startswith(self._prefixes, begin + 2):
                self._count_miss()
                end = block.find(b"\n", begin, begin + _DELIMITER_ROOM)
                line = block[begin + 2 : end if end >= 0 else begin + _DELIMITER_ROOM]
                if self._match_boundary(line.rstrip(b" \t\r"))[0] >= 0:
                    return begin
            following = block.find(b"\n--", begin)
            if following < 0:
                break
            begin = following + 1
        return -1

    def _count_miss(self) -> None:
        self._misses += 1
        if self._misses > _MOST_MISSES:
            raise MessageError(f"message has more than {_MOST_MISSES} lines that look like boundaries")


def walk_structure(stream: BinaryIO, limits: ParseLimits) -> tuple[Part, int]:
    """Return the root part and the message's size in octets. Reads the seekable stream once, front to back.

    Raises MessageError when a limit is exceeded.
    """
    root, size = _Walker(stream, limits).walk()
    for part in root.walk():
        if not part.children and part.media_type.startswith("multipart/"):
            # No delimiter was ever found: what stands there is text (RFC 2046 5.1.1 leaves it open).
            part.media_type = "text/plain"
            part.encoding = part.encoding if part.encoding in ("base64", "quoted-printable") else ""
    return root, size
