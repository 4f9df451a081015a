"""Copies for the portal: deliver leaves them alone, the link leases them one by one. On both databases."""

from __future__ import annotations

import pytest

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.errors import LeaseLostError
from relay.core.lifecycle import State
from relay.spool.claims import (
    LEASE_MS,
    MAX_CRASHES,
    PORTAL_HOP,
    claim_delivery,
    clean_stop,
    late_portal_copies,
    lease_portal_copy,
)
from relay.spool.operations import drop, hold, release
from relay.spool.settle import settle
from relay.spool.values import Delivery
from relay.store.repositories.copies import StoredCopy
from tests.contract.spool.spool import ACTOR, TENANT, Spool


def queue_for_portal(spool: Spool) -> StoredCopy:
    message_id = spool.put()
    spool.queue(hop=PORTAL_HOP)
    return spool.copy(message_id)


def lease(spool: Spool, copy_id: str, owner: str = "link") -> Delivery | None:
    with spool.db.transaction() as tx:
        return lease_portal_copy(tx, owner, copy_id)


def test_deliver_claims_no_copy_for_the_portal_however_it_asks(spool: Spool) -> None:
    queue_for_portal(spool)
    outside = spool.put()
    spool.queue(hop="outside")
    spool.clock.advance(DAY)
    (delivery,) = claim_delivery(spool.db, "deliver", 10)
    assert delivery.message.id == outside
    assert claim_delivery(spool.db, "deliver", 10, ["inside"]) == []


def test_a_lease_stores_the_next_attempt_and_is_one_owners(spool: Spool) -> None:
    copy = queue_for_portal(spool)
    delivery = lease(spool, copy.id)
    assert delivery is not None
    (leased,) = delivery.copies
    assert (leased.owner, leased.attempts, leased.crashes, leased.fence) == ("link", 1, 1, copy.fence + 1)
    assert leased.next_at >= delivery.claimed_at + MINUTE * 0.8
    assert delivery.message.id == copy.message_id
    assert delivery.variant.number == 0
    with pytest.raises(LeaseLostError):
        lease(spool, copy.id, "other")
    with spool.db.transaction() as tx:
        settle(tx, leased.id, leased.fence, State.DELIVERED, actor=ACTOR)
    assert lease(spool, copy.id) is None


def test_what_is_held_dropped_or_decided_another_way_is_not_pushed(spool: Spool) -> None:
    held, dropped, other = (queue_for_portal(spool) for _ in range(3))
    hold(spool.db, TENANT, [held.id, other.id], ACTOR, "test")
    drop(spool.db, TENANT, [dropped.id], ACTOR, "test")
    release(spool.db, TENANT, [other.id], ACTOR)
    spool.queue(hop="outside")
    assert spool.copy(other.message_id).state is State.QUEUED
    assert [lease(spool, copy.id) for copy in (held, dropped, other)] == [None, None, None]
    assert lease(spool, "A" * 22) is None


def test_three_leases_that_nobody_settled_shunt_the_copy(spool: Spool) -> None:
    copy = queue_for_portal(spool)
    for _ in range(MAX_CRASHES):
        assert lease(spool, copy.id) is not None
        spool.clock.advance(LEASE_MS + MINUTE)
    assert lease(spool, copy.id) is None
    assert spool.copy(copy.message_id).state is State.SHUNTED


def test_a_clean_stop_counts_nothing(spool: Spool) -> None:
    copy = queue_for_portal(spool)
    lease(spool, copy.id)
    assert clean_stop(spool.db, "link") == 1
    after = spool.copy(copy.message_id)
    assert (after.attempts, after.crashes, after.owner) == (0, 0, "")


def test_late_copies_are_found_once_for_the_delay_and_again_at_the_end(spool: Spool) -> None:
    copy = queue_for_portal(spool)

    def late() -> list[str]:
        with spool.db.reading() as tx:
            return late_portal_copies(tx, TENANT, 10)

    spool.clock.advance(3 * HOUR)
    assert late() == []
    spool.clock.advance(2 * HOUR)
    assert late() == [copy.id]
    delivery = lease(spool, copy.id)
    assert delivery is not None
    assert late() == []
    (leased,) = delivery.copies
    with spool.db.transaction() as tx:
        settle(tx, leased.id, leased.fence, State.DEFERRED, actor=ACTOR, delay_notified=True)
    assert late() == []
    spool.clock.advance(5 * DAY)
    assert late() == [copy.id]
