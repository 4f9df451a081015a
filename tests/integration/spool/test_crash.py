"""kill -9 and power: what was acknowledged is there, whole; what was not leaves nothing; nothing sticks."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay.core.clock import HOUR
from relay.core.lifecycle import FINAL, State
from relay.core.wire.hpke import SUITE_P256, Opener, generate_private
from relay.spool.claims import claim_delivery, claim_work, release_owners
from relay.spool.recovery import shred_finished, sweep_orphans
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database
from relay.store.repositories.events import verify
from tests.contract.spool.spool import ACTOR, Spool, make_spool
from tests.contract.store.databases import PostgresServer, SteppedClock, new_sqlite_url

ROOT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("crash_child.py")


def _command(url: str, private: bytes, name: str, mode: str) -> list[str]:
    return [sys.executable, str(CHILD), url, private.hex(), name, mode]


def _start(url: str, private: bytes, name: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            _command(url, private, name, "load"), stdout=out, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
        )


def _acknowledged(log: Path) -> list[str]:
    # A line that was cut off by the kill was not read by any client.
    return re.findall(r"(?m)^ACK ([\w-]{22})\n", log.read_text())


def _wait_for_acks(log: Path, count: int) -> None:
    for _ in range(3000):
        if len(_acknowledged(log)) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("the child makes no progress")


def _check_nothing_is_lost(spool: Spool, acknowledged: list[str]) -> None:
    db = spool.db
    release_owners(db, "node1/")
    with db.reading() as tx:
        rows = tx.fetch_all("SELECT message_id, state FROM copy")
        messages = {row[0] for row in tx.fetch_all("SELECT id FROM message")}
        keys = {row[0] for row in tx.fetch_all("SELECT message_id FROM mail_key")}
    states: dict[str, list[State]] = {}
    for message_id, state in rows:
        states.setdefault(message_id, []).append(State(state))
    assert set(acknowledged) <= messages
    assert set(states) == messages
    assert {len(found) for found in states.values()} == {2}
    waiting = [message_id for message_id, found in states.items() if not FINAL.issuperset(found)]
    assert set(waiting) <= keys
    for message_id in waiting[:40]:
        assert spool.content(message_id).startswith(b"Message-ID: <" + message_id.encode())
    assert verify(db) == []
    _drain(spool)


def _drain(spool: Spool) -> None:
    """Everything that is not shunted can still be walked to its end, and then nothing is left but the trace."""
    spool.clock.advance(HOUR)
    spool.queue(owner="drain")
    while works := claim_work(spool.db, "drain", 100):
        with spool.db.transaction() as tx:
            done = [Settlement(c.id, c.fence, State.QUEUED, hop="out") for w in works for c in w.copies]
            settle_many(tx, done, ACTOR)
    while deliveries := claim_delivery(spool.db, "drain", 500):
        with spool.db.transaction() as tx:
            done = [Settlement(c.id, c.fence, State.DELIVERED) for d in deliveries for c in d.copies]
            settle_many(tx, done, ACTOR)
    while shred_finished(spool.db):
        pass
    sweep_orphans(spool.db)
    with spool.db.reading() as tx:
        left = tx.fetch_all("SELECT DISTINCT state FROM copy WHERE state NOT IN ('delivered', 'shunted')")
        shunted = tx.fetch_all("SELECT DISTINCT message_id FROM copy WHERE state = 'shunted'")
        keys = tx.fetch_all("SELECT message_id FROM mail_key")
        ahead = tx.fetch_all("SELECT message_id FROM incoming")
    assert left == []
    assert {row[0] for row in keys} == {row[0] for row in shunted}
    assert ahead == []


@pytest.mark.parametrize("cycles", [8, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_kill_9_loses_nothing(database_url: str, tmp_path: Path, clock: SteppedClock, cycles: int) -> None:
    """Fault row 1 at the queue's level: kills at random moments under load, on both databases."""
    private = generate_private(SUITE_P256)
    log = tmp_path / "acks"
    log.touch()
    chance = random.Random(7)
    for cycle in range(cycles):
        child = _start(database_url, private, "node1/all", log)
        _wait_for_acks(log, len(_acknowledged(log)) + chance.randrange(1, 40))
        time.sleep(chance.random() / 20)
        child.kill()
        child.wait()
        if cycle % 2:
            db = Database.open(database_url, clock, "test/main")
            release_owners(db, "node1/")
            db.close()
    db = Database.open(database_url, clock, "test/main")
    spool = make_spool(db, clock)
    spool.opener = Opener(SUITE_P256, private)
    acknowledged = _acknowledged(log)
    assert len(acknowledged) >= cycles
    _check_nothing_is_lost(spool, acknowledged)
    spool.intake.close()
    db.close()


@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_immediate_stop_of_postgresql_loses_nothing(tmp_path: Path, clock: SteppedClock) -> None:
    """Fault row 10: uncertain commits count as not acknowledged; the processes come back by themselves."""
    from relay.store.migrate import upgrade

    server = PostgresServer()
    try:
        url = server.url("postgres")
        upgrade(url)
        private = generate_private(SUITE_P256)
        log = tmp_path / "acks"
        log.touch()
        child = _start(url, private, "node1/all", log)
        for _ in range(3):
            _wait_for_acks(log, len(_acknowledged(log)) + 30)
            server.stop("immediate")
            server.start()
        _wait_for_acks(log, len(_acknowledged(log)) + 30)
        child.kill()
        child.wait()
        db = Database.open(url, clock, "test/main")
        spool = make_spool(db, clock)
        spool.opener = Opener(SUITE_P256, private)
        _check_nothing_is_lost(spool, _acknowledged(log))
        spool.intake.close()
        db.close()
    finally:
        server.close()


def test_every_acknowledgement_follows_a_sync_of_its_commit(tmp_path: Path) -> None:
    """Fault row 5: kill -9 does not show a missing sync; the order of system calls does."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is not installed. Run: apt-get install -y strace", pytrace=False)
    private = generate_private(SUITE_P256)
    trace = tmp_path / "trace"
    command = _command(new_sqlite_url(tmp_path), private, "node1/smtpd", "few")
    subprocess.run(
        [strace, "-f", "-y", "-o", str(trace), "-e", "trace=fdatasync,fsync,write", *command],
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    synced = 0
    acknowledged = 0
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r"(fdatasync|fsync)\(\d+<[^>]*-wal>", line):
            synced += 1
        elif "write(1<" in line and '"ACK ' in line:
            acknowledged += 1
            assert synced > 0, "acknowledged before the commit was synced"
            synced = 0
    assert acknowledged == 20
