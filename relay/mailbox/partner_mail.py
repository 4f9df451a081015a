"""Mails of ours to partners: look, languages, way, and the return address by which a bounce is told to the sender.

Must not log a value, and names no subject of anybody's mail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from relay.actions.mailer import Mailer
from relay.core.address import domain_of
from relay.core.clock import to_datetime
from relay.core.documents.domains import Language, OwnDomain
from relay.core.documents.organisation import Organisation
from relay.core.returns import make_return_address
from relay.message.addresses import Mailbox
from relay.message.compose import SystemMail as OwnMail
from relay.message.compose import write_system_mail
from relay.message.texts import MailBrand, RenderedText
from relay.protect.branding import LANGUAGES, make_branding
from relay.spool.system_mail import SystemMail
from relay.store.base import Tx
from relay.store.repositories.partners import Partner
from relay.store.repositories.return_paths import add_return_path

WITH_RETURN = "return-address"
"""Reverse-path for releasing a parked mail that was stored with a return address: it may bounce."""


@dataclass(frozen=True, slots=True)
class PartnerLook:
    """A partner with the languages and the look of mail to him."""

    record: Partner
    own: OwnDomain
    brand: MailBrand
    languages: tuple[str, ...]


class PartnerMails:
    """Makes mails to partners, and those to senders that tell of them. Queues none."""

    def __init__(self, mailer: Mailer, organisation: Callable[[], Organisation]) -> None:
        self._mailer = mailer
        self._organisation = organisation

    def look_at(self, record: Partner, sender: str) -> PartnerLook:
        """Return how mail to a partner looks; `sender`: the inside address that it is about, "" for none."""
        organisation = self._organisation()
        own = organisation.domains.find(domain_of(sender)) if sender else None
        own = own or organisation.domains.domains[0]
        brand = make_branding(organisation.brands.find(own.brand)).mail
        known = record.language
        first = known or own.language.value
        languages = (first,) if known else (first, *(one for one in LANGUAGES if one != first))
        return PartnerLook(record, own, brand, languages)

    def to_partner(
        self,
        kind: str,
        partner: PartnerLook,
        text: RenderedText,
        reply_to: Mailbox | None,
        date: datetime | None = None,
    ) -> SystemMail:
        """Return a mail of ours to the partner; `date` where it leaves later than now."""
        mail = OwnMail(
            author=Mailbox(partner.brand.organisation, f"letterlock@{partner.own.name}"),
            to=(Mailbox("", partner.record.address),),
            text=text,
            date=date or self._mailer.now(),
            hostname=self._mailer.hostname,
            reply_to=(reply_to,) if reply_to is not None else (),
        )
        return self._mailer.address(kind, partner.record.address, write_system_mail(mail), None)

    def with_return(self, tx: Tx, mail: SystemMail, sender: str, cause: str) -> SystemMail:
        """Give a mail a return address: what bounces is told to the sender in words."""
        to = mail.recipients[0]
        token = add_return_path(tx, self._mailer.tenant, kind=mail.kind, sender=sender, recipient=to, message_id=cause)
        return replace(mail, reverse_path=make_return_address(token, domain_of(sender)))

    def for_sender(self, name: str, to: str, partner: PartnerLook, more: Mapping[str, str]) -> SystemMail:
        """Return a notice to an inside sender about a partner."""
        values = {"recipient": partner.record.address, "organisation": partner.brand.organisation} | dict(more)
        return self._mailer.make_notice(name, to, self.language_of(to), values)

    def language_of(self, address: str) -> str:
        """Return the language of an inside address."""
        own = self._organisation().domains.find(domain_of(address))
        return (own.language if own else Language.ENGLISH).value


def show_day(at_ms: int | None, language: str) -> str:
    """Return a day as people write it, "" for none."""
    if at_ms is None:
        return ""
    day: datetime = to_datetime(at_ms).astimezone()
    return day.strftime("%d.%m.%Y") if language == "de" else f"{day.day} {day.strftime('%B %Y')}"
