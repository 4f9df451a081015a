"""Leases, fences, crash counts, back-off: on both databases."""

from __future__ import annotations

from typing import cast

import pytest

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.decision import Method
from relay.core.errors import LeaseLostError
from relay.core.lifecycle import State
from relay.spool.asides import copies_set_aside
from relay.spool.claims import (
    LEASE_MS,
    MAX_CRASHES,
    claim_delivery,
    claim_work,
    clean_stop,
    extend,
    give_back,
    release_copies,
    release_owner,
    release_owners,
)
from relay.spool.errors import LifecycleError
from relay.spool.recovery import sweep_leases
from relay.spool.settle import Settlement, postpone, settle, settle_many, step
from relay.store.base import Database, Row, Tx
from relay.store.models.copy import DELIVER_STATES, WORKER_STATES
from relay.store.repositories.events import events_of, verify
from tests.contract.spool.spool import ACTOR, Spool


def test_work_is_a_message_with_all_its_due_copies(spool: Spool) -> None:
    message_id = spool.put("a@partner.example", "b@partner.example")
    (work,) = claim_work(spool.db, "w1", 10)
    assert work.message.id == message_id
    assert {copy.normal_address for copy in work.copies} == {"a@partner.example", "b@partner.example"}
    assert {(copy.owner, copy.fence, copy.attempts) for copy in work.copies} == {("w1", 1, 1)}
    assert work.lease_until - work.claimed_at == LEASE_MS
    assert not work.is_suspect


def test_what_is_leased_is_claimed_by_nobody_until_the_lease_ends(spool: Spool) -> None:
    spool.put()
    assert len(claim_work(spool.db, "w1", 10)) == 1
    spool.clock.advance(LEASE_MS - 1000)
    assert claim_work(spool.db, "w2", 10) == []
    spool.clock.advance(2000)
    (work,) = claim_work(spool.db, "w2", 10)
    assert work.copies[0].fence == 2
    assert work.is_suspect


def test_limit_counts_messages_and_the_oldest_come_first(spool: Spool) -> None:
    ids = []
    for _ in range(5):
        ids.append(spool.put("a@partner.example", "b@partner.example"))
        spool.clock.advance(10)
    assert [work.message.id for work in claim_work(spool.db, "w", 2)] == ids[:2]
    assert [work.message.id for work in claim_work(spool.db, "w", 9)] == ids[2:]


def test_the_fence_refuses_the_late_writer(spool: Spool) -> None:
    """Fault row 11: a node cut off for longer than its lease comes back after another has taken over."""
    spool.put()
    (late,) = claim_work(spool.db, "w1", 1)
    spool.clock.advance(LEASE_MS + 1)
    (now,) = claim_work(spool.db, "w2", 1)
    with pytest.raises(LeaseLostError), spool.db.transaction() as tx:
        settle(tx, late.copies[0].id, late.copies[0].fence, State.HELD, actor=ACTOR)
    with pytest.raises(LeaseLostError), spool.db.transaction() as tx:
        step(tx, [Settlement(late.copies[0].id, late.copies[0].fence, State.DECIDED)], ACTOR)
    with pytest.raises(LeaseLostError), spool.db.transaction() as tx:
        postpone(tx, late.copies, actor=ACTOR, status="4.7.0", text="late")
    assert extend(spool.db, "w1", late.copies) == frozenset()
    copy = spool.copy(now.message.id)
    assert (copy.state, copy.owner, copy.fence) == (State.RECEIVED, "w2", 2)
    with spool.db.transaction() as tx:
        settle(tx, copy.id, copy.fence, State.HELD, actor=ACTOR)
    assert spool.copy(now.message.id).state is State.HELD


def test_a_lost_lease_writes_nothing_of_the_whole_transaction(spool: Spool) -> None:
    spool.put_many(2)
    first, second = (work.copies[0] for work in claim_work(spool.db, "w", 2))
    with pytest.raises(LeaseLostError), spool.db.transaction() as tx:
        settle_many(tx, [Settlement(first.id, first.fence, State.HELD), Settlement(second.id, 99, State.HELD)], ACTOR)
    assert spool.copy(first.message_id).state is State.RECEIVED
    assert [e.kind for e in _events(spool, first.message_id)] == ["message.received"]
    assert verify(spool.db) == []


