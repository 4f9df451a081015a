"""Four eyes: what policy wants other people to agree to before it is done (sealed-mailbox 2, 11).

A new first password on somebody's wish, and the making of a card. Off as shipped. Nobody agrees twice, to what he asked
for himself, or to a password that he is told himself; each word is an event in the chain. It binds whoever uses the
product's own commands: who is root inside or writes to the database goes round it (threat-model.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from relay.core.clock import DAY
from relay.core.documents.policy import PolicyDocument, Switches
from relay.core.errors import LetterlockError
from relay.core.ids import new_id
from relay.core.ports import Actor, Event
from relay.mailbox.renewals import RenewalRefusedError, check_renewal, request_renewal
from relay.organisation import read_json
from relay.store.base import Database, EventDetail, Tx
from relay.store.repositories import approvals as rows
from relay.store.repositories.approvals import Approval
from relay.store.repositories.configuration import active_documents

WAIT_MS = 3 * DAY
"""After this time without enough words a request has come to nothing."""
KEEP_MS = 30 * DAY
_WORDS = {"resend": "a new first password for", "reset": "a reset of", rows.CARD: "a new card of the portal"}


class ApprovalRefusedError(LetterlockError):
    """This person's word does not count here, or nothing waits for it."""

    temporary = False
    status = "5.7.1"


def read_switches(tx: Tx, tenant: str) -> Switches:
    """Return the switches of the active policy. Raises ConfigurationError, DocumentError."""
    document = active_documents(tx, tenant).get(PolicyDocument.KIND)
    return Switches() if document is None else PolicyDocument.from_json(read_json("policy", document)).switches


def order_renewal(
    tx: Tx, tenant: str, box_id: str, cause: str, actor: Actor, *, told: str, people: int, is_urgent: bool = False
) -> Approval | None:
    """Order a resend or a reset, or where `people` have to agree let it wait for them: then return the request.

    Raises NotFoundError, BoxStateError, RenewalRefusedError.
    """
    if not people:
        request_renewal(tx, tenant, box_id, cause, actor, told=told, is_urgent=is_urgent)
        return None
    check_renewal(tx, tenant, box_id, cause, told=told, is_urgent=is_urgent)
    return ask(tx, tenant, cause, actor, people=people, box=box_id, told=told, detail={"urgent": is_urgent})


def ask(
    tx: Tx,
    tenant: str,
    kind: str,
    actor: Actor,
    *,
    people: int,
    box: str = "",
    told: str = "",
    detail: Mapping[str, Any] | None = None,
) -> Approval:
    """Write a request down and tell the operators. Raises RenewalRefusedError when one waits already."""
    now = tx.now_ms()
    one = Approval(
        new_id(), tenant, kind, box, told, dict(detail or {}), str(actor), people, rows.WAITING, now, now + WAIT_MS
    )
    if not rows.add_approval(tx, one):
        raise RenewalRefusedError("A request for the same waits for approval already.")
    _note(tx, one, "approval.asked", actor)
    noun, what = ("portal card", "") if kind == rows.CARD else ("mailbox", f" mailbox {box}")
    reason = f"{_WORDS[kind]}{what} waits until {people} more have agreed: letterlock {noun} requests"
    tx.append_event(Event("alert.raised", actor, tenant, detail={"reason": reason}))
    return one


def approve(tx: Tx, tenant: str, approval_id: str, actor: Actor) -> Approval:
    """Note that somebody agrees; with the last word a renewal is ordered. Returns the request as it is now.

    A card that has all words is `approved`: whoever gave the last makes it. Raises NotFoundError, ApprovalRefusedError;
    BoxStateError, RenewalRefusedError where the mailbox has moved on.
    """
    one = _take(tx, tenant, approval_id, actor)
    if not rows.add_vote(tx, one, str(actor)):
        raise ApprovalRefusedError("You have agreed to this already. Somebody else has to.")
    given = len(rows.votes_of(tx, one))
    _note(tx, one, "approval.given", actor, given=given)
    if given < one.needed:
        return one
    is_renewal = one.kind != rows.CARD
    if is_renewal:
        is_urgent = bool(one.detail.get("urgent"))
        request_renewal(tx, tenant, one.box, one.kind, actor, told=one.told, is_urgent=is_urgent)
    rows.end_approval(tx, one, rows.DONE if is_renewal else rows.APPROVED, str(actor))
    return rows.get_approval(tx, tenant, approval_id)


