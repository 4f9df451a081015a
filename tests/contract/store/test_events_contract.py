"""The log: chains that nobody can change, cut or reorder unseen; a rolled-back transaction leaves no trace."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from relay.core.ports import Actor, Event
from relay.store.base import Database, Tx
from relay.store.repositories.events import (
    append,
    chain_heads,
    events_between,
    events_of,
    general_events,
    recent_events,
    verify,
    write_anchor,
)
from tests.contract.store.databases import SteppedClock

ACTOR = Actor("system", "test")


def _write(db: Database, count: int = 1, kind: str = "test.event", message_id: str | None = None) -> None:
    with db.transaction() as tx:
        for number in range(count):
            append(tx, Event(kind, ACTOR, "default", message_id, detail={"number": number, "name": "ümlaut"}))


def _anchor(db: Database) -> None:
    with db.transaction() as tx:
        write_anchor(tx, "default", ACTOR)


def _anchored(db: Database) -> Database:
    _write(db, 5)
    _anchor(db)
    _write(db, 3)
    _anchor(db)
    assert verify(db) == []
    return db


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET detail = '{}' WHERE seq = 2",
        "UPDATE event SET actor = 'operator:eve' WHERE seq = 2",
        "UPDATE event SET at = at + 1 WHERE seq = 2",
        "UPDATE event SET kind = 'other' WHERE seq = 2",
        "UPDATE event SET tenant = 'other' WHERE seq = 2",
        "UPDATE event SET message_id = 'x' WHERE seq = 2",
        "UPDATE event SET copy_id = '' WHERE seq = 2",
        "UPDATE event SET prev_hash = hash WHERE seq = 2",
        "UPDATE event SET hash = prev_hash WHERE seq = 2",
        "UPDATE event SET seq = 99 WHERE seq = 2",
        "UPDATE event SET chain = 'other' WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event WHERE seq = 1",
        "DELETE FROM event WHERE seq < 6",
    ],
)
def test_any_change_is_found(db: Database, statement: str) -> None:
    _anchored(db)
    with db.transaction() as tx:
        tx.run(statement)
    assert verify(db) != []


def test_the_cut_off_end_of_another_chain_is_found_by_the_anchor(
    db: Database, database_url: str, clock: SteppedClock
) -> None:
    other = Database.open(database_url, clock, "test/other")
    _write(other, 5)
    _anchor(db)
    assert verify(db) == []
    with db.transaction() as tx:
        tx.run("DELETE FROM event WHERE chain = 'test/other' AND seq = 5")
    (finding,) = verify(db)
    assert (finding.chain, finding.seq) == ("test/other", 5)
    with db.transaction() as tx:
        tx.run("DELETE FROM event WHERE chain = 'test/other'")
    assert verify(db) == [finding]
    other.close()


def test_a_chain_written_anew_is_found_by_the_anchor(db: Database, database_url: str, clock: SteppedClock) -> None:
    other = Database.open(database_url, clock, "test/other")
    _write(other, 2)
    _anchor(db)
    with db.transaction() as tx:
        tx.run("DELETE FROM event WHERE chain = 'test/other'")
    other.chain.known = False
    _write(other, 2, kind="forged")
    findings = verify(db)
    assert [finding.problem for finding in findings] == ["differs from what an anchor recorded"]
    other.close()


def test_a_rolled_back_transaction_leaves_no_gap(db: Database) -> None:
    _write(db)

    def fail(tx: Tx) -> None:
        append(tx, Event("never", ACTOR, "default"))
        tx.run("INSERT INTO tenant (tenant, name, created_at) VALUES ('a', 'a', 0), ('a', 'b', 0)")

    with pytest.raises(Exception, match=r"(?i)unique"), db.transaction() as tx:
        fail(tx)
    _write(db)
    with db.reading() as tx:
        assert [event.seq for event in recent_events(tx, "default")] in ([2, 1], [1, 2])
        assert recent_events(tx, "default", kinds=("never",)) == []
    assert verify(db) == []


def test_threads_of_a_process_share_a_chain(db: Database) -> None:
    threads = [threading.Thread(target=lambda: [_write(db, 2) for _ in range(10)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.reading() as tx:
        ((chain, seq, _),) = chain_heads(tx)
    assert (chain, seq) == ("test/main", 120)
    assert verify(db) == []


def test_two_processes_under_one_name_do_not_fork_the_chain(
    db: Database, database_url: str, clock: SteppedClock
) -> None:
    twin = Database.open(database_url, clock, "test/main")
    for _ in range(5):
        _write(db)
        _write(twin, 3)
    errors: list[Exception] = []

    def run(which: Database) -> None:
        try:
            for _ in range(15):
                _write(which, 2)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in (db, twin)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert verify(db) == []
    twin.close()


def test_events_come_back_as_written(db: Database) -> None:
    _write(db, 2, message_id="M" * 22)
    _write(db)
    with db.reading() as tx:
        events = events_of(tx, "M" * 22)
    assert [event.detail for event in events] == [
        '{"name":"\\u00fcmlaut","number":0}',
        '{"name":"\\u00fcmlaut","number":1}',
    ]
    assert events[0].hash == events[1].prev_hash


def test_general_events_are_found_by_kind(db: Database) -> None:
    _write(db, 3, kind="epoch.begun")
    _write(db, 3, kind="epoch.begun", message_id="M" * 22)
    _write(db, 2, kind="other")
    with db.reading() as tx:
        found = general_events(tx, "default", ("epoch.begun", "epoch.destroyed"))
        assert [event.seq for event in found] == [3, 2, 1]
        assert len(general_events(tx, "default", ("epoch.begun",), limit=2)) == 2
        assert general_events(tx, "second", ("epoch.begun",)) == []
        between = events_between(tx, "default", ("epoch.begun", "x"), since_ms=0, until_ms=2**53, limit=4)
        assert [event.seq for event in between] == [1, 2, 3, 4]
        assert events_between(tx, "default", ("other",), since_ms=0, until_ms=2**53, limit=4)[0].seq == 7
        assert events_between(tx, "default", ("epoch.begun",), since_ms=0, until_ms=between[0].at, limit=4) == []


def test_a_long_chain_is_verified_page_by_page(db: Database) -> None:
    _write(db, 4500)
    assert verify(db) == []
    with db.transaction() as tx:
        tx.run("UPDATE event SET kind = 'x' WHERE seq = 2001")
    assert [finding.seq for finding in verify(db)] == [2001]


@pytest.mark.parametrize("reader", [chain_heads, lambda tx: recent_events(tx, "default")])
def test_an_empty_log_is_fine(db: Database, reader: Callable[[Tx], list[object]]) -> None:
    with db.reading() as tx:
        assert reader(tx) == []
    assert verify(db) == []
