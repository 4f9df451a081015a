"""Who is told what about a registration: the partner gets the link, the inside senders hear what becomes of their mail.

The link with its secret stands in the fragment, which no browser sends (sealed-mailbox 12), and in mails to the partner
alone; they are made with the link and wait, sealed like any mail, until the portal knows it or they are due. No mail to
the partner names the subject of the one that waits. Must not log a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relay.actions.mailer import Mailer
from relay.core.clock import to_datetime
from relay.core.documents.organisation import Organisation
from relay.core.errors import AddressError
from relay.core.ids import new_id
from relay.core.ports import Event
from relay.core.wire.sealed import LoginNameError, normalise_login_name
from relay.mailbox.notice_page import NoticePages
from relay.mailbox.partner_mail import WITH_RETURN, PartnerLook, PartnerMails, show_day
from relay.message.addresses import Mailbox
from relay.spool.system_mail import drop_system_message, park_system_message, release_system_message
from relay.spool.waiting import WaitingCopy
from relay.store.base import EventDetail, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories.mailbox_joins import OPEN, ParkedMail, StoredJoin, change_join, get_join
from relay.store.repositories.mailbox_pushes import Push
from relay.store.repositories.partners import Partner, get_partner

if TYPE_CHECKING:
    from relay.mailbox.joins import MadeJoin

_MAIL = "portal-join"
MAILBOX = "mailbox"
PDF = "pdf"


class JoinNotices:
    """Makes and queues the mails about registrations, each as part of the transaction that made it true."""

    def __init__(
        self,
        mailer: Mailer,
        organisation: Callable[[], Organisation],
        portal_url: str,
        pages: NoticePages | None = None,
    ) -> None:
        self._mailer = mailer
        self._mails = PartnerMails(mailer, organisation)
        self._portal_url = portal_url.rstrip("/")
        self._pages = pages or NoticePages(name=_MAIL)

    # --- to the partner -----------------------------------------------------------------------------------------------

    def park(self, tx: Tx, made: MadeJoin, partner: Partner, reminders: Sequence[int]) -> tuple[ParkedMail, ...]:
        """Make the notice and the reminders, due at these times, and keep them; part of `tx`."""
        look = self._mails.look_at(partner, made.row.sender)
        kept = []
        for due in (0, *reminders):
            values = self._values(made, look, is_reminder=due != 0)
            text = self._mailer.texts.render_all(_MAIL, look.languages, values, look.brand)
            text = replace(text, html=self._pages.render(look.languages, values, look.brand))
            sender = Mailbox(made.row.sender_name, made.row.sender)
            mail = self._mails.to_partner(_MAIL, look, text, sender, to_datetime(due) if due else None)
            mail = replace(mail, message_id=new_id())
            mail = self._mails.with_return(tx, mail, made.row.sender, mail.message_id or "")
            parked = park_system_message(tx, self._mailer.spool_public, self._mailer.tenant, mail, self._mailer.actor)
            kept.append(ParkedMail(due, parked))
        return tuple(kept)

    def _values(self, made: MadeJoin, look: PartnerLook, *, is_reminder: bool) -> dict[str, str]:
        row = made.row
        try:
            user = normalise_login_name(look.record.address)
        except (LoginNameError, AddressError):
            user = look.record.address
        return {
            "organisation": look.brand.organisation,
            "sender_name": row.sender_name or row.sender,
            "user": user,
            "portal_url": f"{self._portal_url}/join/{row.id}#{made.link.fragment()}",
            "portal_host": urlsplit(self._portal_url).netloc,
            "valid_until_de": show_day(row.expires_at, "de"),
            "valid_until_en": show_day(row.expires_at, "en"),
            "reminder": "yes" if is_reminder else "",
            "again": "yes" if made.is_again and not is_reminder else "",
            "first": "" if made.is_again or is_reminder else "yes",
            "contact": look.brand.contact,
        }

    def join_pushed(self, tx: Tx, push: Push) -> None:
        """The portal knows a link (push kind `join`): the partner's notice leaves. Part of `tx`; again is nothing."""
        try:
            join = get_join(tx, push.tenant, str(push.detail.get("join", "")), lock=True)
        except NotFoundError:
            return
        if join.state == OPEN:
            self._release(tx, join, [one for one in join.mails if one.due_at == 0])

    def remind(self, tx: Tx, join: StoredJoin, now_ms: int) -> None:
        """Let the newest reminder go that is due; missed ones are dropped. The caller holds `join`."""
        due = [one for one in join.mails if 0 < one.due_at <= now_ms]
        self._drop(tx, due[:-1])
        kept = replace(join, mails=tuple(one for one in join.mails if one not in due[:-1]))
        self._release(tx, kept, due[-1:], is_reminder=True)

    def drop(self, tx: Tx, join: StoredJoin) -> None:
        """Drop what still waits of a link's mails; the caller ends the link."""
        self._drop(tx, join.mails)

    def _release(self, tx: Tx, join: StoredJoin, mails: Sequence[ParkedMail], *, is_reminder: bool = False) -> None:
        if not mails:
            return
        partner = get_partner(tx, join.tenant, join.partner_id)
        # Its reverse-path is the one it was stored with; a mail that may bounce takes no NOTIFY=NEVER.
        way = replace(self._mailer.address(_MAIL, partner.address, b"", None), reverse_path=WITH_RETURN)
        for one in mails:
            release_system_message(tx, join.tenant, one.message_id, way, self._mailer.actor)
        left = tuple(one for one in join.mails if one not in mails)
        change_join(tx, join, {"mails": left, "reminders": join.reminders + (1 if is_reminder else 0)})
        detail: dict[str, EventDetail] = {"join": join.id, "partner": join.partner_id, "reminder": is_reminder}
        tx.append_event(Event("join.told", self._mailer.actor, join.tenant, detail=detail))

    def _drop(self, tx: Tx, mails: Sequence[ParkedMail]) -> None:
        for one in mails:
            drop_system_message(tx, self._mailer.tenant, one.message_id, self._mailer.actor)

    # --- to the senders -----------------------------------------------------------------------------------------------

    def left(self, tx: Tx, partner: Partner, waiting: Sequence[WaitingCopy], want: str) -> None:
        """The partner has chosen: each sender whose mail waited is told once that it leaves, and how it opens."""
        self._tell_senders(tx, "portal-join-left", partner, waiting, {MAILBOX: "", PDF: "", want: "yes"})

    def expired(self, tx: Tx, partner: Partner, waiting: Sequence[WaitingCopy]) -> None:
        """The partner has not chosen in time: each sender is told that his mails were not delivered."""
        self._tell_senders(tx, "portal-join-expired", partner, waiting, {"status": "4.4.7"})

    def _tell_senders(
        self, tx: Tx, name: str, partner: Partner, waiting: Sequence[WaitingCopy], more: dict[str, str]
    ) -> None:
        for sender in sorted({one.sender for one in waiting if one.sender}):
            theirs = [one.copy for one in waiting if one.sender == sender]
            look = self._mails.look_at(partner, sender)
            values = more | {
                "count": str(len(theirs)),
                "many": "yes" if len(theirs) > 1 else "",
                "message_ids": "\n".join(f"    {one.message_id}" for one in theirs),
            }
            mail = self._mails.for_sender(name, sender, look, values)
            self._mailer.send(tx, replace(mail, cause=theirs[0].message_id))