def test_only_steps_of_the_lifecycle_are_taken(spool: Spool) -> None:
    spool.put()
    (work,) = claim_work(spool.db, "w", 1)
    copy = work.copies[0]
    for state in (State.DELIVERED, State.QUEUED, State.DISCARDED, State.RECEIVED):
        with pytest.raises(LifecycleError), spool.db.transaction() as tx:
            settle(tx, copy.id, copy.fence, state, actor=ACTOR)
    with pytest.raises(LifecycleError), spool.db.transaction() as tx:
        settle_many(tx, [Settlement(copy.id, copy.fence, State.HELD)] * 2, ACTOR)


def test_settling_ends_the_lease_and_cannot_be_done_twice(spool: Spool) -> None:
    spool.put()
    (work,) = claim_work(spool.db, "w", 1)
    copy = work.copies[0]
    with spool.db.transaction() as tx:
        settle(tx, copy.id, copy.fence, State.HELD, actor=ACTOR, status="4.7.0", text="why")
    stored = spool.copy(work.message.id)
    assert (stored.owner, stored.lease_until, stored.crashes) == ("", 0, 0)
    assert (stored.last_status, stored.last_text) == ("4.7.0", "why")
    with pytest.raises(LeaseLostError), spool.db.transaction() as tx:
        settle(tx, copy.id, copy.fence, State.DISCARDED, actor=ACTOR)


def test_step_keeps_the_lease_and_settle_follows_with_the_same_fence(spool: Spool) -> None:
    spool.put()
    (copy,) = spool.queue()
    stored = spool.copy(copy.message_id)
    assert (stored.state, stored.hop, stored.variant, stored.method) == (State.QUEUED, "outside", 0, Method.PASS)
    kinds = [event.kind for event in _events(spool, copy.message_id)]
    assert kinds == ["message.received", "copy.decided", "copy.queued"]


