"""MIME bodies written by hand, streaming (RFC 2045 6.7 and 6.8, RFC 2046 5.1).

email.message would hold the whole mail in memory several times over; here about 60 kB of it is in flight.
"""

from __future__ import annotations

import binascii
import os
import struct
from collections.abc import Iterable, Iterator

_LINE = 57  # octets that make a base64 line of 76 characters
_LINES = 1024
_BLOCK = _LINE * _LINES
_HIGH = bytes(range(127, 256))
_SPLIT = struct.Struct("76s" * _LINES)


def iter_base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the base64 of a byte stream in lines of 76 with CRLF (RFC 2045 6.8), whatever the chunks' sizes."""
    waiting: list[bytes] = []
    have = 0
    for chunk in chunks:
        waiting.append(chunk)
        have += len(chunk)
        if have >= _BLOCK:
            data = b"".join(waiting) if len(waiting) > 1 else waiting[0]
            view = memoryview(data)
            position = 0
            while have - position >= _BLOCK:
                encoded = binascii.b2a_base64(view[position : position + _BLOCK], newline=False)
                yield b"\r\n".join(_SPLIT.unpack(encoded)) + b"\r\n"
                position += _BLOCK
            waiting = [data[position:]]
            have -= position
    encoded = binascii.b2a_base64(b"".join(waiting), newline=False)
    if encoded:
        yield b"\r\n".join([encoded[at : at + 76] for at in range(0, len(encoded), 76)]) + b"\r\n"


def read_chunks(stream: object, size: int = 1 << 18) -> Iterator[bytes]:
    """Yield a binary stream's octets in chunks."""
    read = stream.read  # type: ignore[attr-defined]
    while chunk := read(size):
        yield chunk


def new_boundary() -> bytes:
    """Return a boundary that no content can hold: `=_` is in neither base64 nor quoted-printable (RFC 2045 6.7)."""
    return b"=_" + binascii.hexlify(os.urandom(16))


def encode_text(text: str, subtype: str, charset: str = "utf-8", extra: bytes = b"") -> bytes:
    """Return a complete text part: its MIME fields (and `extra` ones), a blank line and the body ending in CRLF.

    Plain ASCII with short lines goes as 7bit, mostly Latin text as quoted-printable, the rest as base64.
    """
    octets = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace")
    if not octets.endswith(b"\n"):
        octets += b"\n"
    if octets.isascii() and not any(len(line) > 900 for line in octets.split(b"\n")) and b"\0" not in octets:
        # `From ` and lone dots are the transport's business (RFC 5321 4.5.2).
        encoding, body = b"7bit", octets.replace(b"\n", b"\r\n")
    else:
        foreign = len(octets) - len(octets.translate(None, _HIGH))
        if foreign * 6 <= len(octets):
            encoding = b"quoted-printable"
            body = binascii.b2a_qp(octets, istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        else:
            encoding, body = b"base64", b"".join(iter_base64([octets.replace(b"\n", b"\r\n")]))
    head = b'Content-Type: text/%s; charset="%s"\r\nContent-Transfer-Encoding: %s\r\n' % (
        subtype.encode("ascii"),
        charset.encode("ascii"),
        encoding,
    )
    return head + extra + b"\r\n" + body


def encode_multipart(kind: str, parts: Iterable[bytes], parameters: str = "") -> bytes:
    """Return a complete multipart entity from complete parts."""
    boundary = new_boundary()
    pieces = [b'Content-Type: multipart/%s; boundary="%s"%s\r\n' % (kind.encode(), boundary, parameters.encode())]
    for part in parts:
        # The line end before a delimiter is the delimiter's (RFC 2046 5.1.1).
        pieces += (b"\r\n--", boundary, b"\r\n", part)
    pieces += (b"\r\n--", boundary, b"--\r\n")
    return b"".join(pieces)
