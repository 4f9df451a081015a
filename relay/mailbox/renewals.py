"""Resend, reset, expiry: asked for here, done by the link process once the portal is frozen and pulled empty.

Who may ask (sealed-mailbox 11): an inside sender who has written to this partner, at most once a day for a box; an
operator by letterlock mailbox, who names the sender that is told. Nobody is told a password who did not write to it.
By policy others have to agree first: relay.mailbox.approvals.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.clock import DAY
from relay.core.errors import LetterlockError
from relay.core.ports import Actor, Event, Grant
from relay.mailbox.boxes import begin_first, expire_box, record_generation
from relay.mailbox.generations import RESEND, RESET, Generations, MadeGeneration, is_code_needed
from relay.mailbox.notices import Notices
from relay.mailbox.states import BoxEvent, BoxState, BoxStateError, next_state
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import ConflictError
from relay.store.repositories import mailbox_boxes as rows
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_generations import generations_of
from relay.store.repositories.mailbox_messages import generations_with_mail, senders_of_box

EXPIRE = "expire"
_EVENTS = {RESEND: BoxEvent.RESEND, RESET: BoxEvent.RESET, EXPIRE: BoxEvent.EXPIRE}
ONCE_MS = DAY


class RenewalRefusedError(LetterlockError):
    """This sender may not have it, or not again today."""

    temporary = False
    status = "5.7.1"


@dataclass(frozen=True, slots=True)
class Renewal:
    """A new first password that is made and not yet stored. `Renewals.record` stores it."""

    before: Box
    after: Box
    made: MadeGeneration


def request_renewal(
    tx: Tx, tenant: str, box_id: str, cause: str, actor: Actor, *, told: str, is_urgent: bool = False
) -> None:
    """Queue a resend or a reset; the link process does it. `told`: the inside sender who gets the password.

    Whether others have to agree first is relay.mailbox.approvals' business. Raises what `check_renewal` does.
    """
    box = check_renewal(tx, tenant, box_id, cause, told=told, is_urgent=is_urgent)
    _queue(tx, box, cause, told, actor)


def check_renewal(tx: Tx, tenant: str, box_id: str, cause: str, *, told: str, is_urgent: bool = False) -> Box:
    """Return the box, held, that may get a resend or a reset. `is_urgent`: more than once a day, after a leak.

    Raises NotFoundError, BoxStateError, RenewalRefusedError.
    """
    box = rows.get_box(tx, tenant, box_id, lock=True)
    next_state(box.state, _EVENTS[cause])
    if told not in senders_of_box(tx, tenant, box_id, is_kept=False):
        raise RenewalRefusedError("Only somebody who has written to this partner can be told the password.")
    before = tx.now_ms() - ONCE_MS
    waiting = pushes.waiting_pushes(tx, tenant, box_id=box_id)
    asked = [one for one in waiting if one.kind == pushes.RENEW and one.ref != EXPIRE]
    made = [one for one in generations_of(tx, tenant, box_id) if one.cause in (RESEND, RESET) and one.made_at > before]
    if asked or (made and not is_urgent):
        raise RenewalRefusedError("A new password was made for this mailbox less than a day ago.")
    return box


def request_expiry(tx: Tx, tenant: str, box_id: str, actor: Actor, *, why: str) -> None:
    """Queue the end of a first password. `why`: time, tries, operator. Raises NotFoundError, BoxStateError."""
    box = rows.get_box(tx, tenant, box_id, lock=True)
    next_state(box.state, BoxEvent.EXPIRE)
    waiting = pushes.waiting_pushes(tx, tenant, box_id=box_id)
    if not any(one.kind == pushes.RENEW and one.ref == EXPIRE for one in waiting):
        _queue(tx, box, EXPIRE, why, actor)


def queue_due_expiries(database: Database, tenant: str, actor: Actor, limit: int = 100) -> int:
    """Queue the end of all first passwords whose time is over; return how many."""
    with database.reading() as tx:
        due = rows.boxes_to_expire(tx, tenant, tx.now_ms(), limit)
    count = 0
    for box in due:
        with database.transaction() as tx:
            try:
                request_expiry(tx, tenant, box.id, actor, why="time")
                count += 1
            except BoxStateError:
                continue  # opened meanwhile
    return count


def _queue(tx: Tx, box: Box, cause: str, told: str, actor: Actor) -> None:
    detail: dict[str, EventDetail] = {"box": box.id, "cause": cause, "told": told}
    pushes.add_push(tx, box.tenant, pushes.RENEW, box=box.id, ref=cause, detail={"told": told, "gen": box.gen})
    tx.append_event(Event("mailbox.renewal-asked", actor, box.tenant, detail=detail))


class Renewals:
    """Does what was asked for, for the link process: freeze and pull first, then `prepare`, then `record` in a tx."""

    def __init__(
        self, database: Database, generations: Generations, notices: Notices, *, tenant: str, actor: Actor
    ) -> None:
        self._database = database
        self._generations = generations
        self._notices = notices
        self._tenant = tenant
        self._actor = actor

    def prepare(self, push: pushes.Push, grant: Grant) -> Renewal | None:
        """Make the next generation for a push of kind `renew` (ref resend or reset).

        None where it makes no sense any more (the reader was just in time for a resend, the box was closed): drop the
        push. Raises KeyStoreError, StorageError.
        """
        told = str(push.detail.get("told", ""))
        with self._database.reading() as tx:
            now = tx.now_ms()
            box = rows.get_box(tx, self._tenant, push.box)
            kept = generations_of(tx, self._tenant, push.box)
            senders = senders_of_box(tx, self._tenant, push.box, is_kept=False)
            needed = generations_with_mail(tx, self._tenant, push.box)
        event = _EVENTS[push.ref]
        if box.state == BoxState.CLOSED or (event is BoxEvent.RESEND and box.state == BoxState.ACTIVE):
            return None
        made = self._generations.make_next(
            box.id,
            box.login_name or "",
            kept,
            needed=needed,
            cause=push.ref,
            with_code=is_code_needed(told, senders, kept),
            grant=grant,
            now_ms=now,
        )
        return Renewal(box, begin_first(box, made, told, event), made)

    def record(self, tx: Tx, renewal: Renewal) -> Box:
        """Store it, queue the push of the capsule, keep the mails that wait for that; return the box as it is now.

        In the transaction that ends the push `renew`. Raises ConflictError when the box moved: prepare again.
        """
        now = rows.get_box(tx, self._tenant, renewal.before.id, lock=True)
        if (now.state, now.gen) != (renewal.before.state, renewal.before.gen):
            raise ConflictError("the mailbox was changed meanwhile")
        after = renewal.after
        senders = senders_of_box(tx, self._tenant, now.id, is_kept=False)
        kept = generations_of(tx, self._tenant, now.id)
        if is_code_needed(after.first_sender, senders, kept) and not after.code_needed:
            raise ConflictError("mail of another sender came meanwhile")
        record_generation(tx, renewal.after, renewal.made, self._actor)
        self._notices.park(tx, renewal.after, renewal.made)
        return renewal.after

    def expire(self, tx: Tx, push: pushes.Push) -> Box | None:
        """End a first password for a push `renew` with ref `expire`, after the portal was told and pulled empty.

        None when the reader was just in time, when a resend has put another password in its place, or somebody else
        did it.
        """
        box = rows.get_box(tx, self._tenant, push.box, lock=True)
        if box.state != BoxState.FIRST or push.detail.get("gen", box.gen) != box.gen:
            return None
        why = str(push.detail.get("told", "time"))
        after = expire_box(tx, box, self._actor, why)
        self._notices.expired(tx, box, why)
        return after
