"""Group commit: one thread that writes what many threads or coroutines wait for, many items in one transaction.

A batch that fails is tried again item by item, so that one bad item fails alone. Different kinds of writes (intake,
steps of copies) get a writer each, so that a failed insert never rolls back an acknowledgement (relay design 2.2).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Generic, Protocol, TypeAlias, TypeVar

from relay.core.errors import LetterlockError, StorageError
from relay.store.base import Database, Tx
from relay.store.errors import StorageUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")
Told_contra = TypeVar("Told_contra", contravariant=True)

_BUSY_BATCH = 4
_GATHER_STEP = 0.001
_LOG = logging.getLogger(__name__)


class Outcome(Protocol[Told_contra]):
    """What is told how an item's write ended; a concurrent.futures.Future is one, a cheaper thing may be."""

    def set_running_or_notify_cancel(self) -> bool:
        """Return False when nobody wants the item written any more."""
        ...

    def set_result(self, result: Told_contra, /) -> None:
        """The item is durable."""
        ...

    def set_exception(self, error: Exception, /) -> None:
        """The item was not written."""
        ...


_Entry: TypeAlias = tuple[Item, Outcome[Result]]


class GroupCommitWriter(Generic[Item, Result]):
    """Writes items in batches. `apply_batch(tx, items)` returns one result for each item, in order."""

    def __init__(
        self,
        database: Database,
        apply_batch: Callable[[Tx, Sequence[Item]], Sequence[Result]],
        *,
        name: str = "writer",
        max_batch: int = 64,
        weigh: Callable[[Item], int] = lambda _item: 0,
        gather_seconds: float = 0.0,
        max_weight: int = 8 * 1024 * 1024,
    ) -> None:
        """`weigh` gives an item's octets; a batch ends with the item that brings it to `max_weight`. When there is much
        to do `gather_seconds` are waited for more items, so that fewer commits and syncs serve as many."""
        self._database = database
        self._weigh = weigh
        self._max_weight = max_weight
        self._apply_batch = apply_batch
        self._max_batch = max_batch
        self._gather_seconds = gather_seconds
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> Future[Result]:
        """Queue an item. The future is done after the durable commit, or holds the StorageError.

        Raises StorageError when the writer was closed.
        """
        future: Future[Result] = Future()
        self.submit_to(item, future)
        return future

    def submit_to(self, item: Item, outcome: Outcome[Result]) -> None:
        """Queue an item; `outcome` is told after the durable commit or the failure, in the writer's thread.

        Raises StorageError when the writer was closed.
        """
        with self._changed:
            if self._closing:
                raise StorageError("the writer was closed")
            self._waiting.append((item, outcome))
            if len(self._waiting) == 1:
                self._changed.notify()

    def close(self, timeout: float = 10.0) -> None:
        """Write what is queued, then stop. What could not be written in time fails with StorageError."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        for _, outcome in self._take_all():
            _fail(outcome, StorageError("the writer was closed before this was written"))

    def _take_all(self) -> list[_Entry[Item, Result]]:
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
        return [entry for entry in waiting if entry[1].set_running_or_notify_cancel()]

    def _run(self) -> None:
        written = 0
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
            if written >= _BUSY_BATCH:
                self._gather()
            written = self._write_waiting()

    def _gather(self) -> None:
        """Wait while more items keep coming."""
        seen, end = 0, time.monotonic() + self._gather_seconds
        while seen < (seen := len(self._waiting)) < self._max_batch and not self._closing and time.monotonic() < end:
            time.sleep(_GATHER_STEP)

    def _write_waiting(self) -> int:
        """Write a batch; return how many items it had."""
        batch: list[_Entry[Item, Result]] = []
        try:
            with self._database.transaction() as tx:
                # Taken as late as can be: what came while others held the writers' lock goes along.
                batch = self._take_batch()
                results = self._apply(tx, batch)
        except Exception as error:  # whatever it is belongs to those who wait
            self._try_singly(batch or self._take_batch(), error)
        else:
            _tell(batch, results)
        return len(batch)

    def _take_batch(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        weight = 0
        with self._changed:
            while self._waiting and len(batch) < self._max_batch and weight < self._max_weight:
                entry = self._waiting.popleft()
                # What its owner cancelled is not written; from here on it cannot be cancelled any more.
                if entry[1].set_running_or_notify_cancel():
                    weight += self._weigh(entry[0])
                    batch.append(entry)
        return batch

    def _apply(self, tx: Tx, batch: Sequence[_Entry[Item, Result]]) -> Sequence[Result]:
        if not batch:
            return ()
        results = self._apply_batch(tx, [item for item, _ in batch])
        if len(results) != len(batch):
            raise StorageError("a batch gave another number of results than items")
        return results

    def _try_singly(self, batch: Sequence[_Entry[Item, Result]], error: Exception) -> None:
        """After a batch failed with this error try each item alone, as long as the database is there."""
        if isinstance(error, StorageUnavailableError) or len(batch) == 1:
            # With the database away, one try for each would only make everybody wait longer. Who comes after the first
            # was told has a try of his own.
            waiting = self._take_all() if isinstance(error, StorageUnavailableError) else []
            for _, outcome in (*batch, *waiting):
                _fail(outcome, error)
            return
        for entry in batch:
            try:
                with self._database.transaction() as tx:
                    results = self._apply(tx, [entry])
            except Exception as its_error:  # belongs to who waits for it
                self._try_singly([entry], its_error)
            else:
                _tell([entry], results)


def _tell(batch: Sequence[_Entry[Item, Result]], results: Sequence[Result]) -> None:
    for (_, outcome), result in zip(batch, results, strict=True):
        outcome.set_result(result)


def _fail(future: Outcome[Result], error: Exception) -> None:
    if not isinstance(error, LetterlockError):
        _LOG.error("write failed", extra={"error_type": type(error).__name__})
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


def call_each(tx: Tx, items: Sequence[Callable[[Tx], Result]]) -> list[Result]:
    """Apply a batch of functions of a Tx: `GroupCommitWriter(db, call_each)` takes whatever is to be written."""
    return [item(tx) for item in items]
