"""winmail.dat (TNEF, MS-OXTNEF): the files and the body that Outlook packed in. Bounded, one pass, streams the files.

Written from the published format; no maintained permissive library exists. What it cannot read stays an ordinary
attachment: the caller then hands out winmail.dat itself, so nothing is lost. Compressed RTF bodies are not converted.
Must not raise for content and must not read more than the limits below into memory.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from relay.message.charsets import decode_text
from relay.message.content import MessageAttachment, clean_name

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SIGNATURE = 0x223E9F78  # MS-OXTNEF 2.1.3.1
_MOST_ATTRIBUTES = 5_000
_MOST_FILES = 200
_MOST_SMALL = 4 << 20
"""Octets of one attribute that is read into memory (a body or a property list without its big values)."""
_MOST_PROPERTIES = 2_000

# Attribute ids with their type word, MS-OXTNEF 2.1.3.4.
_ATT_BODY = 0x0002800C
_ATT_MAPI_PROPS = 0x00069003
_ATT_ATTACH_RENDERING = 0x00069002
_ATT_ATTACH_TITLE = 0x00018010
_ATT_ATTACH_DATA = 0x0006800F
_ATT_ATTACHMENT = 0x00069005
_ATT_OEM_CODEPAGE = 0x00069007

# MAPI property ids, MS-OXPROPS.
_PR_BODY = 0x1000
_PR_BODY_HTML = 0x1013
_PR_ATTACH_FILENAME = 0x3704
_PR_ATTACH_LONG_FILENAME = 0x3707
_PR_ATTACH_MIME_TAG = 0x370E
_PR_RTF_COMPRESSED = 0x1009

_FIXED_SIZES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}
_VARIABLE = frozenset({13, 30, 31, 258})


@dataclass(frozen=True, slots=True)
class TnefContent:
    """What a winmail.dat holds."""

    attachments: tuple[MessageAttachment, ...]
    body_text: str | None
    body_html: str | None
    has_unread_body: bool
    """There is a body, but only as compressed RTF; whoever shows no other text must hand out winmail.dat too."""


class _BadTnefError(Exception):
    """Not TNEF, or broken. Stays inside this module."""


@dataclass(slots=True)
class _File:
    title: str = ""
    long_name: str = ""
    media_type: str = ""
    data_start: int = -1
    data_size: int = 0


@dataclass(slots=True)
class _Reading:
    codepage: str = "cp1252"
    files: list[_File] = field(default_factory=list)
    text: str | None = None
    html: str | None = None
    has_rtf: bool = False


class _Cursor:
    """Forward reading with a position; seeks by reading away."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.position = 0

    def take(self, count: int) -> bytes:
        octets = self._stream.read(count)
        if len(octets) != count:
            raise _BadTnefError
        self.position += count
        return octets

    def skip(self, count: int) -> None:
        while count > 0:
            octets = self._stream.read(min(count, 1 << 18))
            if not octets:
                raise _BadTnefError
            self.position += len(octets)
            count -= len(octets)


def _read_attributes(cursor: _Cursor) -> Iterator[tuple[int, int]]:
    """Yield (attribute id, length) with the cursor at the data; the caller takes or skips exactly that length."""
    if struct.unpack("<I", cursor.take(4))[0] != _SIGNATURE:
        raise _BadTnefError
    cursor.take(2)  # the legacy key
    for _ in range(_MOST_ATTRIBUTES):
        level = cursor._stream.read(1)
        if not level:
            return
        cursor.position += 1
        if level not in (b"\x01", b"\x02"):
            raise _BadTnefError
        attribute, length = struct.unpack("<II", cursor.take(8))
        begin = cursor.position
        yield attribute, length
        cursor.skip(begin + length - cursor.position)
        cursor.take(2)  # checksum: the files are worth more than a wrong sum
    raise _BadTnefError


