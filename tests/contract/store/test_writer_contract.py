"""Group commit: done means durable, a bad item fails alone, what cannot be written says so."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from relay.core.clock import SystemClock
from relay.core.errors import StorageError
from relay.store.base import Database, Tx
from relay.store.errors import ConflictError, StorageUnavailableError
from relay.store.writer import GroupCommitWriter, call_each
from tests.contract.store.databases import new_sqlite_url

INSERT = "INSERT INTO tenant (tenant, name, created_at) VALUES (?, '', 0)"


class Gate:
    """A batch function that counts its batches and waits at the door for the first."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.batches: list[list[str]] = []

    def apply(self, tx: Tx, items: Sequence[str]) -> list[str]:
        self.open.wait(30)
        self.batches.append(list(items))
        for item in items:
            tx.run(INSERT, [item])
        return [item.upper() for item in items]


def _names(db: Database) -> set[str]:
    with db.reading() as tx:
        return {row[0] for row in tx.fetch_all("SELECT tenant FROM tenant")}


def test_waiting_items_share_a_commit_and_get_their_own_results(db: Database) -> None:
    gate = Gate()
    writer = GroupCommitWriter(db, gate.apply, max_batch=8)
    futures = [writer.submit(f"t{number:02}") for number in range(20)]
    assert not any(future.done() for future in futures)
    gate.open.set()
    assert [future.result(30) for future in futures] == [f"T{number:02}" for number in range(20)]
    assert max(map(len, gate.batches)) == 8
    assert len(gate.batches) <= 4
    assert len(_names(db)) == 20
    writer.close()


def test_heavy_items_make_small_batches(db: Database) -> None:
    gate = Gate()
    writer = GroupCommitWriter(db, gate.apply, weigh=lambda item: 50 if item.startswith("heavy") else 1, max_weight=100)
    first = writer.submit("first")
    while not first.running():
        pass
    futures = [writer.submit(name) for name in ("heavy1", "a", "heavy2", "b", "heavy3")]
    gate.open.set()
    assert [future.result(30) for future in futures] == ["HEAVY1", "A", "HEAVY2", "B", "HEAVY3"]
    assert gate.batches == [["first"], ["heavy1", "a", "heavy2"], ["b", "heavy3"]]
    writer.close()


def test_a_bad_item_fails_alone(db: Database) -> None:
    gate = Gate()
    writer = GroupCommitWriter(db, gate.apply)
    first = writer.submit("first")
    names = ["a", "b", "a", "c"]
    futures = [writer.submit(name) for name in names]
    gate.open.set()
    assert first.result(30) == "FIRST"
    assert [_outcome(future) for future in futures] == ["A", "B", ConflictError, "C"]
    assert _names(db) == {"first", "a", "b", "c"}
    writer.close()


def _outcome(future: Future[str]) -> object:
    error = future.exception(30)
    return future.result() if error is None else type(error)


def test_with_the_database_away_all_fail_at_once(db: Database) -> None:
    calls = 0
    entered, go = threading.Event(), threading.Event()

    def fail(_tx: Tx, items: Sequence[str]) -> list[str]:
        nonlocal calls
        calls += 1
        entered.set()
        go.wait(30)
        raise StorageUnavailableError(f"away with {len(items)}")

    writer = GroupCommitWriter(db, fail)
    futures = [writer.submit("x")]
    assert entered.wait(30)
    futures += [writer.submit("x") for _ in range(10)]
    go.set()
    assert {_outcome(future) for future in futures} == {StorageUnavailableError}
    assert calls == 1
    writer.close()


def test_what_was_cancelled_in_time_is_not_written(db: Database) -> None:
    gate = Gate()
    writer = GroupCommitWriter(db, gate.apply)
    first = writer.submit("first")
    while not first.running():
        pass
    second = writer.submit("second")
    assert second.cancel()
    gate.open.set()
    first.result(30)
    writer.close()
    assert _names(db) == {"first"}


def test_close_writes_what_waits_and_refuses_more(db: Database) -> None:
    writer: GroupCommitWriter[Callable[[Tx], int], int] = GroupCommitWriter(db, call_each)
    futures = [writer.submit(lambda tx, n=n: tx.run(INSERT, [f"t{n}"])) for n in range(5)]  # type: ignore[misc]
    writer.close()
    assert [future.result(0) for future in futures] == [1] * 5
    with pytest.raises(StorageError):
        writer.submit(lambda _tx: 0)


def test_a_writer_that_cannot_finish_says_so(db: Database) -> None:
    gate = Gate()
    writer = GroupCommitWriter(db, gate.apply)
    first = writer.submit("first")
    while not first.running():
        pass
    second = writer.submit("second")
    writer.close(timeout=0.01)
    assert isinstance(second.exception(30), StorageError)
    gate.open.set()
    assert first.result(30) == "FIRST"


_COUNT_UP = """
import sys
from relay.core.clock import SystemClock
from relay.store.base import Database
db = Database.open(sys.argv[1], SystemClock(), sys.argv[2])
for _ in range(25):
    with db.transaction() as tx:
        row = tx.fetch_one("SELECT created_at FROM tenant" + (" FOR UPDATE" if tx.is_postgresql else ""))
        tx.run("UPDATE tenant SET created_at = ?", [row[0] + 1])
"""


def test_processes_take_turns(db: Database, database_url: str) -> None:
    """Read, then write: an update would be lost if a writing transaction did not lock before it reads."""
    with db.transaction() as tx:
        tx.run(INSERT, ["t"])
    root = Path(__file__).parents[3]
    children = [
        subprocess.Popen([sys.executable, "-c", _COUNT_UP, database_url, f"test/{n}"], cwd=root) for n in range(3)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    with db.reading() as tx:
        assert tx.fetch_one("SELECT created_at FROM tenant") == (75,)


def test_a_reader_waits_for_no_writer_and_sees_no_half(db: Database) -> None:
    with db.transaction() as tx:
        tx.run(INSERT, ["a"])
        assert _names(db) == set()
        tx.run(INSERT, ["b"])
    assert _names(db) == {"a", "b"}


def test_a_transaction_within_a_transaction_is_an_error_and_no_endless_wait(tmp_path: Path) -> None:
    db = Database.open(new_sqlite_url(tmp_path), SystemClock(), "test/main")
    with pytest.raises(RuntimeError, match="within"), db.transaction(), db.transaction():
        pass
    with db.transaction() as tx:
        tx.run(INSERT, ["after"])
    assert _names(db) == {"after"}
    db.close()


def test_an_error_in_the_block_rolls_everything_back(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        assert tx.run(INSERT, ["a"]) / 0
    assert _names(db) == set()


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 63, 64, 65, 200])
def test_many_rows_go_in_together_and_are_counted(db: Database, rows: int) -> None:
    names = [f"t{number:03}" for number in range(rows)]
    with db.transaction() as tx:
        assert tx.insert_many(INSERT, [[name] for name in names]) == rows
        assert tx.insert_many(INSERT + " ON CONFLICT DO NOTHING", [[name] for name in [*names, "new"]]) == 1
    assert _names(db) == {*names, "new"}


def test_of_many_rows_a_bad_one_takes_the_others_with_it(db: Database) -> None:
    with pytest.raises(ConflictError), db.transaction() as tx:
        tx.insert_many(INSERT, [["a"], ["b"], ["c"], ["b"], ["d"]])
    assert _names(db) == set()
