"""Mails of our own on their way into the queue: what every notice, report and alert has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from relay.core.address import domain_of
from relay.core.clock import Clock, to_datetime
from relay.core.ports import Actor, SpoolPublicKey
from relay.message.addresses import Mailbox
from relay.message.compose import SystemMail as OwnMail
from relay.message.compose import write_system_mail
from relay.message.texts import MailTexts
from relay.spool.system_mail import SystemMail, new_system_message
from relay.store.base import Tx


@dataclass(frozen=True, slots=True)
class Mailer:
    """Makes mails of ours and queues them. Their reverse-path is the null one (RFC 5321 4.5.5)."""

    tenant: str
    hostname: str
    actor: Actor
    clock: Clock
    texts: MailTexts
    spool_public: Callable[[], SpoolPublicKey]
    hop_for: Callable[[str], str]

    def now(self) -> datetime:
        """Return the time for a Date field."""
        return to_datetime(self.clock.now_ms())

    def make_notice(
        self,
        name: str,
        to: str,
        language: str,
        values: Mapping[str, str],
        *,
        reference: str | None = None,
        cause: str | None = None,
    ) -> SystemMail:
        """Return the notice made from a template, to one inside address.

        `reference`: Message-ID of the mail that it tells of, so that clients show it in the thread; `cause`: its id.
        """
        content = write_system_mail(
            OwnMail(
                author=Mailbox("Letterlock", f"letterlock@{domain_of(to)}"),
                to=(Mailbox("", to),),
                text=self.texts.render(name, language, values),
                date=self.now(),
                hostname=self.hostname,
                references=(reference,) if reference else (),
            )
        )
        return self.address(name, to, content, cause)

    def address(self, kind: str, to: str, content: bytes, cause: str | None) -> SystemMail:
        """Return a finished mail with its way."""
        return SystemMail(
            kind=kind, reverse_path="", recipients=(to,), content=content, hop=self.hop_for(to), cause=cause
        )

    def send(self, tx: Tx, mail: SystemMail | None) -> None:
        """Queue a mail as part of `tx`; None is no mail."""
        if mail is not None:
            new_system_message(tx, self.spool_public, self.tenant, mail, self.actor)
