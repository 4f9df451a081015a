"""The group writer tells everybody how it ended, and fails nobody for what befell those before."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest

from relay.core.errors import StorageError
from relay.store.base import Database, Tx
from relay.store.errors import StorageUnavailableError
from relay.store.writer import GroupCommitWriter


class Doubtful:
    """A database that is away for the first transactions; `gate` holds each transaction before it begins."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.gate = threading.Event()
        self.gate.set()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise StorageUnavailableError("away")
        yield


class Teller:
    """An outcome that does something as soon as it is told."""

    def __init__(self, then: Any) -> None:
        self.then = then

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def set_result(self, _result: int, /) -> None:
        self.then(None)

    def set_exception(self, error: Exception, /) -> None:
        self.then(error)


def make_writer(database: Doubtful, batches: list[list[int]], **options: Any) -> GroupCommitWriter[int, int]:
    def write(_tx: Tx, items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return list(items)

    return GroupCommitWriter(cast(Database, database), write, **options)


def test_who_comes_after_the_first_was_told_has_a_try_of_his_own() -> None:
    batches: list[list[int]] = []
    writer = make_writer(Doubtful(1), batches)
    later: Future[int] = Future()
    errors: list[Exception | None] = []

    def told(error: Exception | None) -> None:
        errors.append(error)
        writer.submit_to(2, later)

    writer.submit_to(1, Teller(told))
    assert later.result(10) == 2
    assert batches == [[2]]
    assert isinstance(errors[0], StorageUnavailableError)
    writer.close()


def test_what_comes_while_others_hold_the_lock_goes_along() -> None:
    batches: list[list[int]] = []
    database = Doubtful(0)
    database.gate.clear()
    writer = make_writer(database, batches)
    futures = [writer.submit(number) for number in range(5)]
    database.gate.set()
    assert [future.result(10) for future in futures] == [0, 1, 2, 3, 4]
    assert batches == [[0, 1, 2, 3, 4]]
    writer.close()


@pytest.mark.parametrize("gather", [0.0, 0.02])
def test_gathering_loses_nothing_and_ends_with_the_writer(gather: float) -> None:
    batches: list[list[int]] = []
    writer = make_writer(Doubtful(0), batches, gather_seconds=gather, max_batch=7)
    futures = [writer.submit(number) for number in range(50)]
    writer.close()
    assert [future.result(0) for future in futures] == list(range(50))
    assert [item for batch in batches for item in batch] == list(range(50))
    with pytest.raises(StorageError):
        writer.submit(51)
