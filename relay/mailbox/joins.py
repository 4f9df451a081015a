"""Registration links: made for a partner without a password, told to him, reminded of, ended (sealed-mailbox 12).

One open link a partner, however many mails wait for it; they are all copies to him in `awaiting_registration`. Whoever
lets a copy wait, resumes or gives up holds the link's row meanwhile, so that none is missed. The link's secret T is
sealed by keyd, and stands in our mails to the partner, which wait sealed in the spool: the notice until the portal
knows the link, the reminders until they are due. Must not log T.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from relay.core.clock import DAY, HOUR
from relay.core.ids import new_id
from relay.core.ports import Actor, Event, KeyStore
from relay.core.wire.contexts import join_secret_context
from relay.core.wire.sealed import JoinLink, decode_record, read_card, root_pin
from relay.mailbox.generations import MailboxNotReadyError
from relay.mailbox.join_notices import JoinNotices
from relay.mailbox.reply_boxes import hash_token
from relay.spool.waiting import copies_awaiting, give_up_copy
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import ConflictError
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_cards import newest_card
from relay.store.repositories.mailbox_joins import (
    EXPIRED,
    OPEN,
    StoredJoin,
    add_join,
    change_join,
    forget_joins,
    get_join,
    open_joins,
)
from relay.store.repositories.partners import get_partner

JOIN_MS = 14 * DAY
"""How long a link works where policy says nothing else."""
REMIND_AFTER_MS = (3 * DAY, 7 * DAY)
_LATE_MS = HOUR
"""So long after its end a link is given up: what the partner handed in at the last moment is still on its way."""
_KEEP_MS = 90 * DAY
_SECRET_OCTETS = 16


@dataclass(frozen=True, slots=True)
class MadeJoin:
    """A link that is made and not yet stored, with its fragment for the mails that tell it."""

    row: StoredJoin
    link: JoinLink = field(repr=False)
    is_again: bool = False
    """It takes the place of one whose answer could not be used."""


class Joins:
    """Makes links. keyd is asked outside transactions; `record` makes it true as part of one."""

    def __init__(
        self, database: Database, keystore: KeyStore, notices: JoinNotices, *, tenant: str, actor: Actor
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._notices = notices
        self._tenant = tenant
        self._actor = actor

    def make(self, partner_id: str, sender: str, sender_name: str, *, lives_ms: int = JOIN_MS) -> MadeJoin:
        """Make a first link for a partner. Raises MailboxNotReadyError, KeyStoreError, StorageError."""
        now = self._database.clock.now_ms()
        link_id, secret = new_id(), os.urandom(_SECRET_OCTETS)
        blob = self._keystore.seal(join_secret_context(self._tenant, link_id), secret)
        row = StoredJoin(
            id=link_id,
            tenant=self._tenant,
            partner_id=partner_id,
            sender=sender,
            sender_name=sender_name,
            state=OPEN,
            want="",
            secret=blob,
            mails=(),
            reminders=0,
            renewed=0,
            began_at=now,
            created_at=now,
            expires_at=now + lives_ms,
        )
        return MadeJoin(row, JoinLink(secret, self._pin()))

    def make_again(self, before: StoredJoin) -> MadeJoin:
        """Make the link that takes another's place; time goes on as it was. Raises as `make`."""
        made = self.make(before.partner_id, before.sender, before.sender_name)
        row = replace(
            made.row,
            renewed=before.renewed + 1,
            began_at=before.began_at,
            expires_at=before.expires_at,
        )
        return replace(made, row=row, is_again=True)

    def _pin(self) -> bytes:
        with self._database.reading() as tx:
            card = newest_card(tx, self._tenant)
        if card is None:
            raise MailboxNotReadyError("there is no card yet; run: letterlock portal card new")
        return root_pin(read_card(decode_record(card.record.encode()).card).root)

    def record(self, tx: Tx, made: MadeJoin) -> StoredJoin:
        """Store a link, queue its push and keep the mails that tell it. Raises ConflictError: plan again."""
        row = made.row
        partner = get_partner(tx, self._tenant, row.partner_id)
        due = [row.began_at + after for after in REMIND_AFTER_MS]
        mails = self._notices.park(tx, made, partner, [one for one in due if row.created_at < one < row.expires_at])
        row = replace(row, mails=mails)
        if not add_join(tx, row):
            raise ConflictError("another mail made the registration link first")
        told = {"expires": row.expires_at, "join": row.id}
        pushes.add_push(tx, self._tenant, pushes.JOIN, ref=hash_token(row.id), detail=told)
        detail: dict[str, EventDetail] = {"join": row.id, "partner": row.partner_id, "again": made.is_again}
        tx.append_event(Event("join.made", self._actor, self._tenant, detail=detail))
        return row


class JoinKeeper:
    """Reminds and gives up, for the scheduler. Opens nothing: the mails were made with the link."""

    def __init__(self, database: Database, notices: JoinNotices, *, tenant: str, actor: Actor) -> None:
        self._database = database
        self._notices = notices
        self._tenant = tenant
        self._actor = actor

    def run(self) -> str:
        """Do what is due; return a short status. Raises StorageError."""
        with self._database.reading() as tx:
            now = tx.now_ms()
            due = [one for one in open_joins(tx, self._tenant) if _is_due(one, now)]
        reminded = expired = 0
        for found in due:
            with self._database.transaction() as tx:
                join = get_join(tx, self._tenant, found.id, lock=True)
                if join.state != OPEN:
                    continue
                if _is_over(join, now):
                    self._expire(tx, join)
                    expired += 1
                elif self._is_waited_for(tx, join):
                    self._notices.remind(tx, join, now)
                    reminded += 1
                else:
                    # A person let all of it go, or dropped it: the link stays, nobody is reminded of it.
                    self._notices.drop(tx, join)
                    change_join(tx, join, {"mails": ()})
        with self._database.transaction() as tx:
            forgotten = forget_joins(tx, self._tenant, now - _KEEP_MS)
        return f"reminded {reminded}, expired {expired}, forgotten {forgotten}"

    def _is_waited_for(self, tx: Tx, join: StoredJoin) -> bool:
        partner = get_partner(tx, self._tenant, join.partner_id)
        return bool(copies_awaiting(tx, self._tenant, partner.address))

    def _expire(self, tx: Tx, join: StoredJoin) -> None:
        partner = get_partner(tx, self._tenant, join.partner_id)
        waiting = copies_awaiting(tx, self._tenant, partner.address)
        end_join(tx, join, EXPIRED, self._notices)
        for one in waiting:
            give_up_copy(tx, one, self._actor, status="4.4.7", text="the recipient has chosen no password")
        self._notices.expired(tx, partner, waiting)
        detail: dict[str, EventDetail] = {"join": join.id, "partner": join.partner_id, "copies": len(waiting)}
        tx.append_event(Event("join.expired", self._actor, self._tenant, detail=detail))


def end_join(tx: Tx, join: StoredJoin, state: str, notices: JoinNotices, *, want: str = "") -> None:
    """End a link that the caller holds, and drop the mails with it that still wait."""
    notices.drop(tx, join)
    change_join(tx, join, {"state": state, "want": want, "mails": (), "ended_at": tx.now_ms()})


def _is_over(join: StoredJoin, now_ms: int) -> bool:
    return join.expires_at + _LATE_MS <= now_ms


def _is_due(join: StoredJoin, now_ms: int) -> bool:
    has_left = all(one.due_at for one in join.mails)
    return _is_over(join, now_ms) or (has_left and any(one.due_at <= now_ms for one in join.mails))
