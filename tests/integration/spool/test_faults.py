"""Disk and network faults at the queue: a clear temporary error, nothing half, nothing stuck, back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from relay.core.clock import HOUR
from relay.core.errors import LeaseLostError, StorageError, StorageFullError
from relay.core.lifecycle import State
from relay.spool.claims import LEASE_MS, claim_delivery, claim_work
from relay.spool.recovery import shred_finished, sweep_orphans
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database
from relay.store.migrate import upgrade
from relay.store.repositories.events import verify
from tests.contract.spool.spool import ACTOR, Spool, make_spool
from tests.contract.store.databases import PostgresServer, SteppedClock, new_sqlite_url


@pytest.fixture
def sqlite_spool(tmp_path: Path, clock: SteppedClock) -> Iterator[Spool]:
    db = Database.open(new_sqlite_url(tmp_path), clock, "test/main")  # type: ignore[arg-type]
    made = make_spool(db, clock)
    yield made
    made.intake.close()
    db.close()


def _limit_pages(db: Database, more: int | None) -> None:
    """Let the file grow by so many pages only, on all connections, from now on."""
    with db.reading() as tx:
        row = tx.fetch_one("PRAGMA page_count")
    assert row is not None
    limit = 2**31 - 2 if more is None else int(row[0]) + more

    def set_limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit}")

    event.listen(db.engine, "checkout", set_limit)


def _deliver_all(spool: Spool) -> int:
    count = 0
    while deliveries := claim_delivery(spool.db, "d", 50):
        with spool.db.transaction() as tx:
            done = [Settlement(c.id, c.fence, State.DELIVERED) for d in deliveries for c in d.copies]
            settle_many(tx, done, ACTOR)
        count += len(done)
    return count


def test_full_disk_is_452_leaves_nothing_half_and_heals(sqlite_spool: Spool) -> None:
    """Fault row 6: the file system is full while receiving."""
    spool = sqlite_spool
    before = spool.put()
    spool.queue()
    _limit_pages(spool.db, 60)
    accepted: list[str] = []

    def fill() -> None:
        for _ in range(100):
            accepted.append(spool.put(content=bytes(20_000)))

    with pytest.raises(StorageFullError) as caught:
        fill()
    assert (caught.value.status, caught.value.temporary) == ("4.3.1", True)
    assert accepted
    assert spool.count("message") == len(accepted) + 1
    assert spool.count("chunk") == len(accepted) + 1
    _limit_pages(spool.db, None)
    assert spool.content(spool.put(content=b"again")) == b"again"
    spool.queue()
    assert _deliver_all(spool) == len(accepted) + 2
    assert shred_finished(spool.db) == len(accepted) + 2
    assert spool.copy(before).state is State.DELIVERED
    assert verify(spool.db) == []


def test_full_disk_in_a_large_mail_is_452_and_its_rows_go(sqlite_spool: Spool) -> None:
    """Fault row 7: the disk is full in the middle of one large DATA."""
    spool = sqlite_spool
    _limit_pages(spool.db, 600)
    with pytest.raises(StorageFullError):
        spool.put(content=bytes(8_000_000))
    assert (spool.count("message"), spool.count("copy")) == (0, 0)
    assert spool.count("chunk") > 0
    spool.clock.advance(60_000)
    _limit_pages(spool.db, None)
    assert sweep_orphans(spool.db) == 1
    assert (spool.count("chunk"), spool.count("incoming")) == (0, 0)


def test_steps_of_waiting_mail_commit_from_the_reserve(sqlite_spool: Spool) -> None:
    """Fault row 6: below the reserve intake says 452, the rest goes on."""
    spool = sqlite_spool
    spool.put()
    low = make_spool(spool.db, spool.clock, reserve=2**60)
    assert not low.intake.has_room(0)
    spool.queue()
    assert _deliver_all(spool) == 1
    assert shred_finished(spool.db) == 1
    low.intake.close()


def test_a_file_that_takes_no_octet_is_451_and_heals(sqlite_spool: Spool) -> None:
    """Fault row 8: writing fails with an I/O error."""
    spool = sqlite_spool
    spool.put()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(StorageError) as caught:
            spool.put(content=bytes(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.temporary
    assert caught.value.status.startswith("4.3.")
    assert spool.count("message") == 1
    spool.put()
    spool.queue()
    assert _deliver_all(spool) == 2
    assert verify(spool.db) == []


# --- PostgreSQL away --------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    made = PostgresServer()
    upgrade(made.url("postgres"))
    yield made
    made.close()


@contextlib.contextmanager
def _open(url: str, clock: SteppedClock, name: str = "test/main") -> Iterator[Spool]:
    db = Database.open(url, clock, name)  # type: ignore[arg-type]
    spool = make_spool(db, clock)
    try:
        yield spool
    finally:
        spool.intake.close()
        db.close()


@pytest.mark.postgres
def test_postgresql_down_is_451_within_five_seconds_and_comes_back(server: PostgresServer, clock: SteppedClock) -> None:
    """Fault row 9: also for those who wait behind another's attempt."""
    with _open(server.url("postgres"), clock) as spool:
        spool.put()
        server.stop("immediate")

        async def many() -> list[object]:
            puts = [spool.put_async() for _ in range(200)]
            return await asyncio.wait_for(asyncio.gather(*puts, return_exceptions=True), 5)

        outcomes = asyncio.run(many())
        assert all(isinstance(outcome, StorageError) and outcome.temporary for outcome in outcomes)
        with pytest.raises(StorageError):
            claim_work(spool.db, "w", 1)
        server.start()
        message_id = spool.put()
        assert spool.content(message_id)
        assert spool.count("message") == 2
        assert verify(spool.db) == []


