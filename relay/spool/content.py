"""Stored content: reading it chunk by chunk, and writing a new variant of it.

Readers decrypt 256 KiB at a time with a cache of two chunks; a variant with `body_offset` reads as its own octets
followed by the original from that offset on, so that passing a mail through stores only the lines before it.
"""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, cast

from relay.core.clock import MINUTE
from relay.core.ids import ID_LENGTH
from relay.core.wire.chunks import CHUNK_SIZE, ChunkOpener, count_chunks
from relay.spool.buffer import ChunkRow, ContentBuffer
from relay.spool.errors import ContentDamagedError, ContentMissingError
from relay.store.base import Database, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories.messages import INSERT_CHUNK
from relay.store.repositories.variants import ORIGINAL, get_variant

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from relay.core.ports import ContentSource

AHEAD_LEASE_MS = 5 * MINUTE
"""How long what a worker wrote ahead may wait for more or for its commit."""
_CACHED_CHUNKS = 2
_ADD_SIZE = 1024 * 1024


def open_content(db: Database, message_id: str, variant: int, key: bytes) -> ContentSource:
    """Return the content of a variant (0 = as received); `key` is the message's opened 32-octet key.

    Raises ContentMissingError when the mail was finished and shredded, StorageError. Reading raises SealedDataError for
    a chunk that does not open, ContentDamagedError for one that is not there.
    """
    try:
        with db.reading() as tx:
            form = get_variant(tx, message_id, variant)
            original = form if variant == ORIGINAL else get_variant(tx, message_id, ORIGINAL)
            row = tx.fetch_one("SELECT shredded_at FROM message WHERE id = ?", [message_id])
    except NotFoundError as error:
        raise ContentMissingError(f"message {message_id}: no variant {variant}") from error
    if row is None or row[0] is not None:
        raise ContentMissingError(f"message {message_id}: its content was deleted")
    if form.body_offset is None:
        segments = [_Segment(variant, 0, form.size, form.size)]
    else:
        tail = original.size - form.body_offset
        own = form.size - tail
        if tail < 0 or own < 0:
            raise ContentDamagedError(f"message {message_id}: variant {variant} does not fit its original")
        segments = [_Segment(variant, 0, own, own), _Segment(ORIGINAL, form.body_offset, tail, original.size)]
    return StoredContent(db, message_id, tuple(segments), key)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A run of octets of one variant's own chunks."""

    variant: int
    start: int
    length: int
    stored: int
    """Octets that the variant's chunks hold altogether, which tells the last chunk."""


class StoredContent:
    """core.ports.ContentSource over sealed chunks. Safe to share between threads; its streams are not."""

    def __init__(self, db: Database, message_id: str, segments: tuple[_Segment, ...], key: bytes) -> None:
        self._db = db
        self._message_id = message_id
        self._segments = segments
        self._openers = {segment.variant: ChunkOpener(key, message_id, segment.variant) for segment in segments}

    @property
    def size(self) -> int:
        """Number of octets."""
        return sum(segment.length for segment in self._segments)

    def open(self) -> BinaryIO:
        """Return a new seekable stream over the octets."""
        raw = _ContentReader(self, self.size)
        return cast(BinaryIO, io.BufferedReader(raw, 64 * 1024))

    def place(self, position: int) -> tuple[int, int, int]:
        """Return variant, chunk number and offset in the chunk of an octet; at most `size`."""
        for segment in self._segments:
            if position < segment.length:
                at = segment.start + position
                return segment.variant, at // CHUNK_SIZE, at % CHUNK_SIZE
            position -= segment.length
        raise ValueError("position behind the end")

    def read_chunk(self, variant: int, number: int) -> bytes:
        """Return the plaintext of a chunk. Raises StorageError, SealedDataError."""
        stored = next(segment.stored for segment in self._segments if segment.variant == variant)
        last = count_chunks(stored) - 1
        with self._db.reading() as tx:
            row = tx.fetch_one(
                "SELECT data FROM chunk WHERE message_id = ? AND variant = ? AND n = ?",
                [self._message_id, variant, number],
            )
        if row is None:
            raise ContentDamagedError(f"message {self._message_id}: chunk {number} of variant {variant} is missing")
        plain = self._openers[variant].open(number, row[0], last=number == last)
        if number == last and len(plain) != stored - last * CHUNK_SIZE:
            raise ContentDamagedError(f"message {self._message_id}: variant {variant} has another size than stored")
        return plain

    def left_in_segment(self, position: int) -> int:
        """Return how many octets of the same segment follow from `position` on."""
        for segment in self._segments:
            if position < segment.length:
                return segment.length - position
            position -= segment.length
        return 0


