"""Streams over a part of a message: a range of octets, decoded on the fly (RFC 2045 6).

Reads forward in big blocks, holds about one block, never the whole part. Broken base64 and quoted-printable give what
can be had; nothing here raises for content. Unknown encodings are handed on as they are (RFC 2045 6.4).
"""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 256 * 1024
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_PADDING = re.compile(rb"=+")
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})
_LINE_FOR_QP = 64 * 1024


class Decoder:
    """Turns encoded blocks into decoded ones; `finish` gives what is left. This one changes nothing."""

    def feed(self, block: bytes) -> bytes:
        """Return what can be decoded so far."""
        return block

    def finish(self) -> bytes:
        """Return the rest."""
        return b""


class Base64Decoder(Decoder):
    """RFC 2045 6.8, foreign octets ignored, padding in the middle ends one run and begins the next."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        """Return the whole quads so far."""
        if not self._rest and b"=" not in block:
            # Everyday blocks end at a quad's end or need a few octets held back; binascii skips the line ends itself.
            cut = block.rfind(b"\n") + 1
            if cut:
                try:
                    decoded = binascii.a2b_base64(memoryview(block)[:cut])
                except binascii.Error:
                    pass
                else:
                    self._rest = block[cut:].translate(None, _NOT_BASE64)
                    return decoded
        clean = self._rest + block.translate(None, _NOT_BASE64)
        if b"=" not in clean:
            return self._decode_quads(clean)
        *runs, clean = _PADDING.split(clean)
        decoded = b"".join([_decode_run(run) for run in runs])
        return decoded + self._decode_quads(clean)

    def _decode_quads(self, clean: bytes) -> bytes:
        cut = len(clean) // 4 * 4
        self._rest = clean[cut:]
        return binascii.a2b_base64(clean[:cut])

    def finish(self) -> bytes:
        """Return the octets of an unpadded end."""
        rest, self._rest = self._rest, b""
        return _decode_run(rest)


def _decode_run(run: bytes) -> bytes:
    if len(run) % 4 == 1:
        run = run[:-1]  # six bits are no octet
    return binascii.a2b_base64(run + b"=" * (-len(run) % 4))


class QuotedPrintableDecoder(Decoder):
    """RFC 2045 6.7; soft line breaks are joined, bad escapes stay as they are."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        """Return the whole lines so far."""
        data = self._rest + block
        cut = data.rfind(b"\n") + 1
        if not cut:
            if len(data) < _LINE_FOR_QP:
                self._rest = data
                return b""
            # An endless line: cut where no escape is split.
            mark = data.rfind(b"=", len(data) - 3)
            cut = mark if mark >= 0 else len(data)
        self._rest = data[cut:]
        return binascii.a2b_qp(data[:cut])

    def finish(self) -> bytes:
        """Return the last line."""
        rest, self._rest = self._rest, b""
        return binascii.a2b_qp(rest)


def make_decoder(encoding: str) -> Decoder:
    """Return a decoder for a Content-Transfer-Encoding, in any case, with or without blanks."""
    name = encoding.strip().lower()
    if name == "base64":
        return Base64Decoder()
    if name in ("quoted-printable", "quotedprintable"):
        return QuotedPrintableDecoder()
    return Decoder()


def is_identity(encoding: str) -> bool:
    """Tell whether the encoded octets are the content's octets, so that its size is known."""
    return encoding.strip().lower() in _IDENTITY


class _DecodedRange(io.RawIOBase):
    """Decoded octets of [start, end) of a seekable stream that others may read between our reads."""

    def __init__(self, stream: BinaryIO, start: int, end: int, decoder: Decoder, owns_stream: bool) -> None:
        super().__init__()
        self._stream = stream
        self._position = start
        self._end = end
        self._decoder = decoder
        self._owns = owns_stream
        self._ready = memoryview(b"")
        self._finished = False

    def readable(self) -> bool:
        return True

    def _fill(self) -> bool:
        while not self._ready:
            if self._finished:
                return False
            want = min(BLOCK, self._end - self._position)
            block = b""
            if want > 0:
                self._stream.seek(self._position)
                block = self._stream.read(want)
            if block:
                self._position += len(block)
                self._ready = memoryview(self._decoder.feed(block))
            else:
                self._finished = True
                self._ready = memoryview(self._decoder.finish())
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._fill():
            return 0
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        if self._owns and not self.closed:
            self._stream.close()
        super().close()


def open_range(
    stream: BinaryIO, start: int, end: int, encoding: str = "", *, owns_stream: bool = False
) -> io.BufferedReader:
    """Return a forward-read stream over the decoded octets of [start, end). It seeks before each read of its own.

    `owns_stream` closes the stream beneath with this one.
    """
    return io.BufferedReader(_DecodedRange(stream, start, end, make_decoder(encoding), owns_stream), BLOCK)


def read_decoded(stream: BinaryIO, start: int, end: int, encoding: str) -> bytes:
    """Return all decoded octets of [start, end) at once; the caller has bounded the range."""
    stream.seek(start)
    octets = stream.read(max(0, end - start))
    decoder = make_decoder(encoding)
    return decoder.feed(octets) + decoder.finish()


def estimate_size(encoded: int, encoding: str) -> int:
    """Return about how many octets so many encoded ones hold."""
    return encoded * 57 // 78 if encoding.strip().lower() == "base64" else encoded


Opener = Callable[[], BinaryIO]
"""Gives a new, independent stream over the whole message."""