def _read_properties(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (property id, type, value) of a property list (MS-OXTNEF 2.1.3.3)."""
    view = memoryview(data)
    position = 0

    def take(count: int) -> memoryview:
        nonlocal position
        if count < 0 or position + count > len(view):
            raise _BadTnefError
        piece = view[position : position + count]
        position += count
        return piece

    def number() -> int:
        return int.from_bytes(take(4), "little")

    for _ in range(min(number(), _MOST_PROPERTIES)):
        kind = int.from_bytes(take(2), "little")
        ident = int.from_bytes(take(2), "little")
        if ident >= 0x8000:
            take(16)
            if number():
                size = number()
                take(size + -size % 4)
            else:
                number()
        is_multiple = bool(kind & 0x1000)
        base = kind & 0x0FFF
        if base in _FIXED_SIZES:
            for _value in range(number() if is_multiple else 1):
                take(_FIXED_SIZES[base])
        elif base in _VARIABLE:
            for _value in range(number()):
                size = number()
                value = take(size)
                take(-size % 4)
                yield ident, base, bytes(value)
        elif base not in (0, 1):
            raise _BadTnefError


def _text_of(kind: int, value: bytes, codepage: str) -> str:
    text = decode_text(value, "utf-16-le") if kind == 31 else decode_text(value, codepage)
    return text.split("\0", 1)[0]


def _take_message_property(reading: _Reading, ident: int, kind: int, value: bytes) -> None:
    if ident == _PR_RTF_COMPRESSED:
        reading.has_rtf = bool(value)
    elif ident == _PR_BODY and kind in (30, 31):
        reading.text = _text_of(kind, value, reading.codepage) or reading.text
    elif ident == _PR_BODY_HTML:
        reading.html = (_text_of(kind, value, "utf-8") if kind in (30, 31) else decode_text(value)) or None


def _take_file_property(file: _File, ident: int, kind: int, value: bytes, codepage: str) -> None:
    if kind not in (30, 31):
        return
    if ident == _PR_ATTACH_LONG_FILENAME or (ident == _PR_ATTACH_FILENAME and not file.long_name):
        file.long_name = _text_of(kind, value, codepage)
    elif ident == _PR_ATTACH_MIME_TAG:
        file.media_type = _text_of(kind, value, codepage).strip().lower()


def _take_file_attribute(reading: _Reading, cursor: _Cursor, attribute: int, length: int) -> None:
    if attribute == _ATT_ATTACH_RENDERING:
        if len(reading.files) >= _MOST_FILES:
            raise _BadTnefError
        reading.files.append(_File())
    elif not reading.files:
        return
    elif attribute == _ATT_ATTACH_DATA:
        reading.files[-1].data_start, reading.files[-1].data_size = cursor.position, length
    elif attribute == _ATT_ATTACH_TITLE and length <= 4096:
        reading.files[-1].title = _text_of(30, cursor.take(length), reading.codepage)
    elif attribute == _ATT_ATTACHMENT and length <= _MOST_SMALL:
        for ident, kind, value in _read_properties(cursor.take(length)):
            _take_file_property(reading.files[-1], ident, kind, value, reading.codepage)


def _read(stream: BinaryIO) -> _Reading:
    cursor = _Cursor(stream)
    reading = _Reading()
    for attribute, length in _read_attributes(cursor):
        if attribute == _ATT_OEM_CODEPAGE and 4 <= length <= 8:
            reading.codepage = f"cp{int.from_bytes(cursor.take(length)[:4], 'little')}"
        elif attribute == _ATT_BODY and length <= _MOST_SMALL:
            reading.text = _text_of(30, cursor.take(length), reading.codepage) or None
        elif attribute == _ATT_MAPI_PROPS and length <= _MOST_SMALL:
            for ident, kind, value in _read_properties(cursor.take(length)):
                _take_message_property(reading, ident, kind, value)
        else:
            _take_file_attribute(reading, cursor, attribute, length)
    return reading


class _Slice(io.RawIOBase):
    """`size` octets of a forward stream, from `start`."""

    def __init__(self, stream: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._stream = stream
        self._skip = start
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while self._skip:
            gone = len(self._stream.read(min(self._skip, 1 << 18)))
            if not gone:
                return 0
            self._skip -= gone
        target = memoryview(buffer).cast("B")
        octets = self._stream.read(min(len(target), self._left))
        target[: len(octets)] = octets
        self._left -= len(octets)
        return len(octets)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _open_slice(open_stream: Callable[[], BinaryIO], start: int, size: int) -> BinaryIO:
    return io.BufferedReader(_Slice(open_stream(), start, size), 1 << 18)


def read_tnef(open_stream: Callable[[], BinaryIO]) -> TnefContent | None:
    """Return what the TNEF stream holds, or None when it is not TNEF, broken, or has objects that this cannot unpack.

    `open_stream` gives the decoded winmail.dat anew each time.
    """
    try:
        with open_stream() as stream:
            reading = _read(stream)
    except (_BadTnefError, struct.error):
        return None
    if any(file.data_start < 0 for file in reading.files):
        return None  # an embedded message or OLE object: better the whole winmail.dat than a file lost
    if not reading.files and not reading.text and not reading.html:
        return None
    text = reading.text.replace("\r\n", "\n").replace("\r", "\n") if reading.text else None
    return TnefContent(
        tuple(_make_attachment(open_stream, file, number) for number, file in enumerate(reading.files, 1)),
        text,
        reading.html,
        reading.has_rtf and not text and not reading.html,
    )


def _make_attachment(open_stream: Callable[[], BinaryIO], file: _File, number: int) -> MessageAttachment:
    is_type = file.media_type.count("/") == 1 and file.media_type.isascii() and file.media_type.isprintable()
    return MessageAttachment(
        name=clean_name(file.long_name or file.title) or f"attachment-{number}.bin",
        media_type=file.media_type if is_type and " " not in file.media_type else "application/octet-stream",
        open=lambda: _open_slice(open_stream, file.data_start, file.data_size),
        estimated_size=file.data_size,
        size=file.data_size,
    )
