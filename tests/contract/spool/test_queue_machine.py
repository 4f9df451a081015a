"""A random walk through the queue: no copy is lost, none is held by two, a late writer is always refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from relay.core.errors import LeaseLostError
from relay.core.lifecycle import FINAL, State
from relay.spool.claims import LEASE_MS, claim_delivery, claim_work, clean_stop, extend, give_back, release_owner
from relay.spool.recovery import shred_finished, sweep_leases, sweep_orphans
from relay.spool.settle import Settlement, postpone, settle_many, step
from relay.store.base import Database
from relay.store.repositories.copies import StoredCopy
from relay.store.repositories.events import verify
from tests.contract.spool.spool import ACTOR, make_spool
from tests.contract.store.databases import SteppedClock, new_postgres_url, new_sqlite_url

OWNERS = st.sampled_from(["one", "two", "three"])


class QueueMachine(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        url = new_sqlite_url(Path(self.directory.name)) if self.url == "sqlite" else new_postgres_url()
        self.clock = SteppedClock()
        self.db = Database.open(url, self.clock, "test/main")  # type: ignore[arg-type]
        self.spool = make_spool(self.db, self.clock)
        self.put: dict[str, int] = {}
        self.held: dict[str, tuple[str, StoredCopy, int]] = {}
        """By copy id: owner, the copy as claimed, when the lease ends."""
        self.stale: list[StoredCopy] = []

    def teardown(self) -> None:
        assert verify(self.db) == []
        self.spool.intake.close()
        self.db.close()
        self.directory.cleanup()

    def _take(self, owner: str, copies: list[StoredCopy]) -> None:
        now = self.clock.now_ms()
        for copy in copies:
            if copy.id in self.held:
                _, old, until = self.held[copy.id]
                assert until <= now, "a copy was handed out while somebody held it"
                self.stale.append(old)
            self.held[copy.id] = (owner, copy, copy.lease_until)

    def _of(self, owner: str) -> list[StoredCopy]:
        return [copy for who, copy, _ in self.held.values() if who == owner]

    def _let_go(self, owner: str) -> None:
        for copy in self._of(owner):
            self.stale.append(copy)
            del self.held[copy.id]

    @rule(recipients=st.integers(1, 3), large=st.booleans())
    def put_mail(self, recipients: int, large: bool) -> None:
        to = [f"p{n}@partner.example" for n in range(recipients)]
        message_id = self.spool.put(*to, content=b"x" * (300_000 if large else 10))
        self.put[message_id] = recipients

    @rule(owner=OWNERS, limit=st.integers(1, 4))
    def claim_for_work(self, owner: str, limit: int) -> None:
        self._take(owner, [copy for work in claim_work(self.db, owner, limit) for copy in work.copies])

    @rule(owner=OWNERS, limit=st.integers(1, 4))
    def claim_for_delivery(self, owner: str, limit: int) -> None:
        self._take(owner, [copy for work in claim_delivery(self.db, owner, limit) for copy in work.copies])

    @precondition(lambda self: self.held)
    @rule(owner=OWNERS, success=st.booleans())
    def finish(self, owner: str, success: bool) -> None:
        for copy in self._of(owner):
            with self.db.transaction() as tx:
                if copy.state is State.RECEIVED:
                    step(tx, [Settlement(copy.id, copy.fence, State.DECIDED)], ACTOR)
                    state = State.QUEUED if success else State.HELD
                elif copy.state is State.DECIDED:
                    state = State.QUEUED
                else:
                    state = State.DELIVERED if success else State.DEFERRED
                settle_many(tx, [Settlement(copy.id, copy.fence, state, hop="outside")], ACTOR)
            del self.held[copy.id]
            self.stale.append(copy)

    @precondition(lambda self: self.held)
    @rule(owner=OWNERS)
    def put_off(self, owner: str) -> None:
        copies = self._of(owner)
        with self.db.transaction() as tx:
            postpone(tx, copies, actor=ACTOR, status="4.3.0", text="later")
        self._let_go(owner)

    @rule(owner=OWNERS)
    def die(self, owner: str) -> None:
        assert release_owner(self.db, owner) == len(self._of(owner))
        self._let_go(owner)

    @rule(owner=OWNERS)
    def stop(self, owner: str) -> None:
        assert clean_stop(self.db, owner) == len(self._of(owner))
        self._let_go(owner)

    @precondition(lambda self: self.held)
    @rule(owner=OWNERS)
    def hand_back(self, owner: str) -> None:
        with self.db.transaction() as tx:
            give_back(tx, self._of(owner))
        self._let_go(owner)

    @rule(owner=OWNERS)
    def beat(self, owner: str) -> None:
        held = {copy.id for copy in self._of(owner)}
        assert extend(self.db, owner, self._of(owner)) == held
        for copy_id in held:
            self.held[copy_id] = (owner, self.held[copy_id][1], self.clock.now_ms() + LEASE_MS)

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def come_late(self, data: st.DataObject) -> None:
        copy = data.draw(st.sampled_from(self.stale))
        before = self.spool.copies(copy.message_id)
        with pytest.raises(LeaseLostError), self.db.transaction() as tx:
            settle_many(tx, [Settlement(copy.id, copy.fence, State.HELD)], ACTOR)
        assert self.spool.copies(copy.message_id) == before

    @rule(minutes=st.integers(1, 4))
    def wait(self, minutes: int) -> None:
        self.clock.advance(minutes * 60_000)

    @rule()
    def wait_until_every_lease_ends(self) -> None:
        # No lease sweep here: it would only tidy. Those who still work on an ended lease keep it until another claims.
        self.clock.advance(2 * LEASE_MS)

    @rule()
    def clean_up(self) -> None:
        assert sweep_orphans(self.db) == 0
        shred_finished(self.db)

    @invariant()
    def nothing_is_lost(self) -> None:
        with self.db.reading() as tx:
            rows = tx.fetch_all("SELECT message_id, count(*) FROM copy GROUP BY message_id")
            assert {str(row[0]): int(row[1]) for row in rows} == self.put
            keys = {row[0] for row in tx.fetch_all("SELECT message_id FROM mail_key")}
            finals = ", ".join(f"'{state}'" for state in FINAL)
            waiting = tx.fetch_all(f"SELECT DISTINCT message_id FROM copy WHERE state NOT IN ({finals})")
        assert {row[0] for row in waiting} <= keys


@pytest.mark.parametrize(
    ("kind", "examples"), [("sqlite", 25), pytest.param("postgresql", 6, marks=pytest.mark.postgres)]
)
def test_random_walk(kind: str, examples: int) -> None:
    machine = type("Machine", (QueueMachine,), {"url": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_sweeping_leases_does_not_refuse_a_slow_holder_whom_nobody_followed(tmp_path: Path) -> None:
    clock = SteppedClock()
    db = Database.open(new_sqlite_url(tmp_path), clock, "test/main")  # type: ignore[arg-type]
    spool = make_spool(db, clock)
    spool.put()
    (work,) = claim_work(db, "slow", 1)
    clock.advance(LEASE_MS + 1)
    assert sweep_leases(db) == 1
    with db.transaction() as tx:
        settle_many(tx, [Settlement(work.copies[0].id, work.copies[0].fence, State.HELD)], ACTOR)
    assert spool.copy(work.message.id).state is State.HELD
    spool.intake.close()
    db.close()
