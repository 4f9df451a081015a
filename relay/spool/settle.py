"""Settling: the one way in which a claimed copy changes, guarded by its fence and by core.lifecycle.

Each step writes its event in the same transaction. A lost lease writes nothing at all. The fence number moves on with
each claim and each end of a lease, so that whoever comes late with an old number is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.core.errors import LeaseLostError
from relay.core.lifecycle import FINAL, State, is_step
from relay.core.ports import Actor, Event
from relay.spool.backoff import next_delay_ms
from relay.spool.errors import LifecycleError
from relay.store.base import EventDetail, Tx
from relay.store.repositories.copies import StoredCopy

_IN_ONE_QUERY = 500
_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of one claimed copy. None keeps what stands in the row."""

    copy_id: str
    fence: int
    state: State
    variant: int | None = None
    hop: str | None = None
    decision_id: str | None = None
    next_at: int | None = None
    """Milliseconds. Left out: deferred keeps the time stored by the claim, every other state is due at once."""
    status: str = ""
    """Enhanced status code (RFC 3463)."""
    text: str = ""
    """Reply of the peer or reason in words, for the trace; no mail text."""
    delay_notified: bool = False
    detail: Mapping[str, EventDetail] = field(default_factory=dict)
    """More for the event."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands in the row before the step."""

    message_id: str
    tenant: str
    state: State
    fence: int


def settle(
    tx: Tx,
    copy_id: str,
    fence: int,
    state: State,
    *,
    actor: Actor,
    variant: int | None = None,
    hop: str | None = None,
    decision_id: str | None = None,
    next_at: int | None = None,
    status: str = "",
    text: str = "",
    delay_notified: bool = False,
) -> None:
    """Move one claimed copy to `state` and end its lease.

    Raises LeaseLostError when the fence has moved on, LifecycleError when there is no such step. Either way the caller
    lets the transaction roll back.
    """
    settlement = Settlement(
        copy_id, fence, state, variant, hop, decision_id, next_at, status, text, delay_notified=delay_notified
    )
    settle_many(tx, [settlement], actor)


_SETTLE = (
    "UPDATE copy SET state = ?, variant = coalesce(?, variant), hop = coalesce(?, hop),"
    " decision_id = coalesce(?, decision_id), next_at = coalesce(?, next_at), last_status = ?, last_text = ?,"
    " delay_notified_at = coalesce(?, delay_notified_at), first_queued_at = coalesce(first_queued_at, ?),"
    " attempts = attempts * ?, updated_at = ?{lease} WHERE id = ? AND fence = ?"
)
# Not DO NOTHING: the update locks the row, so that a clean-up which looks at this very moment cannot drop it unseen.
_FINISHED = (
    "INSERT INTO finished (message_id, tenant, at) VALUES (?, ?, ?)"
    " ON CONFLICT (message_id) DO UPDATE SET at = excluded.at"
)
_END_LEASE = _SETTLE.format(lease=", crashes = 0, owner = '', lease_until = 0, fence = fence + 1")
_KEEP_LEASE = _SETTLE.format(lease="")


def settle_many(tx: Tx, settlements: Sequence[Settlement], actor: Actor) -> None:
    """Move many claimed copies in one go and end their leases; all or, with an error, none. Raises as settle does."""
    places = _check(tx, settlements)
    now = tx.now_ms()
    tx.run_many(_END_LEASE, [_settle_row(settlement, now, keep=False) for settlement in settlements])
    finished = {(places[s.copy_id].message_id, places[s.copy_id].tenant, now) for s in settlements if s.state in FINAL}
    tx.run_many(_FINISHED, sorted(finished))
    _note_steps(tx, settlements, places, actor)


def step(tx: Tx, settlements: Sequence[Settlement], actor: Actor) -> None:
    """Move claimed copies on but keep their leases: received to decided to protected within one claim.

    The fence stays the same. Raises as settle does; a final state is refused with LifecycleError.
    """
    if any(settlement.state in FINAL for settlement in settlements):
        raise LifecycleError("a final state ends the lease: settle it")
    places = _check(tx, settlements)
    now = tx.now_ms()
    tx.run_many(_KEEP_LEASE, [_settle_row(settlement, now, keep=True) for settlement in settlements])
    _note_steps(tx, settlements, places, actor)


