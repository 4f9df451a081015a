"""Group commit: one thread that writes what many threads or coroutines wait for, many items in one transaction.

A batch that fails is tried again item by item, so that one bad item fails alone. Different kinds of writes (intake,
steps of copies) get a writer each, so that a failed insert never rolls back an acknowledgement (relay design 2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from relay.store.base import Database, Tx

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommitWriter(Generic[Item, Result]):
    """Writes items in batches. `apply_batch(tx, items)` returns one result for each item, in order."""

    def __init__(
        self,
        database: Database,
        apply_batch: Callable[[Tx, Sequence[Item]], Sequence[Result]],
        *,
        name: str = "writer",
        max_batch: int = 64,
    ) -> None:
        raise NotImplementedError

    def submit(self, item: Item) -> Future[Result]:
        """Queue an item. The future is done after the durable commit, or holds the StorageError.

        Raises StorageError when the writer was closed.
        """
        raise NotImplementedError

    def close(self, timeout: float = 10.0) -> None:
        """Write what is queued, then stop. What could not be written in time fails with StorageError."""
        raise NotImplementedError


def call_each(tx: Tx, items: Sequence[Callable[[Tx], Result]]) -> list[Result]:
    """Apply a batch of functions of a Tx: `GroupCommitWriter(db, call_each)` takes whatever is to be written."""
    return [item(tx) for item in items]
