"""Who is told what about a mailbox, and when (features F2, F3, F5, F9; sealed-mailbox 11).

The first password goes to the inside sender only, the code to the recipient only, and both not before the portal has
said that it holds the capsule: until then they wait as mails of ours, sealed in the spool. No notice names the subject
or a word of the mail. Must not log a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from pdfmail.spelling import spell_password
from relay.actions.mailer import Mailer
from relay.core.clock import DAY, HOUR, to_datetime
from relay.core.documents.organisation import Organisation
from relay.core.ids import new_id
from relay.core.ports import Event
from relay.mailbox.generations import RESEND, RESET, MadeGeneration
from relay.mailbox.join_notices import JoinNotices
from relay.mailbox.notice_page import NoticePages
from relay.mailbox.partner_mail import WITH_RETURN, PartnerLook, PartnerMails, show_day
from relay.mailbox.pins import is_rekey_due, read_cards
from relay.mailbox.states import BoxState
from relay.message.addresses import Mailbox
from relay.spool.system_mail import SystemMail, drop_system_message, park_system_message, release_system_message
from relay.store.base import EventDetail, Tx
from relay.store.repositories import mailbox_boxes as boxes
from relay.store.repositories import mailbox_generations as generations
from relay.store.repositories import mailbox_messages as messages
from relay.store.repositories.approvals import Approval
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import list_cards
from relay.store.repositories.mailbox_generations import Generation
from relay.store.repositories.mailbox_messages import BoxMessage
from relay.store.repositories.mailbox_pushes import Push
from relay.store.repositories.partners import get_partner

QUIET_MS = 4 * HOUR
"""At most one notice of further mail in this time for a mailbox."""
_PASSWORD_MAIL = "portal-first-password"  # noqa: S105 - a template's name
_RENEWED_MAIL = "portal-renewed"
_KEYS_MAIL = "portal-keys"
_NOTICE_MAIL = "portal-notice"


class Notices:
    """Makes and queues the mails about mailboxes, each as part of the transaction that made it true."""

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
        self.joins = JoinNotices(mailer, organisation, portal_url)
        """Those of registrations."""
        self._pages = pages or NoticePages()

    # --- made with a generation, let go with its push -----------------------------------------------------------------

    def park(self, tx: Tx, box: Box, made: MadeGeneration) -> None:
        """Keep the mails with the new password and the code until the portal has the capsule; part of `tx`.

        The mails of an earlier generation that still wait are of no use any more and go.
        """
        self._drop_older(tx, box, made.row.gen)
        if made.secret is None:
            return
        partner = self._partner(tx, box)
        password = self._password_mail(box, made, partner)
        password_id = self._park(tx, password)
        code_id = None
        if made.secret.code or made.row.cause in (RESEND, RESET):
            code = made.secret.code
            # In the fragment, which no browser sends (sealed-mailbox 5).
            more = {"code": code, "code_url": f"{self._portal_url}/#c={code}" if code else ""}
            mail = self._plain_notice(_RENEWED_MAIL, box, partner, box.first_sender, more)
            mail = replace(mail, message_id=new_id())
            code_id = self._park(tx, self._mails.with_return(tx, mail, box.first_sender, mail.message_id or ""))
        generations.set_notices(tx, box.tenant, box.id, made.row.gen, password_notice=password_id, code_notice=code_id)

    def box_pushed(self, tx: Tx, push: Push) -> None:
        """The portal holds a capsule (push kind `box`): who waits is told, if mail lies there. Part of `tx`."""
        box = boxes.get_box(tx, push.tenant, push.box, lock=True)
        stored = generations.get_generation(tx, push.tenant, push.box, int(push.ref))
        generations.mark_pushed(tx, push.tenant, push.box, stored.gen)
        if stored.gen != box.gen or box.state != BoxState.FIRST:
            self._drop_older(tx, box, stored.gen + 1)
            return
        if stored.cause in (RESEND, RESET) or any(one.pushed_at for one in self._mails_in(tx, box)):
            self._tell_password(tx, box, stored)
        # Else its first mail follows. Should that be held or dropped meanwhile, nobody is to call about nothing.

    def _mails_in(self, tx: Tx, box: Box) -> list[BoxMessage]:
        kept = messages.messages_of_box(tx, box.tenant, box.id, is_kept=True)
        return [one for one in kept if one.kind == messages.MAIL]

    def _tell_password(self, tx: Tx, box: Box, stored: Generation) -> None:
        """Let go what waits: the password for the sender, the code for the recipient. Nothing where both are told."""
        partner = self._partner(tx, box)
        if stored.password_notice:
            mail = self._mailer.address(_PASSWORD_MAIL, box.first_sender, b"", None)
            self._release(tx, stored.password_notice, mail)
            detail: dict[str, EventDetail] = {"box": box.id, "gen": stored.gen, "told": box.first_sender}
            tx.append_event(Event("mailbox.password-told", self._mailer.actor, box.tenant, detail=detail))
        if stored.code_notice:
            mail = self._mailer.address(_RENEWED_MAIL, partner.record.address, b"", None)
            # Its reverse-path is the one it was stored with; a mail that may bounce takes no NOTIFY=NEVER.
            self._release(tx, stored.code_notice, replace(mail, reverse_path=WITH_RETURN))
        generations.set_notices(tx, box.tenant, box.id, stored.gen, password_notice=None, code_notice=None)

    def message_pushed(self, tx: Tx, push: Push) -> None:
        """The portal shows a message (push kind `message`): the recipient gets a notice. Part of `tx`.

        One at once, then one in each quiet period. Receipts, tickets and the like are told of by nobody.
        """
        if not messages.mark_message_pushed(tx, push.tenant, push.box, push.ref):
            return
        message = messages.get_box_message(tx, push.tenant, push.box, push.ref)
        box = boxes.get_box(tx, push.tenant, push.box, lock=True)
        if message.kind != messages.MAIL or box.state == BoxState.CLOSED:
            return
        stored = generations.get_generation(tx, box.tenant, box.id, box.gen)
        if box.state == BoxState.FIRST and stored.pushed_at is not None:
            self._tell_password(tx, box, stored)
        if boxes.note_notice(tx, box.tenant, box.id, tx.now_ms() - QUIET_MS):
            self._send(tx, self._message_notice(tx, box, message))

    def join_pushed(self, tx: Tx, push: Push) -> None:
        """The portal knows a registration link (push kind `join`). Part of `tx`."""
        self.joins.join_pushed(tx, push)

    # --- what happened ------------------------------------------------------------------------------------------------

    def rekeyed(self, tx: Tx, before: Box, after: Box) -> None:
        """A password of the reader's own was accepted: he is told, and after a first password the sender too.

        Where his browser was due to change over to new keys of ours by itself, he is told that. Whether the password is
        still the same nobody here can know, so that mail does not say so.
        """
        self._drop_older(tx, after, after.gen)
        partner = self._partner(tx, after)
        now = self._mailer.now().astimezone()
        values = {"date": now.strftime("%d.%m.%Y"), "time": now.strftime("%H:%M")}
        if before.state == BoxState.FIRST and before.first_sender:
            self._tell_sender(tx, "portal-opened", before.first_sender, partner, values)
        sender = before.first_sender if before.state == BoxState.FIRST else ""
        name = _KEYS_MAIL if self._is_silent(tx, before) else "portal-changed"
        self._send(tx, self._plain_notice(name, after, partner, sender, values))

    def _is_silent(self, tx: Tx, before: Box) -> bool:
        """Tell whether a rekey is the one that browsers make by themselves; what they typed nobody here can know."""
        if before.state != BoxState.ACTIVE or before.must_change:
            return False
        stored = generations.get_generation(tx, before.tenant, before.id, before.gen)
        return is_rekey_due(stored, read_cards(list_cards(tx, before.tenant)))

    def unapproved(self, tx: Tx, one: Approval) -> None:
        """A new password that a sender waits for was refused, or nobody agreed in time: he hears of it."""
        box = boxes.get_box(tx, one.tenant, one.box)
        values = {name: "yes" if name == one.state else "" for name in ("refused", "expired")}
        values["days"] = str((one.expires_at - one.asked_at) // DAY)
        self._tell_sender(tx, "portal-unapproved", one.told, self._partner(tx, box), values)

    def expired(self, tx: Tx, before: Box, why: str) -> None:
        """A first password has ended: the sender who was told it hears of it. `why`: time, tries, operator."""
        is_told = generations.get_generation(tx, before.tenant, before.id, before.gen).password_notice is None
        self._drop_older(tx, before, before.gen + 1)
        if before.first_sender and is_told:
            values = {name: "yes" if name == why else "" for name in ("time", "tries", "operator")}
            self._tell_sender(tx, "portal-expired", before.first_sender, self._partner(tx, before), values)

    def message_read(self, tx: Tx, box: Box, message: BoxMessage) -> None:
        """The reader's signed word came that he has read a message: its sender is told where he asked for it."""
        if message.receipt and message.kind == messages.MAIL:
            values = {
                "time": self._mailer.now().astimezone().strftime("%H:%M"),
                "message_id": message.message_id or "-",
            }
            self._tell_sender(tx, "portal-read", message.sender, self._partner(tx, box), values)

    def box_closed(self, tx: Tx, box: Box) -> None:
        """The reader closed the box (`box` as it was): whoever wrote to it is told."""
        self._drop_older(tx, box, box.gen + 1)
        if box.kind == boxes.MAILBOX:
            for sender in sorted(messages.senders_of_box(tx, box.tenant, box.id, is_kept=False)):
                self._tell_sender(tx, "portal-closed", sender, self._partner(tx, box), {})

    def answer_held(self, tx: Tx, box: Box, message: BoxMessage, held_id: str) -> None:
        """An answer is held because the scanner found something: the one it was meant for hears of it."""
        self._tell_sender(tx, "portal-held", message.sender, self._partner(tx, box), {"message_id": held_id})

    def locked(self, tx: Tx, box: Box, senders: frozenset[str]) -> None:
        """A reply page takes no more passwords: those who sent PDFs with it are told."""
        for sender in sorted(senders):
            self._tell_sender(tx, "portal-locked", sender, self._partner(tx, box), {})

    def forgotten(self, tx: Tx, box: Box, senders: frozenset[str]) -> None:
        """Somebody says that a password was forgotten (an unsigned hint): the latest senders are told, nothing else."""
        for sender in sorted(senders):
            self._tell_sender(tx, "portal-forgot", sender, self._partner(tx, box), {})

    def opened_by_server(self, tx: Tx, box: Box, at: int) -> None:
        """The portal says that its own process opened a mailbox (an unsigned hint): the reader is told each time."""
        when = to_datetime(at).astimezone(self._mailer.now().astimezone().tzinfo)
        values = {"date": when.strftime("%d.%m.%Y"), "time": when.strftime("%H:%M")}
        self._send(tx, self._plain_notice("portal-server-opened", box, self._partner(tx, box), "", values))

    # --- the mails ----------------------------------------------------------------------------------------------------

    def _password_mail(self, box: Box, made: MadeGeneration, partner: PartnerLook) -> SystemMail:
        assert made.secret is not None
        to = box.first_sender
        language = self._mails.language_of(to)
        spelled = "\n".join(f"    {line}" for line in spell_password(made.secret.password.lower(), language))
        values = {
            "recipient": partner.record.address,
            "user": box.login_name or "",
            "password_block": f"    {made.secret.password}\n\n{spelled}",
            "valid_until": show_day(box.first_expires_at, language),
            "code": "yes" if made.secret.code else "",
            "shut": "yes" if made.missing else "",
            "organisation": partner.brand.organisation,
        }
        return self._mailer.make_notice(_PASSWORD_MAIL, to, language, values)

    def _message_notice(self, tx: Tx, box: Box, message: BoxMessage) -> SystemMail:
        partner = self._partner(tx, box)
        sender = message.sender_name or message.sender
        url = f"{self._portal_url}/"
        values = self._values(box, partner) | {
            "sender_name": sender,
            "teller": sender if box.first_sender == message.sender else box.first_sender,
            "first": "yes" if box.state == BoxState.FIRST else "",
            "code": "",
            "portal_url": url,
            "portal_host": urlsplit(url).netloc,
        }
        text = self._mailer.texts.render_all(_NOTICE_MAIL, partner.languages, values, partner.brand)
        text = replace(text, html=self._pages.render(partner.languages, values, partner.brand))
        mail = self._mails.to_partner(_NOTICE_MAIL, partner, text, Mailbox(message.sender_name, message.sender))
        mail = replace(mail, cause=message.message_id)
        return self._mails.with_return(tx, mail, message.sender, message.message_id or "")

    def _plain_notice(
        self, name: str, box: Box, partner: PartnerLook, sender: str, more: Mapping[str, str]
    ) -> SystemMail:
        """Return a mail to the partner that has no link."""
        values = self._values(box, partner) | {
            "teller": sender or partner.brand.organisation,
            "code": "",
            "code_url": "",
            **more,
        }
        text = self._mailer.texts.render_all(name, partner.languages, values, partner.brand)
        return self._mails.to_partner(name, partner, text, Mailbox("", sender) if sender else None)

    def _tell_sender(self, tx: Tx, name: str, to: str, partner: PartnerLook, more: Mapping[str, str]) -> None:
        self._send(tx, self._mails.for_sender(name, to, partner, more))

    def _values(self, box: Box, partner: PartnerLook) -> dict[str, str]:
        return {
            "organisation": partner.brand.organisation,
            "user": box.login_name or "",
            "valid_until_de": show_day(box.first_expires_at, "de"),
            "valid_until_en": show_day(box.first_expires_at, "en"),
            "contact": partner.brand.contact,
        }

    # --- what they have in common -------------------------------------------------------------------------------------

    def _send(self, tx: Tx, mail: SystemMail) -> None:
        self._mailer.send(tx, mail)

    def _park(self, tx: Tx, mail: SystemMail) -> str:
        return park_system_message(tx, self._mailer.spool_public, self._mailer.tenant, mail, self._mailer.actor)

    def _release(self, tx: Tx, message_id: str, mail: SystemMail) -> None:
        release_system_message(tx, self._mailer.tenant, message_id, mail, self._mailer.actor)

    def _drop_older(self, tx: Tx, box: Box, before_gen: int) -> None:
        for stored in generations.generations_of(tx, box.tenant, box.id):
            if stored.gen < before_gen:
                self._drop(tx, stored)

    def _drop(self, tx: Tx, stored: Generation) -> None:
        waiting = [one for one in (stored.password_notice, stored.code_notice) if one]
        for message_id in waiting:
            drop_system_message(tx, stored.tenant, message_id, self._mailer.actor)
        if waiting:
            generations.set_notices(tx, stored.tenant, stored.box, stored.gen, password_notice=None, code_notice=None)

    def _partner(self, tx: Tx, box: Box) -> PartnerLook:
        return self._mails.look_at(get_partner(tx, box.tenant, box.partner_id), box.first_sender)
