"""Mails of our own to the inside sender: passwords, warnings, the word that a mail is held, the report of a refusal.

Passwords go to inside senders only; whoever is not one of ours is told nothing here. Every mail is made before the
transaction and becomes part of it, so that the sender hears of exactly what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pdfmail.spelling import spell_password
from relay.actions.base import DecidedCopy, OpenMessage
from relay.actions.mailer import Mailer
from relay.actions.reasons import say_reason, say_warning
from relay.core.address import domain_of
from relay.core.clock import to_datetime
from relay.core.decision import OLD_CIPHER
from relay.core.documents.domains import Language
from relay.core.documents.organisation import Organisation
from relay.mailbox.partner_mail import show_day
from relay.message.addresses import Mailbox
from relay.message.dsn import Action as DsnAction
from relay.message.dsn import DsnRecipient, DsnReport, is_dsn_wanted, write_dsn
from relay.spool.system_mail import SystemMail
from relay.store.base import Tx


@dataclass(frozen=True, slots=True)
class ToldPassword:
    """A password that the sender is told: for whom, and what else the sender should know."""

    recipient: str
    password: str = field(repr=False)
    warnings: tuple[str, ...] = ()
    is_for_message: bool = False
    """It opens this one mail only."""


class SenderTeller:
    """Makes and queues mails to the inside sender of a message."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    def send(self, tx: Tx, mail: SystemMail | None) -> None:
        """Queue a mail that was made before, as part of `tx`; None is no mail."""
        self._mailer.send(tx, mail)

    def password_notice(self, message: OpenMessage, to: str, told: Sequence[ToldPassword]) -> SystemMail:
        """Return the notice with the passwords in full, spelled for the phone.

        `to` is the address whose pairs these are, as the passwords' plan names it: computed anew it might be another.
        """
        language = self._language(message.organisation, to)
        blocks = []
        for one in told:
            spelled = "\n".join(f"    {line}" for line in spell_password(one.password, language))
            warning = "".join(f"\n    ! {say_warning(text, language)}" for text in one.warnings)
            blocks.append(f"{one.recipient}\n\n    {one.password}\n\n{spelled}{warning}")
        values = self._about(message, to) | {
            "passwords": "\n\n\n".join(blocks),
            "recipients": ", ".join(one.recipient for one in told),
            "single": "yes" if all(one.is_for_message for one in told) else "",
        }
        return self._notice(message, to, "password-notice", language, values)

    def warning_notice(self, message: OpenMessage, to: str, copies: Sequence[DecidedCopy]) -> SystemMail | None:
        """Return the word that a wish was not granted, for copies that leave without a password notice; None for none.

        The cipher's warning is none of them: it says the same with each mail and comes with the password.
        """
        language = self._language(message.organisation, to)
        lines = [
            f"{one.copy.forward_path}\n\n    {say_warning(text, language)}"
            for one in copies
            for text in one.decision.warnings
            if text != OLD_CIPHER
        ]
        if not lines:
            return None
        values = self._about(message, to) | {"warnings": "\n\n".join(lines)}
        return self._notice(message, to, "warning-notice", language, values)

    def held_notice(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> SystemMail | None:
        """Return the word that a mail is held and why."""
        to = copies[0].decision.sender or _inside_sender(message)
        if not to:
            return None
        language = self._language(message.organisation, to)
        values = self._about(message, to) | {
            "recipients": ", ".join(one.copy.forward_path for one in copies),
            "reason": say_reason(copies[0].decision, language),
        }
        return self._notice(message, to, "held-notice", language, values)

    def waiting_notice(self, message: OpenMessage, one: DecidedCopy, until_ms: int) -> SystemMail | None:
        """Return the word that a mail waits for its recipient to register, until that time at most."""
        to = one.decision.sender or _inside_sender(message)
        if not to:
            return None
        language = self._language(message.organisation, to)
        values = self._about(message, to) | {
            "recipient": one.copy.forward_path,
            "valid_until": show_day(until_ms, language),
        }
        return self._notice(message, to, "portal-join-waits", language, values)

    def rejection(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> SystemMail | None:
        """Return the delivery report (RFC 3464) for copies that policy refused; None where nobody may be told."""
        stored = message.work.message
        wanted = [one for one in copies if is_dsn_wanted(one.copy.notify, DsnAction.FAILED)]
        # RFC 5321 4.5.5: never in answer to a null reverse-path. And toward inside senders only.
        if not wanted or not stored.reverse_path or not _is_inside(message.organisation, stored.reverse_path):
            return None
        report = DsnReport(
            reporting_mta=self._mailer.hostname,
            author=Mailbox("Letterlock", f"mailer-daemon@{self._mailer.hostname}"),
            to=stored.reverse_path,
            arrival=to_datetime(stored.received_at),
            date=self._mailer.now(),
            recipients=tuple(
                DsnRecipient(
                    one.copy.forward_path,
                    DsnAction.FAILED,
                    one.decision.status or "5.7.1",
                    orcpt=one.copy.orcpt,
                    explanation=tuple((language, say_reason(one.decision, language)) for language in ("de", "en")),
                )
                for one in wanted
            ),
            envid=stored.dsn_envid,
            original_fields=message.parsed.fields,
            show_subject=all(one.decision.shows_subject for one in wanted),
        )
        return self._mailer.address("dsn-failed", stored.reverse_path, b"".join(write_dsn(report)), stored.id)

    def _notice(self, message: OpenMessage, to: str, name: str, language: str, values: dict[str, str]) -> SystemMail:
        stored, reference = message.work.message, message.parsed.message_id
        return self._mailer.make_notice(name, to, language, values, reference=reference, cause=stored.id)

    def _about(self, message: OpenMessage, to: str) -> dict[str, str]:
        own = message.organisation.domains.find(domain_of(to)) or message.organisation.domains.domains[0]
        date = message.parsed.date or to_datetime(message.work.message.received_at)
        return {
            "subject": message.subject or "-",
            "date": date.strftime("%d.%m.%Y"),
            "time": date.strftime("%H:%M"),
            "organisation": message.organisation.brands.find(own.brand).organisation,
            "message_id": message.work.message.id,
        }

    def _language(self, organisation: Organisation, address: str) -> str:
        own = organisation.domains.find(domain_of(address))
        return (own.language if own else Language.ENGLISH).value


def _inside_sender(message: OpenMessage) -> str:
    """Return whom to tell: the pair's owner, else an own reverse-path; "" for nobody."""
    if message.facts.pair_owner:
        return message.facts.pair_owner
    reverse_path = message.work.message.reverse_path
    return reverse_path if reverse_path and _is_inside(message.organisation, reverse_path) else ""


def _is_inside(organisation: Organisation, address: str) -> bool:
    return domain_of(address.lower()) in organisation.domains.names()
