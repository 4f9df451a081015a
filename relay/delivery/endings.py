"""What the outcome of an attempt means for the copy's row: its next state, and what the sender is told. No I/O.

- Delivered: delivered; told only where NOTIFY asks and the next hop cannot pass that on (`relayed`, RFC 3461 5.2.2).
- Failed: failed, told. Deferred: waits; told once after 4 hours; after 5 days failed with 4.4.7, told.
- Not tried, because the hop is down or the key daemon away: given back, nothing counted; the two times above hold.
- Not approved, or the key is destroyed: shunted, a person is alerted. Never sent, never bounced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.clock import SECOND
from relay.core.lifecycle import State
from relay.delivery.errors import Why
from relay.delivery.outcome import Deferred, Delivered, Outcome
from relay.message.dsn import Action
from relay.spool.backoff import is_delay_notice_due, is_expired
from relay.spool.settle import Settlement
from relay.spool.values import Delivery
from relay.store.repositories.copies import StoredCopy

NOT_TRIED = frozenset({Why.HOP_DOWN, Why.KEYS})
TO_SHUNT = frozenset({Why.APPROVAL, Why.KEY_GONE})
KEYS_PAUSE_MS = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Ending:
    """One copy's end of this attempt."""

    copy: StoredCopy
    outcome: Outcome
    settlement: Settlement | None
    """None: the copy is given back, nothing counted."""
    action: Action | None = None
    """What a delivery report would say, None for no report; NOTIFY is looked at later."""
    retry_at: int | None = None
    """When a copy that is given back is due again; None for now, behind all that wait."""

    @property
    def status(self) -> str:
        """Enhanced status for the report."""
        return self.settlement.status if self.settlement else self.outcome.status


def plan_ending(delivery: Delivery, copy: StoredCopy, outcome: Outcome, hop_key: str | None) -> Ending:
    """Plan one copy's ending. `hop_key` is the hop that the mailer table names for it now, None for none."""
    if isinstance(outcome, Delivered):
        wants_success = copy.notify is not None and "SUCCESS" in copy.notify
        action = Action.RELAYED if wants_success and not outcome.dsn_passed_on else None
        detail = {"hop": hop_key or copy.hop, "tls": outcome.tls or "none"}
        return Ending(copy, outcome, _settlement(copy, State.DELIVERED, outcome, detail), action)
    if not isinstance(outcome, Deferred):
        return Ending(copy, outcome, _settlement(copy, State.FAILED, outcome), Action.FAILED)
    if outcome.why in TO_SHUNT:
        return Ending(copy, outcome, _settlement(copy, State.SHUNTED, outcome))
    first, now = copy.first_queued_at or delivery.message.received_at, delivery.claimed_at
    if is_expired(first, now):
        given_up = Deferred("4.4.7", f"given up after 5 days: {outcome.text}", outcome.why, outcome.remote)
        return Ending(copy, outcome, _settlement(copy, State.FAILED, given_up), Action.FAILED)
    is_late = is_delay_notice_due(first, copy.delay_notified_at, now)
    if outcome.why in NOT_TRIED and not is_late:
        if outcome.why is Why.KEYS:
            return Ending(copy, outcome, None, retry_at=now + KEYS_PAUSE_MS)
        # Claims skip a hop by this name while it is closed, so a copy that is due at once makes no hot loop. A message
        # with REQUIRETLS uses the hop in a way of its own that claims do not know of.
        if copy.hop == hop_key and not delivery.message.requiretls:
            return Ending(copy, outcome, None, retry_at=_former_place(copy))
    moved = hop_key if hop_key != copy.hop else None
    settlement = Settlement(
        copy.id,
        copy.fence,
        State.DEFERRED,
        hop=moved,
        status=outcome.status,
        text=outcome.text,
        delay_notified=is_late,
        detail={"why": outcome.why.value},
    )
    return Ending(copy, outcome, settlement, Action.DELAYED if is_late else None)


def _former_place(copy: StoredCopy) -> int:
    """Return a time that puts a copy back where it stood among the waiting ones (fault row 14)."""
    is_untried = copy.attempts <= 1 and copy.first_queued_at is not None
    return copy.first_queued_at if is_untried and copy.first_queued_at else copy.updated_at


def _settlement(
    copy: StoredCopy, state: State, outcome: Outcome, detail: Mapping[str, str] | None = None
) -> Settlement:
    return Settlement(
        copy.id, copy.fence, state, status=outcome.status, text=outcome.text, detail=dict(detail) if detail else {}
    )