def test_heartbeat_extends_what_is_still_held(spool: Spool) -> None:
    spool.put_many(2)
    one, two = claim_work(spool.db, "w", 2)
    with spool.db.transaction() as tx:
        settle(tx, two.copies[0].id, two.copies[0].fence, State.HELD, actor=ACTOR)
    spool.clock.advance(LEASE_MS // 3)
    assert extend(spool.db, "w", [*one.copies, *two.copies]) == {one.copies[0].id}
    spool.clock.advance(LEASE_MS - 1000)
    assert claim_work(spool.db, "other", 2) == []


# --- crashes ----------------------------------------------------------------------------------------------------------


def test_the_third_unsettled_claim_shunts_the_message_with_an_event(spool: Spool) -> None:
    message_id = spool.put("a@partner.example", "b@partner.example")
    for crash in range(1, MAX_CRASHES + 1):
        (work,) = claim_work(spool.db, "w", 1)
        assert work.copies[0].crashes == crash
        assert release_owner(spool.db, "w") == 2
    assert claim_work(spool.db, "w", 1) == []
    copies = spool.copies(message_id)
    assert {copy.state for copy in copies} == {State.SHUNTED}
    assert [e.kind for e in _events(spool, message_id)].count("copy.shunted") == 2
    assert spool.content(message_id)


def test_a_suspect_comes_alone_and_does_not_take_others_along(spool: Spool) -> None:
    poison = spool.put()
    claim_work(spool.db, "w", 1)
    release_owner(spool.db, "w")
    spool.clock.advance(10)
    innocent = [spool.put() for _ in range(3)]
    first = claim_work(spool.db, "w", 10)
    assert [work.message.id for work in first] == [poison]
    second = claim_work(spool.db, "w", 10)
    assert sorted(work.message.id for work in second) == sorted(innocent)


def test_good_order_counts_no_crash(spool: Spool) -> None:
    message_id = spool.put()
    for _ in range(MAX_CRASHES + 2):
        assert len(claim_work(spool.db, "w", 1)) == 1
        assert clean_stop(spool.db, "w") == 1
    copy = spool.copy(message_id)
    assert (copy.crashes, copy.attempts, copy.owner, copy.state) == (0, 0, "", State.RECEIVED)


def test_give_back_counts_nothing_and_moves_the_fence(spool: Spool) -> None:
    message_id = spool.put()
    (work,) = claim_work(spool.db, "w", 1)
    with spool.db.transaction() as tx:
        give_back(tx, work.copies)
    copy = spool.copy(message_id)
    assert (copy.attempts, copy.crashes) == (0, 0)
    with pytest.raises(LeaseLostError), spool.db.transaction() as tx:
        settle(tx, copy.id, work.copies[0].fence, State.HELD, actor=ACTOR)


def test_leases_of_a_dead_node_are_freed_at_once(spool: Spool) -> None:
    spool.put_many(3)
    claim_work(spool.db, "node1/worker/0", 1)
    claim_work(spool.db, "node1/worker/1", 1)
    claim_work(spool.db, "node10/worker/0", 1)
    assert release_owners(spool.db, "node1/") == 2
    assert release_owner(spool.db, "") == 0
    assert len({w.message.id for _ in range(3) for w in claim_work(spool.db, "x", 9)}) == 2


def test_a_mail_is_not_to_blame_for_the_fall_of_its_host(spool: Spool) -> None:
    message_id = spool.put()
    for fall in range(1, 30):
        (work,) = claim_work(spool.db, "w", 1)
        assert (work.copies[0].attempts, work.copies[0].crashes) == (fall, 1)
        assert release_owner(spool.db, "w", host_fell=True) == 1
        assert not spool.copy(message_id).crashes


def test_a_mail_that_brings_down_its_host_each_time_is_shunted_in_the_end(spool: Spool) -> None:
    message_id = spool.put()
    spool.clock.advance(HOUR)
    claims = 0
    while claim_work(spool.db, "w", 1):
        claims += 1
        release_owner(spool.db, "w", host_fell=True)
    assert spool.copy(message_id).state is State.SHUNTED
    assert claims == 9 + MAX_CRASHES


def test_one_dead_job_frees_its_own_copies_only(spool: Spool) -> None:
    spool.put_many(2)
    one, two = claim_work(spool.db, "w", 2)
    release_copies(spool.db, one.copies)
    (again,) = claim_work(spool.db, "w", 2)
    assert again.message.id == one.message.id
    assert again.is_suspect
    assert spool.copy(two.message.id).owner == "w"


def test_success_forgets_earlier_crashes(spool: Spool) -> None:
    message_id = spool.put()
    for _ in range(2):
        claim_work(spool.db, "w", 1)
        release_owner(spool.db, "w")
    spool.queue()
    copy = spool.copy(message_id)
    assert (copy.crashes, copy.attempts, copy.state) == (0, 0, State.QUEUED)


def test_mail_without_a_key_is_shunted_and_not_handed_out(spool: Spool) -> None:
    message_id = spool.put()
    with spool.db.transaction() as tx:
        tx.run("DELETE FROM mail_key WHERE message_id = ?", [message_id])
    assert claim_work(spool.db, "w", 1) == []
    assert spool.copy(message_id).state is State.SHUNTED


# --- postponing -------------------------------------------------------------------------------------------------------


def test_postponed_work_waits_for_its_back_off(spool: Spool) -> None:
    message_id = spool.put()
    for attempt, (least, most) in enumerate([(48, 72), (96, 144), (192, 288)], start=1):
        (work,) = claim_work(spool.db, "w", 1)
        assert work.copies[0].attempts == attempt
        with spool.db.transaction() as tx:
            postpone(tx, work.copies, actor=ACTOR, status="4.7.0", text="keyd is away")
        wait = spool.copy(message_id).next_at - work.claimed_at
        assert least * 1000 <= wait <= most * 1000 + 2000
        assert claim_work(spool.db, "w", 1) == []
        spool.clock.advance(wait + 1000)
    assert spool.copy(message_id).crashes == 0


# --- delivery ---------------------------------------------------------------------------------------------------------


def test_deliveries_are_grouped_by_message_variant_and_hop(spool: Spool) -> None:
    message_id = spool.put("a@partner.example", "b@partner.example", "c@bank.example")
    (work,) = claim_work(spool.db, "w", 1)
    by_address = {copy.normal_address: copy for copy in work.copies}
    with spool.db.transaction() as tx:
        for address, copy in by_address.items():
            hop = "inside" if address.endswith("bank.example") else "outside"
            step(tx, [Settlement(copy.id, copy.fence, State.DECIDED)], ACTOR)
            settle(tx, copy.id, copy.fence, State.QUEUED, actor=ACTOR, hop=hop)
    deliveries = {delivery.hop: delivery for delivery in claim_delivery(spool.db, "d", 10)}
    assert {len(delivery.copies) for delivery in deliveries.values()} == {1, 2}
    outside = deliveries["outside"]
    assert {copy.normal_address for copy in outside.copies} == {"a@partner.example", "b@partner.example"}
    assert (outside.variant.number, outside.variant.reverse_path) == (0, "anna@bank.example")
    assert outside.message.id == message_id


def test_the_next_attempt_is_stored_before_this_one(spool: Spool) -> None:
    message_id = spool.put()
    spool.queue()
    (delivery,) = claim_delivery(spool.db, "d", 1)
    copy = spool.copy(message_id)
    assert copy.attempts == 1
    assert 48_000 <= copy.next_at - delivery.claimed_at <= 72_000
    with spool.db.transaction() as tx:
        settle(tx, copy.id, copy.fence, State.DEFERRED, actor=ACTOR, status="4.4.1", text="no answer")
    assert spool.copy(message_id).next_at == copy.next_at
    assert claim_delivery(spool.db, "d", 1) == []
    spool.clock.advance(80_000)
    (again,) = claim_delivery(spool.db, "d", 1)
    assert again.copies[0].attempts == 2
    assert 96_000 <= spool.copy(message_id).next_at - again.claimed_at <= 144_000


def test_back_off_ends_at_an_hour_and_time_in_the_queue_is_kept(spool: Spool) -> None:
    message_id = spool.put()
    spool.queue()
    first = spool.copy(message_id).first_queued_at
    for _ in range(12):
        (delivery,) = claim_delivery(spool.db, "d", 1)
        copy = delivery.copies[0]
        assert copy.next_at - delivery.claimed_at <= 72 * MINUTE
        with spool.db.transaction() as tx:
            settle(tx, copy.id, copy.fence, State.DEFERRED, actor=ACTOR, status="4.4.1")
        spool.clock.advance(2 * HOUR)
    copy = spool.copy(message_id)
    assert copy.first_queued_at == first
    assert copy.attempts == 12


def test_skipped_hops_are_left_alone_and_the_others_share(spool: Spool) -> None:
    for hop in ("a", "b", "c"):
        spool.put_many(5)
        spool.queue(hop=hop)
    claimed = claim_delivery(spool.db, "d", 4, {"b"})
    assert sorted(delivery.hop for delivery in claimed) == ["a", "a", "c", "c"]
    rest = [d.hop for _ in range(9) for d in claim_delivery(spool.db, "d", 100, ("b",))]
    assert sorted(rest) == ["a"] * 3 + ["c"] * 3
    assert [d.hop for d in claim_delivery(spool.db, "d", 100)] == ["b"] * 5


def test_a_crash_of_deliver_is_counted_and_ends_in_a_shunt(spool: Spool) -> None:
    message_id = spool.put()
    spool.queue()
    for _ in range(MAX_CRASHES):
        assert len(claim_delivery(spool.db, "d", 1)) == 1
        release_owner(spool.db, "d")
    assert claim_delivery(spool.db, "d", 1) == []
    assert spool.copy(message_id).state is State.SHUNTED


def test_a_lease_that_ran_out_does_not_stick(spool: Spool) -> None:
    """Fault row 6: after a full disk nothing stays leased for ever, even if nobody could write the end of the lease."""
    spool.put()
    spool.queue()
    claim_delivery(spool.db, "d", 1)
    spool.clock.advance(DAY)
    assert len(claim_delivery(spool.db, "other", 1)) == 1


def test_a_clock_that_was_set_back_stops_no_mail(spool: Spool) -> None:
    leased, deferred = spool.put(), spool.put()
    spool.clock.advance(DAY)
    (work,) = claim_work(spool.db, "w", 1)
    (other,) = claim_work(spool.db, "w", 1)
    with spool.db.transaction() as tx:
        postpone(tx, other.copies, actor=ACTOR, status="4.7.0", text="later")
    assert sweep_leases(spool.db) == 0
    spool.clock.advance(-DAY)
    assert claim_work(spool.db, "x", 9) == []
    assert sweep_leases(spool.db) == 2
    found = {one.message.id for _ in range(2) for one in claim_work(spool.db, "x", 9)}
    assert found == {leased, deferred}
    with pytest.raises(LeaseLostError), spool.db.transaction() as tx:
        settle(tx, work.copies[0].id, work.copies[0].fence, State.HELD, actor=ACTOR)


def test_delay_notice_is_noted_once(spool: Spool) -> None:
    message_id = spool.put()
    spool.queue()
    (delivery,) = claim_delivery(spool.db, "d", 1)
    copy = delivery.copies[0]
    with spool.db.transaction() as tx:
        settle(tx, copy.id, copy.fence, State.DEFERRED, actor=ACTOR, delay_notified=True)
    noted = spool.copy(message_id).delay_notified_at
    assert noted is not None
    spool.clock.advance(HOUR)
    (delivery,) = claim_delivery(spool.db, "d", 1)
    with spool.db.transaction() as tx:
        settle(tx, copy.id, delivery.copies[0].fence, State.DEFERRED, actor=ACTOR)
    assert spool.copy(message_id).delay_notified_at == noted


# --- cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "index"), [(WORKER_STATES, "ix_copy_for_worker"), (DELIVER_STATES, "ix_copy_for_deliver")]
)
def test_claims_run_over_the_partial_index(db: Database, states: str, index: str) -> None:
    """Cost flat from 100 to 100,000 waiting rows: no scan of the table and no sort stands in the plan."""
    hop = "c.hop = 'outside' AND " if "queued" in states else ""
    query = (
        f"SELECT c.id FROM copy c WHERE c.state IN {states} AND {hop}c.next_at <= 5 AND c.lease_until <= 5"
        " ORDER BY c.next_at LIMIT 10"
    )
    with db.transaction() as tx:
        if tx.is_postgresql:
            tx.run("SET LOCAL enable_seqscan = off")
            tx.run("SET LOCAL enable_bitmapscan = off")
            plan = "\n".join(str(row[0]) for row in tx.fetch_all("EXPLAIN " + query))
        else:
            plan = "\n".join(str(row[3]) for row in tx.fetch_all("EXPLAIN QUERY PLAN " + query))
    assert index in plan
    assert "SORT" not in plan.upper()
    assert "TEMP B-TREE" not in plan


def test_the_look_for_what_was_set_aside_runs_over_the_partial_indexes(db: Database) -> None:
    """Each minute, for ever: it costs what waits, not what was delivered and is kept."""
    plans: list[str] = []

    with db.transaction() as tx:
        if tx.is_postgresql:
            tx.run("SET LOCAL enable_seqscan = off")
            tx.run("SET LOCAL enable_bitmapscan = off")

        class Explaining:
            def fetch_all(self, query: str, values: list[object]) -> list[Row]:
                words = "EXPLAIN " if tx.is_postgresql else "EXPLAIN QUERY PLAN "
                plans.append("\n".join(str(row[-1]) for row in tx.fetch_all(words + query, values)))
                return []

        copies_set_aside(cast("Tx", Explaining()), "default", 0, 5)
    found = [{one for one in ("ix_copy_for_person", "ix_copy_for_worker") if one in plan} for plan in plans]
    assert found == [{"ix_copy_for_person"}, {"ix_copy_for_worker"}]
    assert "ix_copy_normal_address" not in str(plans)


def _events(spool: Spool, message_id: str) -> list:  # type: ignore[type-arg]
    with spool.db.reading() as tx:
        return events_of(tx, message_id)
