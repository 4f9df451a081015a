"""Stored content: reading it chunk by chunk, and writing a new variant of it.

Readers decrypt 256 KiB at a time with a cache of two chunks; a variant with `body_offset` reads as its own octets
followed by the original from that offset on, so that passing a mail through stores only the lines before it.
"""

from __future__ import annotations

from typing import BinaryIO

from relay.core.ports import ContentSource
from relay.store.base import Database, Tx


def open_content(db: Database, message_id: str, variant: int, key: bytes) -> ContentSource:
    """Return the content of a variant (0 = as received); `key` is the message's opened 32-octet key.

    Raises ContentMissingError when the mail was finished and shredded, StorageError. Reading raises SealedDataError for
    a chunk that does not open.
    """
    raise NotImplementedError


class VariantWriter:
    """Writes one new variant of a message, forward only, flat in memory. Not shared between threads.

    Content of up to 256 KiB waits in memory for `finish`; larger content goes ahead in transactions of its own, seen by
    nobody. Use as a context manager: leaving it unfinished aborts.
    """

    def __init__(self, db: Database, message_id: str, tenant: str, key: bytes, owner: str) -> None:
        raise NotImplementedError

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append octets and return how many. Raises StorageError."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Octets written so far."""
        raise NotImplementedError

    def finish(self, tx: Tx, kind: str, reverse_path: str, body_offset: int | None = None) -> int:
        """Make the variant exist as part of `tx`; return its number (1 and up).

        `kind`: what made it ("pdf", "pass", ...). `reverse_path`: the one to deliver it with. `body_offset`: append the
        original from this octet on. The caller settles copies on the number in the same transaction.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Drop what was written. Never raises."""
        raise NotImplementedError

    def as_file(self) -> BinaryIO:
        """Return self as the write-only binary file that composers want."""
        raise NotImplementedError
