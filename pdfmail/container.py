"""The PDF file format, written strictly forward: objects, object streams, one cross-reference stream.

Everything but the /Encrypt dictionary, stream lengths and the cross-reference stream goes out encrypted: small objects
lie in object streams, which are encrypted as a whole, so that no string is ever written on its own. `out` is never
read and never sought; offsets are counted. It must not know what the objects mean.

Sources: ISO 32000-1:2008 sections 7.3 (objects), 7.5.7 (object streams), 7.5.8 (cross-reference streams), 7.6.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from .encryption import FileEncryption, create_encryption
from .model import Cipher

_OBJECTS_PER_STREAM = 200
_COPY = 1 << 20
_LEVEL = 2
"""Of deflate: pages are small and every mail pays for it."""


def literal(text: str) -> bytes:
    """Return a PDF text string: PDFDocEncoding where it is ASCII, else UTF-16 with a mark (7.9.2.2)."""
    if text.isascii() and text.isprintable():
        return b"(" + text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode() + b")"
    return b"<FEFF" + text.encode("utf-16-be", "replace").hex().encode() + b">"


class PdfFile:
    """One encrypted document on its way out. Objects have generation 0 and may be added in any order."""

    def __init__(self, out: BinaryIO, cipher: Cipher, password: str) -> None:
        """Write the header. `password` is already validated (passphrase.validate_password)."""
        self._out = out
        self._offset = 0
        self._id = os.urandom(16)
        self._encryption: FileEncryption = create_encryption(cipher, password, self._id)
        self._entries: dict[int, tuple[int, int, int]] = {}
        self._next = 1
        self._pending: list[tuple[int, bytes]] = []
        # Revision 6 came with extension level 8 of PDF 1.7; the binary comment is 7.5.2.
        self._write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")

    @property
    def octets(self) -> int:
        """Octets written so far."""
        return self._offset

    def reserve(self) -> int:
        """Return a new object number, to be filled later."""
        number = self._next
        self._next += 1
        return number

    def reserve_many(self, count: int) -> int:
        """Reserve `count` consecutive numbers and return the first."""
        number = self._next
        self._next += count
        return number

    def add(self, body: bytes, number: int | None = None) -> int:
        """Add an object that is no stream and return its number."""
        if number is None:
            number = self.reserve()
        self._pending.append((number, body))
        if len(self._pending) >= _OBJECTS_PER_STREAM:
            self._flush_objects()
        return number

    def add_stream(self, entries: bytes, data: bytes, number: int | None = None) -> int:
        """Add a stream held in memory. `entries` is the inside of its dictionary without /Length."""
        if number is None:
            number = self.reserve()
        encrypted = self._encryption.encrypt(number, data)
        self._begin(number)
        self._write(
            b"%d 0 obj\n<<%s/Length %d>>stream\n" % (number, entries, len(encrypted)),
            encrypted,
            b"\nendstream\nendobj\n",
        )
        return number

    def add_packed(self, entries: bytes, data: bytes, number: int | None = None) -> int:
        """Add a stream held in memory, deflated first."""
        return self.add_stream(entries + b"/Filter/FlateDecode", zlib.compress(data, _LEVEL), number)

    def add_flowing(self, entries: bytes, chunks: Iterable[bytes], *, deflate: bool) -> tuple[int, int]:
        """Add a stream of unknown size with flat memory; return its number and the octets before compression.

        Raises what `chunks` raises; the document is then unfinished and opens nowhere.
        """
        number, length = self.reserve(), self.reserve()
        counter = _Counter(chunks)
        source: Iterable[bytes] = counter
        if deflate:
            entries += b"/Filter/FlateDecode"
            source = _deflate(counter)
        self._begin(number)
        self._write(b"%d 0 obj\n<<%s/Length %d 0 R>>stream\n" % (number, entries, length))
        start = self._offset
        for piece in self._encryption.encrypt_chunks(number, source):
            self._write(piece)
        size = self._offset - start
        self._write(b"\nendstream\nendobj\n")
        # A stream's length may be an object of its own, written behind it (7.3.8.2); integers are not encrypted.
        self._begin(length)
        self._write(b"%d 0 obj\n%d\nendobj\n" % (length, size))
        return number, counter.octets

    def finish(self, catalog: int, info: int) -> int:
        """Write what is pending and the cross-reference stream; return the octets of the whole file."""
        self._flush_objects()
        encrypt, xref = self.reserve(), self.reserve()
        self._begin(encrypt)
        self._write(b"%d 0 obj\n%s\nendobj\n" % (encrypt, self._encryption.entries()))
        start = self._offset
        self._begin(xref)
        table = bytearray(b"\0\0\0\0\0\0\xff\xff")
        for number in range(1, self._next):
            kind, where, extra = self._entries.get(number, (0, 0, 0))
            table += bytes((kind,)) + where.to_bytes(5, "big") + extra.to_bytes(2, "big")
        packed = zlib.compress(table, _LEVEL)
        identity = self._id.hex().encode()
        # The cross-reference stream itself is not encrypted (7.5.8.2).
        self._write(
            b"%d 0 obj\n<</Type/XRef/W[1 5 2]/Size %d/Root %d 0 R/Info %d 0 R/Encrypt %d 0 R/ID[<%s><%s>]"
            b"/Filter/FlateDecode/Length %d>>stream\n"
            % (xref, self._next, catalog, info, encrypt, identity, identity, len(packed)),
            packed,
            b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % start,
        )
        return self._offset

    def _flush_objects(self) -> None:
        if not self._pending:
            return
        stream = self.reserve()
        index = bytearray()
        bodies = bytearray()
        for place, (number, body) in enumerate(self._pending):
            index += b"%d %d " % (number, len(bodies))
            bodies += body + b"\n"
            self._entries[number] = (2, stream, place)
        entries = b"/Type/ObjStm/N %d/First %d" % (len(self._pending), len(index))
        self._pending.clear()
        self.add_packed(entries, bytes(index + bodies), stream)

    def _begin(self, number: int) -> None:
        self._entries[number] = (1, self._offset, 0)

    def _write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._offset += len(piece)
            written = self._out.write(piece)
            # A raw stream may take less than it was given.
            while written is not None and written < len(piece):
                piece = piece[written:]  # noqa: PLW2901 - the rest of this piece
                written = self._out.write(piece)


class _Counter:
    """Passes chunks on in pieces of bounded size and counts them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.octets = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.octets += len(chunk)
            if len(chunk) <= _COPY:
                yield chunk
            else:
                for start in range(0, len(chunk), _COPY):
                    yield chunk[start : start + _COPY]


def _deflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Deflate at level 1: the time of AES matters more than the last percent."""
    packer = zlib.compressobj(1)
    for chunk in chunks:
        packed = packer.compress(chunk)
        if packed:
            yield packed
    yield packer.flush()