def postpone(
    tx: Tx,
    copies: Sequence[StoredCopy],
    *,
    actor: Actor,
    status: str,
    text: str,
    retry_at: int | None = None,
    delay_notified: bool = False,
) -> None:
    """Leave claimed copies in their state and try again later (keyd or a directory is down): ends the lease.

    No crash is counted. Left out, `retry_at` is the back-off for the number of attempts. Raises LeaseLostError.
    """
    places = _read_places(tx, [copy.id for copy in copies])
    for copy in copies:
        _check_fence(copy.id, copy.fence, places)
    now = tx.now_ms()
    tx.run_many(
        "UPDATE copy SET owner = '', lease_until = 0, fence = fence + 1, crashes = 0, next_at = ?, last_status = ?,"
        " last_text = ?, delay_notified_at = coalesce(?, delay_notified_at), updated_at = ?"
        " WHERE id = ? AND fence = ?",
        [
            (
                now + next_delay_ms(copy.attempts) if retry_at is None else retry_at,
                status,
                text[:_MAX_TEXT],
                now if delay_notified else None,
                now,
                copy.id,
                copy.fence,
            )
            for copy in copies
        ],
    )
    for copy in copies:
        detail: dict[str, EventDetail] = {"state": places[copy.id].state.value, "status": status}
        tx.append_event(Event("copy.postponed", actor, copy.tenant, copy.message_id, copy.id, detail))


def _settle_row(settlement: Settlement, now: int, *, keep: bool) -> tuple[Any, ...]:
    is_deferred = settlement.state is State.DEFERRED
    next_at = settlement.next_at
    if next_at is None and not is_deferred and not keep:
        next_at = now
    return (
        settlement.state.value,
        settlement.variant,
        settlement.hop,
        settlement.decision_id,
        next_at,
        settlement.status,
        settlement.text[:_MAX_TEXT],
        now if settlement.delay_notified else None,
        now if settlement.state is State.QUEUED else None,
        1 if is_deferred or keep else 0,
        now,
        settlement.copy_id,
        settlement.fence,
    )


def _read_places(tx: Tx, copy_ids: Sequence[str]) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    locking = " FOR UPDATE" if tx.is_postgresql else ""
    for start in range(0, len(copy_ids), _IN_ONE_QUERY):
        ids = copy_ids[start : start + _IN_ONE_QUERY]
        rows = tx.fetch_all(
            "SELECT id, message_id, tenant, state, fence FROM copy"  # noqa: S608
            f" WHERE id IN ({', '.join('?' * len(ids))}) ORDER BY id{locking}",
            ids,
        )
        places.update((row[0], _Place(row[1], row[2], State(row[3]), int(row[4]))) for row in rows)
    return places


def _check_fence(copy_id: str, fence: int, places: Mapping[str, _Place]) -> _Place:
    place = places.get(copy_id)
    if place is None or place.fence != fence:
        raise LeaseLostError(f"copy {copy_id}: the fence has moved on from {fence}")
    return place


def _check(tx: Tx, settlements: Sequence[Settlement]) -> dict[str, _Place]:
    places = _read_places(tx, [settlement.copy_id for settlement in settlements])
    if len(places) < len(settlements) and len({s.copy_id for s in settlements}) < len(settlements):
        raise LifecycleError("one copy is settled twice in one go")
    for settlement in settlements:
        place = _check_fence(settlement.copy_id, settlement.fence, places)
        if not is_step(place.state, settlement.state):
            raise LifecycleError(f"copy {settlement.copy_id}: no step from {place.state} to {settlement.state}")
    return places


def _note_steps(tx: Tx, settlements: Iterable[Settlement], places: Mapping[str, _Place], actor: Actor) -> None:
    for settlement in settlements:
        place = places[settlement.copy_id]
        detail: dict[str, EventDetail] = {"before": place.state.value, **settlement.detail}
        if settlement.status:
            detail["status"] = settlement.status
        if settlement.hop:
            detail["hop"] = settlement.hop
        if settlement.variant is not None:
            detail["variant"] = settlement.variant
        kind = f"copy.{settlement.state.value}"
        tx.append_event(Event(kind, actor, place.tenant, place.message_id, settlement.copy_id, detail))