def refuse(tx: Tx, tenant: str, approval_id: str, actor: Actor) -> Approval:
    """End a request; whoever asked may take it back himself, a card as long as it is not made.

    Raises NotFoundError, ApprovalRefusedError.
    """
    one = rows.get_approval(tx, tenant, approval_id, lock=True)
    if one.state not in (rows.WAITING, rows.APPROVED):
        raise ApprovalRefusedError(f"This request is {one.state} already.")
    rows.end_approval(tx, one, rows.REFUSED, str(actor))
    _note(tx, one, "approval.refused", actor)
    return rows.get_approval(tx, tenant, approval_id)


def _take(tx: Tx, tenant: str, approval_id: str, actor: Actor) -> Approval:
    one = rows.get_approval(tx, tenant, approval_id, lock=True)
    if one.state != rows.WAITING:
        raise ApprovalRefusedError(f"This request is {one.state} already.")
    if one.expires_at <= tx.now_ms():
        raise ApprovalRefusedError("This request has waited too long. Ask for it anew.")
    if is_same_person(str(actor), one.asked_by) or (one.told and is_same_person(str(actor), one.told)):
        raise ApprovalRefusedError("Who asked for it, or is told the password, cannot agree to it. Ask somebody else.")
    return one


def is_same_person(one: str, other: str) -> bool:
    """Tell whether two actors or addresses may be the same person: the same name, before an `@` as well."""
    names = [text.rpartition(":")[2].casefold() for text in (one, other)]
    return names[0] == names[1] or names[0].partition("@")[0] == names[1].partition("@")[0]


def _note(tx: Tx, one: Approval, kind: str, actor: Actor, **more: EventDetail) -> None:
    detail: dict[str, EventDetail] = {
        "request": one.id,
        "for": one.kind,
        "box": one.box,
        "told": one.told,
        "asked_by": one.asked_by,
        "needed": one.needed,
        **more,
    }
    tx.append_event(Event(kind, actor, one.tenant, detail=detail))


class ApprovalKeeper:
    """Ends requests that waited too long and tells senders that nothing came of theirs, for the scheduler."""

    def __init__(self, database: Database, tell: Callable[[Tx, Approval], None], *, tenant: str, actor: Actor) -> None:
        """`tell` queues the mail to the sender: relay.mailbox.notices."""
        self._database = database
        self._tell = tell
        self._tenant = tenant
        self._actor = actor

    def run(self) -> str:
        """Do what is due; return a short status. Raises StorageError."""
        with self._database.reading() as tx:
            now = tx.now_ms()
            waiting = [one for one in rows.list_approvals(tx, self._tenant, rows.WAITING) if one.expires_at <= now]
        for one in waiting:
            with self._database.transaction() as tx:
                if rows.end_approval(tx, one, rows.EXPIRED, str(self._actor)):
                    _note(tx, one, "approval.expired", self._actor)
        with self._database.reading() as tx:
            untold = rows.untold_approvals(tx, self._tenant)
        for one in untold:
            with self._database.transaction() as tx:
                if rows.mark_told(tx, one):
                    self._tell(tx, one)
        with self._database.transaction() as tx:
            forgotten = rows.forget_approvals(tx, self._tenant, now - KEEP_MS)
        return f"expired {len(waiting)}, told {len(untold)}, forgotten {forgotten}"