class Wire:
    """A TCP proxy that can be cut without telling either end, and healed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.is_cut = threading.Event()
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for end in (self._listener, *self._pairs):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._pairs += [client, there]
            for source, sink in ((client, there), (there, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.is_cut.is_set():
                    # Swallowed: neither an answer nor an end comes.
                    continue
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@pytest.mark.postgres
def test_a_silent_network_is_451_within_five_seconds(server: PostgresServer, clock: SteppedClock) -> None:
    wire = Wire(server.port)
    with _open(server.url("postgres", wire.port), clock) as spool:
        spool.put()
        wire.is_cut.set()

        async def one() -> None:
            with pytest.raises(StorageError):
                await asyncio.wait_for(spool.put_async(), 5)

        asyncio.run(one())
        wire.is_cut.clear()
        assert spool.content(spool.put())
    wire.close()


@pytest.mark.postgres
def test_a_node_cut_off_in_a_hand_over_is_refused_when_it_comes_back(
    server: PostgresServer, clock: SteppedClock
) -> None:
    """Fault row 11: the other node takes over after the lease; the late one writes nothing."""
    wire = Wire(server.port)
    with (
        _open(server.url("postgres"), clock, "node2/deliver") as there,
        _open(server.url("postgres", wire.port), clock, "node1/deliver") as here,
    ):
        message_id = there.put()
        there.queue()
        (late,) = claim_delivery(here.db, "node1/deliver", 1)
        wire.is_cut.set()
        with pytest.raises(StorageError), here.db.transaction() as tx:
            settle_many(tx, [Settlement(late.copies[0].id, late.copies[0].fence, State.DELIVERED)], ACTOR)
        assert claim_delivery(there.db, "node2/deliver", 1) == []
        clock.advance(LEASE_MS + 1)
        (taken,) = claim_delivery(there.db, "node2/deliver", 1)
        wire.is_cut.clear()
        with pytest.raises(LeaseLostError), here.db.transaction() as tx:
            settle_many(tx, [Settlement(late.copies[0].id, late.copies[0].fence, State.DELIVERED)], ACTOR)
        with there.db.transaction() as tx:
            settle_many(tx, [Settlement(taken.copies[0].id, taken.copies[0].fence, State.DELIVERED)], ACTOR)
        assert there.copy(message_id).state is State.DELIVERED
        assert verify(there.db) == []
    wire.close()


class WrongClock(SteppedClock):
    """A node whose own clock is an hour ahead."""

    def now_ms(self) -> int:
        return super().now_ms() + HOUR


@pytest.mark.postgres
def test_a_node_with_a_wrong_clock_goes_by_the_databases(server: PostgresServer) -> None:
    """Fault row 13: no lease ends early and nothing is retried at once because one host's clock jumped."""
    with (
        _open(server.url("postgres"), SteppedClock(), "node1/worker") as right,
        _open(server.url("postgres"), WrongClock(), "node2/worker") as wrong,
    ):
        right.put()
        assert len(claim_work(right.db, "node1/worker", 1)) == 1
        assert claim_work(wrong.db, "node2/worker", 1) == []
        wrong.put()
        assert len(claim_work(right.db, "node1/worker", 1)) == 1


@pytest.mark.postgres
def test_many_nodes_share_the_queue_and_take_nothing_twice(server: PostgresServer, clock: SteppedClock) -> None:
    with _open(server.url("postgres"), clock) as spool:
        ids = spool.put_many(120)
        taken: list[str] = []
        lock = threading.Lock()

        def run(owner: str) -> None:
            while works := claim_work(spool.db, owner, 5):
                with lock:
                    taken.extend(work.message.id for work in works)

        threads = [threading.Thread(target=run, args=(f"node{n}/worker",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # A node that met only locked rows may have stopped early; what is left is there for the next claim.
        run("last")
        assert sorted(taken) == sorted(ids)
