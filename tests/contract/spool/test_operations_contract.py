"""What a person may do with waiting mail: each step is an event with the actor, nothing in flight is touched."""

from __future__ import annotations

import pytest

from relay.core.decision import Decision, Method, Reason
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.spool.claims import LEASE_MS, claim_delivery, claim_work
from relay.spool.errors import CopyBusyError, LifecycleError
from relay.spool.operations import count_queue, drop, hold, list_queue, release, retry, show_message
from relay.spool.recovery import shred_finished
from relay.spool.settle import Settlement, settle_many
from relay.store.errors import NotFoundError
from relay.store.repositories.decisions import get_decision
from relay.store.repositories.events import StoredEvent, events_of, verify
from tests.contract.spool.spool import ACTOR, TENANT, Spool

OPERATOR = Actor("operator", "lena")


def _hold_by_policy(spool: Spool) -> None:
    for work in claim_work(spool.db, "w", 100):
        with spool.db.transaction() as tx:
            settle_many(tx, [Settlement(c.id, c.fence, State.HELD, text="rule 7") for c in work.copies], ACTOR)


def _last(spool: Spool, message_id: str) -> StoredEvent:
    with spool.db.reading() as tx:
        return max(events_of(tx, message_id), key=lambda event: event.seq)


def test_list_shows_what_waits_by_state_and_address(spool: Spool) -> None:
    held = spool.put("eva@partner.example")
    _hold_by_policy(spool)
    waiting = spool.put("udo@partner.example", "eva@partner.example")
    assert {entry.message.id for entry in list_queue(spool.db, TENANT)} == {held, waiting}
    assert len(list_queue(spool.db, TENANT, limit=2)) == 2
    assert [e.message.id for e in list_queue(spool.db, TENANT, states=frozenset({State.HELD}))] == [held]
    assert {e.message.id for e in list_queue(spool.db, TENANT, address="udo@partner.example")} == {waiting}
    assert list_queue(spool.db, "other") == []
    assert list_queue(spool.db, TENANT, states=frozenset()) == []
    counts = count_queue(spool.db)
    assert (counts[State.HELD], counts[State.RECEIVED], counts[State.QUEUED]) == (1, 2, 0)
    assert count_queue(spool.db, "other")[State.RECEIVED] == 0


def test_show_tells_final_copies_too_and_who_works(spool: Spool) -> None:
    message_id = spool.put()
    claim_work(spool.db, "w", 1)
    (entry,) = show_message(spool.db, TENANT, message_id)
    assert entry.is_leased
    for tenant, wanted in ((TENANT, "A" * 22), ("other", message_id)):
        with pytest.raises(NotFoundError):
            show_message(spool.db, tenant, wanted)


def test_hold_keeps_mail_from_worker_and_deliver_until_release(spool: Spool) -> None:
    message_id = spool.put()
    spool.queue()
    copy = spool.copy(message_id)
    assert hold(spool.db, TENANT, [copy.id], OPERATOR, "asked by phone") == 1
    event = _last(spool, message_id)
    assert (event.kind, event.actor) == ("copy.held", "operator:lena")
    assert claim_delivery(spool.db, "d", 9) == []
    assert claim_work(spool.db, "w", 9) == []
    assert release(spool.db, TENANT, [copy.id], OPERATOR) == 1
    released = spool.copy(message_id)
    assert (released.state, released.variant, released.first_queued_at) == (State.RECEIVED, None, None)
    assert len(claim_work(spool.db, "w", 9)) == 1
    assert verify(spool.db) == []


def test_release_with_a_persons_decision_goes_on_from_decided(spool: Spool) -> None:
    message_id = spool.put()
    _hold_by_policy(spool)
    copy = spool.copy(message_id)
    decision = Decision(Method.PDF, Reason.RULE, "Released as PDF by operator lena.")
    release(spool.db, TENANT, [copy.id], OPERATOR, decision=decision)
    released = spool.copy(message_id)
    assert (released.state, released.method) == (State.DECIDED, Method.PDF)
    assert released.decision_id is not None
    with spool.db.reading() as tx:
        assert get_decision(tx, released.decision_id).decision == decision


def test_shunted_mail_starts_afresh_when_released(spool: Spool) -> None:
    message_id = spool.put()
    with spool.db.transaction() as tx:
        tx.run("UPDATE copy SET crashes = 3, attempts = 3")
    assert claim_work(spool.db, "w", 1) == []
    release(spool.db, TENANT, [spool.copy(message_id).id], OPERATOR)
    (work,) = claim_work(spool.db, "w", 1)
    assert (work.copies[0].crashes, work.copies[0].attempts) == (1, 1)


def test_what_is_in_flight_is_left_alone(spool: Spool) -> None:
    message_id = spool.put()
    claim_work(spool.db, "w", 1)
    copy = spool.copy(message_id)
    with pytest.raises(CopyBusyError):
        hold(spool.db, TENANT, [copy.id], OPERATOR, "x")
    with pytest.raises(CopyBusyError):
        drop(spool.db, TENANT, [copy.id], OPERATOR, "x")
    with pytest.raises(CopyBusyError):
        retry(spool.db, TENANT, [copy.id], OPERATOR)
    assert spool.copy(message_id) == copy
    spool.clock.advance(LEASE_MS + 1)
    assert hold(spool.db, TENANT, [copy.id], OPERATOR, "x") == 1


def test_retry_makes_deferred_mail_due_now(spool: Spool) -> None:
    message_id = spool.put()
    spool.queue()
    (delivery,) = claim_delivery(spool.db, "d", 1)
    copy = delivery.copies[0]
    with spool.db.transaction() as tx:
        settle_many(tx, [Settlement(copy.id, copy.fence, State.DEFERRED)], ACTOR)
    assert claim_delivery(spool.db, "d", 1) == []
    assert retry(spool.db, TENANT, [copy.id], OPERATOR) == 1
    assert len(claim_delivery(spool.db, "d", 1)) == 1
    assert _last(spool, message_id).kind == "copy.retried"


def test_drop_ends_mail_in_any_waiting_state_and_shreds_it(spool: Spool) -> None:
    received, queued, held = spool.put(), None, None
    first = spool.copy(received)
    assert drop(spool.db, TENANT, [first.id], OPERATOR, "sender's wish") == 1
    queued = spool.put()
    spool.queue()
    held = spool.put()
    _hold_by_policy(spool)
    drop(spool.db, TENANT, [spool.copy(queued).id, spool.copy(held).id], OPERATOR, "x")
    assert {spool.copy(m).state for m in (received, queued, held)} == {State.DISCARDED}
    assert shred_finished(spool.db) == 3
    with pytest.raises(LifecycleError):
        drop(spool.db, TENANT, [first.id], OPERATOR, "again")


def test_one_wrong_copy_stops_the_whole_call(spool: Spool) -> None:
    message_id = spool.put()
    copy = spool.copy(message_id)
    with pytest.raises(NotFoundError):
        hold(spool.db, TENANT, [copy.id, "A" * 22], OPERATOR, "x")
    with pytest.raises(NotFoundError):
        hold(spool.db, "other", [copy.id], OPERATOR, "x")
    with pytest.raises(LifecycleError):
        release(spool.db, TENANT, [copy.id], OPERATOR)
    hold(spool.db, TENANT, [copy.id], OPERATOR, "x")
    with pytest.raises(LifecycleError):
        retry(spool.db, TENANT, [copy.id], OPERATOR)
    assert spool.copy(message_id).state is State.HELD
