"""Content on its way into chunks: collects octets of any size, seals full chunks, says what to store ahead.

A full chunk is sealed only once more octets follow, because the last chunk is marked as such (core.wire.chunks).
"""

from __future__ import annotations

from collections.abc import Callable

from relay.core.wire.chunks import CHUNK_SIZE, ChunkSealer

AHEAD_CHUNKS = 4
"""So many sealed chunks (1 MiB) are written ahead in one transaction."""

ChunkRow = tuple[str, int, int, str, bytes]
"""Parameters of INSERT_CHUNK: message id, variant, number, tenant, ciphertext."""


class ContentBuffer:
    """Plaintext of at most one chunk, and sealed chunks that wait for storing. Not shared between threads."""

    def __init__(self, message_id: str, tenant: str, key: bytes) -> None:
        self._message_id = message_id
        self._tenant = tenant
        self._key = key
        self._sealer: ChunkSealer | None = None
        self._variant = -1
        self._plain = bytearray()
        self._sealed: list[ChunkRow] = []
        self.size = 0

    @property
    def is_small(self) -> bool:
        """Tell whether everything still fits into one chunk, so that nothing needs to be written ahead."""
        return self._sealer is None and len(self._plain) <= CHUNK_SIZE

    @property
    def has_ahead(self) -> bool:
        """Tell whether enough sealed chunks wait to write them ahead."""
        return len(self._sealed) >= AHEAD_CHUNKS

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Append octets. While `is_small` is false, call `seal_full` next."""
        self._plain += data
        self.size += len(data)

    def seal_full(self, variant: int, feed: Callable[[memoryview], None] | None = None) -> None:
        """Seal the full chunks as those of `variant`, the same number at each call; show each to `feed` before."""
        if self._sealer is None:
            self._sealer = ChunkSealer(self._key, self._message_id, variant)
            self._variant = variant
        start, end = 0, len(self._plain)
        with memoryview(self._plain) as view:
            while end - start > CHUNK_SIZE:
                piece = view[start : start + CHUNK_SIZE]
                if feed is not None:
                    feed(piece)
                self._sealed.append(self._row(self._sealer.count, self._sealer.seal(piece)))
                piece.release()
                start += CHUNK_SIZE
        del self._plain[:start]

    def take_sealed(self) -> list[ChunkRow]:
        """Return the sealed chunks that were not taken before."""
        taken, self._sealed = self._sealed, []
        return taken

    def seal_last(self, variant: int) -> ChunkRow:
        """Return the last chunk, sealed anew at each call: nothing was stored of an earlier one."""
        if self._sealer is None:
            self._variant = variant
            return self._row(0, ChunkSealer(self._key, self._message_id, variant).seal(self._plain, last=True))
        return self._row(self._sealer.count, self._sealer.seal(self._plain, last=True))

    def peek(self) -> bytes:
        """Return the plaintext that waits: what is not sealed yet, or all that the last chunk holds."""
        return bytes(self._plain)

    def _row(self, number: int, data: bytes) -> ChunkRow:
        return (self._message_id, self._variant, number, self._tenant, data)