class _ContentReader(io.RawIOBase):
    """The raw stream below the buffer."""

    def __init__(self, content: StoredContent, size: int) -> None:
        super().__init__()
        self._content = content
        self._size = size
        self._position = 0
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; behind the end reads nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("seek before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read up to the end of one chunk."""
        view = memoryview(buffer).cast("B")
        if self._position >= self._size or not len(view):
            return 0
        variant, number, start = self._content.place(self._position)
        chunk = self._chunk(variant, number)
        count = min(len(view), len(chunk) - start, self._content.left_in_segment(self._position))
        view[:count] = memoryview(chunk)[start : start + count]
        self._position += count
        return count

    def _chunk(self, variant: int, number: int) -> bytes:
        place = (variant, number)
        chunk = self._cache.get(place)
        if chunk is None:
            chunk = self._content.read_chunk(variant, number)
            self._cache[place] = chunk
            if len(self._cache) > _CACHED_CHUNKS:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(place)
        return chunk


class VariantWriter:
    """Writes one new variant of a message, forward only, flat in memory. Not shared between threads.

    Content of up to 256 KiB waits in memory for `finish`; larger content goes ahead in transactions of its own, seen by
    nobody. Use as a context manager: leaving it without `finish` aborts.
    """

    def __init__(self, db: Database, message_id: str, tenant: str, key: bytes, owner: str) -> None:
        if len(message_id) != ID_LENGTH:
            raise ValueError("not a message id")
        self._db = db
        self._message_id = message_id
        self._tenant = tenant
        self._owner = owner
        self._buffer = ContentBuffer(message_id, tenant, key)
        self._number: int | None = None
        self._rest: list[ChunkRow] | None = None
        self._closed = False
        self._is_broken = False

    def __enter__(self) -> VariantWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closed:
            self.abort()

    @property
    def size(self) -> int:
        """Octets written so far."""
        return self._buffer.size

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append octets and return how many. Raises StorageError."""
        if self._closed:
            raise ValueError("this variant was finished or aborted")
        with memoryview(data) as view:
            for start in range(0, len(view), _ADD_SIZE):
                self._buffer.add(view[start : start + _ADD_SIZE])
                if not self._buffer.is_small:
                    self._seal_ahead()
        return len(data)

    def finish(self, tx: Tx, kind: str, reverse_path: str, body_offset: int | None = None) -> int:
        """Make the variant exist as part of `tx`; return its number (1 and up).

        `kind`: what made it ("pdf", "pass", ...). `reverse_path`: the one to deliver it with. `body_offset`: append the
        original from this octet on. The caller settles copies on the number in the same transaction. May be called
        again when that transaction failed. Raises ContentMissingError when what was written ahead is gone.
        """
        if self._is_broken:
            raise ContentMissingError(f"message {self._message_id}: an earlier write of this variant failed")
        self._closed = True
        number = self._number
        size = self._buffer.size
        if body_offset is not None:
            original = get_variant(tx, self._message_id, ORIGINAL)
            if not 0 <= body_offset <= original.size:
                raise ValueError("body_offset is not within the original")
            size += original.size - body_offset
        if number is None:
            number = _next_number(tx, self._message_id)
            rows = [self._buffer.seal_last(number)]
        else:
            if not tx.run("DELETE FROM incoming WHERE message_id = ? AND variant = ?", [self._message_id, number]):
                raise ContentMissingError(f"message {self._message_id}: what was written ahead was swept")
            if self._rest is None:
                self._rest = [*self._buffer.take_sealed(), self._buffer.seal_last(number)]
            rows = self._rest
        tx.run(
            "INSERT INTO variant (message_id, number, tenant, kind, reverse_path, size, body_offset, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [self._message_id, number, self._tenant, kind, reverse_path, size, body_offset, tx.now_ms()],
        )
        tx.run_many(INSERT_CHUNK, rows)
        return number

    def abort(self) -> None:
        """Drop what was written. Never raises."""
        self._closed = self._is_broken = True
        if self._number is not None:
            # What cannot be dropped now is swept when its lease ends.
            with contextlib.suppress(Exception), self._db.transaction() as tx:
                drop_ahead(tx, self._message_id, self._number)

    def as_file(self) -> BinaryIO:
        """Return self as the write-only binary file that composers want."""
        return cast(BinaryIO, self)

    def flush(self) -> None:
        """Do nothing: files have it."""

    def writable(self) -> bool:
        """It is."""
        return True

    def _reserve(self) -> int:
        with self._db.transaction() as tx:
            number = _next_number(tx, self._message_id)
            tx.run(
                "INSERT INTO incoming (message_id, variant, tenant, owner, lease_until) VALUES (?, ?, ?, ?, ?)",
                [self._message_id, number, self._tenant, self._owner, tx.now_ms() + AHEAD_LEASE_MS],
            )
        return number

    def _seal_ahead(self) -> None:
        try:
            if self._number is None:
                self._number = self._reserve()
            self._buffer.seal_full(self._number)
            if self._buffer.has_ahead:
                self._store_ahead(self._number)
        except BaseException:
            self._is_broken = True
            raise

    def _store_ahead(self, number: int) -> None:
        with self._db.transaction() as tx:
            held = tx.run(
                "UPDATE incoming SET lease_until = ? WHERE message_id = ? AND variant = ?",
                [tx.now_ms() + AHEAD_LEASE_MS, self._message_id, number],
            )
            if not held:
                raise ContentMissingError(f"message {self._message_id}: what was written ahead was swept")
            tx.run_many(INSERT_CHUNK, self._buffer.take_sealed())


def drop_ahead(tx: Tx, message_id: str, variant: int) -> None:
    """Delete what was written ahead for a content that will not be committed."""
    # The row in `incoming` is what tells them from committed content: without it nothing is deleted.
    if tx.run("DELETE FROM incoming WHERE message_id = ? AND variant = ?", [message_id, variant]):
        tx.run("DELETE FROM chunk WHERE message_id = ? AND variant = ?", [message_id, variant])


def _next_number(tx: Tx, message_id: str) -> int:
    row = tx.fetch_one(
        "SELECT max(n) FROM (SELECT max(number) AS n FROM variant WHERE message_id = ?"
        " UNION ALL SELECT max(variant) FROM incoming WHERE message_id = ?) AS used",
        [message_id, message_id],
    )
    return 1 if row is None or row[0] is None else int(row[0]) + 1
