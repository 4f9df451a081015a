"""The mailbox of a partner: got or made for a mail, and every change of its state (sealed-mailbox 11).

Plans before, records after, like the PDF's passwords: keyd is asked outside transactions, and what is new becomes rows
in the one transaction that queues the mail. Only inside senders cause an account.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from relay.core.ids import new_id
from relay.core.ports import Actor, Event, Grant
from relay.core.wire.pae import decode_b64
from relay.core.wire.sealed import normalise_login_name
from relay.mailbox.generations import NEXT, Generations, MadeGeneration, MailboxNotReadyError, is_code_needed
from relay.mailbox.states import BoxBusyError, BoxEvent, BoxState, next_state
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import ConflictError
from relay.store.repositories import mailbox_boxes as rows
from relay.store.repositories import mailbox_generations as generation_rows
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import newest_card
from relay.store.repositories.mailbox_entries import forget_entries
from relay.store.repositories.mailbox_generations import Generation
from relay.store.repositories.mailbox_messages import (
    drop_message,
    generations_with_mail,
    mark_message_pushed,
    messages_of_box,
    senders_of_box,
)
from relay.store.repositories.partners import Partner
from relay.store.repositories.reply_codes import forget_reply_code


@dataclass(frozen=True, slots=True)
class BoxPlan:
    """The box that a mail goes to, and what has to be recorded when that mail is queued."""

    box: Box
    """As it will be."""
    enc: bytes
    """Public key of the generation to seal to."""
    card: int
    no: int
    """Number of the message in the box."""
    made: MadeGeneration | None
    """A generation that is new with this mail."""
    is_new: bool
    before: Box | None
    """As it was when the plan was made."""


class Boxes:
    """Finds, makes and moves boxes."""

    def __init__(self, database: Database, generations: Generations, *, tenant: str, actor: Actor) -> None:
        self._database = database
        self._generations = generations
        self._tenant = tenant
        self._actor = actor

    def plan(self, sender: str, partner: Partner, language: str, grant: Grant) -> BoxPlan:
        """Return the box for a mail of `sender` to a partner. Takes the message's number for good.

        Raises LoginNameError for an address that can be no login name, MailboxNotReadyError, BoxBusyError,
        KeyStoreError, StorageError.
        """
        login_name = normalise_login_name(partner.address)
        with self._database.reading() as tx:
            now = tx.now_ms()
            card = newest_card(tx, self._tenant)
            box = rows.find_open_mailbox(tx, self._tenant, partner.id)
            kept = generation_rows.generations_of(tx, self._tenant, box.id) if box else []
            senders = senders_of_box(tx, self._tenant, box.id, is_kept=False) if box else frozenset()
            needed = generations_with_mail(tx, self._tenant, box.id) if box else frozenset()
        if card is None:
            raise MailboxNotReadyError("there is no card yet; run: letterlock portal card new")
        if box is None:
            first = self._generations.make_first(new_id(), login_name, grant, now)
            box = self._new_box(sender, partner, login_name, language, first)
            return BoxPlan(box, first.enc, card.serial, 1, first, is_new=True, before=None)
        if box.state == BoxState.FIRST and (box.first_expires_at or 0) <= now:
            # The link process first looks whether the reader was just in time.
            raise BoxBusyError(f"mailbox {box.id}: its first password is about to expire")
        made: MadeGeneration | None = None
        after = box
        if box.state == BoxState.EXPIRED:
            made = self._generations.make_next(
                box.id,
                box.login_name or login_name,
                kept,
                needed=needed,
                cause=NEXT,
                with_code=is_code_needed(sender, senders, kept),
                grant=grant,
                now_ms=now,
            )
            after = begin_first(box, made, sender, BoxEvent.MAIL)
        with self._database.transaction() as tx:
            no = rows.take_number(tx, self._tenant, box.id)
        enc = made.enc if made else decode_b64(next(one for one in kept if one.gen == box.gen).enc)
        return BoxPlan(after, enc, card.serial, no, made, is_new=False, before=box)

    def _new_box(self, sender: str, partner: Partner, login_name: str, language: str, made: MadeGeneration) -> Box:
        return Box(
            id=made.row.box,
            tenant=self._tenant,
            kind=rows.MAILBOX,
            partner_id=partner.id,
            login_name=login_name,
            state=BoxState.FIRST.value,
            gen=1,
            form=None,
            password_id=None,
            created_at=made.row.made_at,
            first_expires_at=made.row.expires_at,
            first_sender=sender,
            next_no=2,
            lang=language,
        )

    def record(self, tx: Tx, plan: BoxPlan) -> None:
        """Make the plan true as part of `tx`, which holds the box from here on.

        Raises ConflictError when somebody else moved the box meanwhile: plan again.
        """
        box = plan.box
        if plan.is_new:
            if not rows.add_box(tx, box):
                raise ConflictError("another mail to this partner made the mailbox first")
            detail: dict[str, EventDetail] = {"box": box.id, "partner": box.partner_id, "sender": box.first_sender}
            tx.append_event(Event("mailbox.created", self._actor, self._tenant, detail=detail))
        else:
            now = rows.get_box(tx, self._tenant, box.id, lock=True)
            assert plan.before is not None
            if (now.state, now.gen) != (plan.before.state, plan.before.gen):
                raise ConflictError("the mailbox was changed meanwhile")
        if plan.made is not None:
            record_generation(tx, box, plan.made, self._actor, is_new=plan.is_new)


def begin_first(box: Box, made: MadeGeneration, told: str, event: BoxEvent) -> Box:
    """Return the box as it is with a new first password. Raises BoxStateError."""
    return replace(
        box,
        state=next_state(box.state, event).value,
        gen=made.row.gen,
        first_expires_at=made.row.expires_at,
        first_sender=told,
        code_needed=made.secret is not None and bool(made.secret.code),
        must_change=False,
    )


def record_generation(tx: Tx, box: Box, made: MadeGeneration, actor: Actor, *, is_new: bool = False) -> None:
    """Store a generation that the relay made and queue its push; the caller holds the box. Raises ConflictError."""
    if not generation_rows.add_generation(tx, made.row):
        raise ConflictError("another password was made for this mailbox first")
    if not is_new:
        _write(tx, box)
    pushes.add_push(tx, box.tenant, pushes.BOX, box=box.id, ref=str(made.row.gen))
    detail: dict[str, EventDetail] = {
        "box": box.id,
        "gen": made.row.gen,
        "cause": made.row.cause,
        "told": box.first_sender,
        "code": box.code_needed,
        "escrow": made.row.escrow_card,
        "shut": len(made.missing),
    }
    if made.damaged:
        detail["damaged"] = [str(gen) for gen in made.damaged]
        numbers = ", ".join(map(str, made.damaged))
        lost = [str(gen) for gen in made.missing if gen in made.damaged]
        shut = f"what was sealed to {', '.join(lost)} stays shut" if lost else "nothing was lost by it"
        reason = f"mailbox {box.id}: the stored keys of password {numbers} are damaged; {shut}"
        tx.append_event(Event("alert.raised", actor, box.tenant, detail={"reason": reason}))
    tx.append_event(Event("mailbox.password-made", actor, box.tenant, detail=detail))


def accept_rekey(tx: Tx, box: Box, new: Generation, actor: Actor) -> Box:
    """Take a generation that a browser made as the newest one; the caller holds the box and has verified it.

    Returns the box as it is now. Raises ConflictError for a number that is taken, BoxStateError.
    """
    state = next_state(box.state, BoxEvent.REKEY)
    if new.gen != box.gen + 1 or not generation_rows.add_generation(tx, new):
        raise ConflictError("the mailbox has a newer password")
    is_first = box.state == BoxState.FIRST
    after = replace(
        box,
        state=state.value,
        gen=new.gen,
        first_expires_at=None,
        first_sender="" if is_first else box.first_sender,
        opened_at=box.opened_at or tx.now_ms(),
        code_needed=False,
        must_change=False,
    )
    _write(tx, after)
    # Where there is no escrow, seeds of ours end here (2): the reader's own body holds them from now on.
    generation_rows.forget_seeds(tx, box.tenant, box.id, new.gen)
    detail: dict[str, EventDetail] = {"box": box.id, "gen": new.gen, "first": is_first, "escrow": new.escrow_card}
    tx.append_event(Event("mailbox.rekeyed", actor, box.tenant, detail=detail))
    return after


def expire_box(tx: Tx, box: Box, actor: Actor, why: str) -> Box:
    """End a first password: its rekey is refused from now on. `why`: time, tries, operator. Raises BoxStateError.

    Only after the portal was told and the box's outbox was found empty (sealed-mailbox 11).
    """
    after = replace(box, state=next_state(box.state, BoxEvent.EXPIRE).value, first_expires_at=None)
    _write(tx, after)
    generation_rows.mark_expired(tx, box.tenant, box.id, box.gen)
    tx.append_event(Event("mailbox.expired", actor, box.tenant, detail={"box": box.id, "gen": box.gen, "why": why}))
    return after


def close_box(tx: Tx, box: Box, actor: Actor, *, tell_portal: bool = True) -> Box:
    """Close a box for ever: capsules, kept mail and seen ids are destroyed here, and there. Raises BoxStateError."""
    after = replace(box, state=next_state(box.state, BoxEvent.CLOSE).value, closed_at=tx.now_ms())
    _write(tx, after)
    for message in messages_of_box(tx, box.tenant, box.id, is_kept=True):
        drop_message(tx, box.tenant, box.id, message.id)
    generation_rows.destroy_capsules(tx, box.tenant, box.id)
    forget_reply_code(tx, box.tenant, box.id)
    forget_entries(tx, box.tenant, box.id)
    # Those of messages stay: they end by themselves, and a copy that waits for one goes to a person.
    kinds = [pushes.BOX, pushes.DELETE, pushes.END, pushes.TOKEN, pushes.RENEW]
    pushes.drop_pushes(tx, box.tenant, box.id, kinds)
    if tell_portal:
        pushes.add_push(tx, box.tenant, pushes.END, box=box.id, ref="close")
    tx.append_event(Event("mailbox.closed", actor, box.tenant, detail={"box": box.id, "kind": box.kind}))
    return after


def demand_change(tx: Tx, box: Box, actor: Actor) -> bool:
    """Let the portal give out no mail of a mailbox in use before its reader has chosen a new password.

    False where nothing is to be done: not in use, or demanded already. For after a theft of the portal's host.
    """
    if box.kind != rows.MAILBOX or box.state != BoxState.ACTIVE or box.must_change:
        return False
    _write(tx, replace(box, must_change=True))
    pushes.add_push(tx, box.tenant, pushes.BOX, box=box.id, ref=str(box.gen))
    tx.append_event(Event("mailbox.change-demanded", actor, box.tenant, detail={"box": box.id, "gen": box.gen}))
    return True


def recall_message(tx: Tx, tenant: str, box_id: str, message_id: str, actor: Actor, *, why: str) -> bool:
    """Take a message out of a box, here and on the portal; False when it is gone already. `why`: recall, expiry."""
    rows.get_box(tx, tenant, box_id, lock=True)
    if not drop_message(tx, tenant, box_id, message_id):
        return False
    waiting = _pushes_of(tx, tenant, box_id, message_id)
    # A push that was begun may have got through. Its row stays: it ends by itself, and its copy with it.
    if not waiting or any(one.attempts for one in waiting):
        pushes.add_push(tx, tenant, pushes.DELETE, box=box_id, ref=message_id)
    detail: dict[str, EventDetail] = {"box": box_id, "message": message_id, "why": why}
    tx.append_event(Event("mailbox.message-removed", actor, tenant, detail=detail))
    return True


def drop_read_message(tx: Tx, tenant: str, box_id: str, message_id: str) -> None:
    """Destroy a message here that its reader has deleted on the portal; the caller holds the box.

    His signed word shows that it lay there, whatever became of the answer to its push: that ends as delivered.
    """
    mark_message_pushed(tx, tenant, box_id, message_id)
    drop_message(tx, tenant, box_id, message_id)
    if any(one.attempts for one in _pushes_of(tx, tenant, box_id, message_id)):
        # Perhaps on its way once more at this very moment.
        pushes.add_push(tx, tenant, pushes.DELETE, box=box_id, ref=message_id)


def _pushes_of(tx: Tx, tenant: str, box_id: str, message_id: str) -> list[pushes.Push]:
    waiting = pushes.waiting_pushes(tx, tenant, box_id=box_id)
    return [one for one in waiting if (one.kind, one.ref) == (pushes.MESSAGE, message_id)]


def _write(tx: Tx, box: Box) -> None:
    names = (
        *("state", "gen", "first_expires_at", "first_sender", "opened_at", "code_needed", "must_change", "closed_at"),
        "lang",
    )
    rows.change_box(tx, box, {name: getattr(box, name) for name in names})
