"""Parts of mailboxes, for the worker, the link process and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from relay.actions.base import Action, OpenMessage
from relay.actions.mailer import Mailer
from relay.actions.refuse import HoldAction
from relay.actions.registration import RegistrationAction
from relay.actions.tell import SenderTeller
from relay.actions.webmail import MailboxTools, Preview, WebmailAction
from relay.core.clock import to_datetime
from relay.core.documents.organisation import Organisation
from relay.core.ports import Actor, Grant, KeyStore
from relay.core.ports_mailbox import MailboxKeys
from relay.mailbox.boxes import Boxes
from relay.mailbox.generations import Generations
from relay.mailbox.join_notices import JoinNotices
from relay.mailbox.joins import Joins
from relay.mailbox.notices import Notices
from relay.mailbox.preview import PreviewJob, make_preview
from relay.mailbox.reply_boxes import ReplyBoxes
from relay.mailbox.seal import Sealer
from relay.protect.branding import make_branding
from relay.protect.pdf import PdfTools
from relay.store.base import Database

MAX_MESSAGE_OCTETS = 50 * 1024 * 1024
"""Of all parts of one message together (sealed-mailbox 17)."""


def make_sealer(keys: MailboxKeys, actor: Actor, temporary_dir: Path, *, purpose: str) -> Sealer:
    """Return what seals to boxes. `purpose`: `protect` for a worker, `mailbox` for the link process."""

    def sign(card: int, manifest: bytes, subject: str) -> bytes:
        return keys.sign_manifest(card, manifest, Grant(purpose, subject, str(actor)))

    return Sealer(sign, temporary_dir, MAX_MESSAGE_OCTETS)


def make_generations(keys: MailboxKeys, keystore: KeyStore, tenant: str, portal_id: str) -> Generations:
    """Return what makes and keeps generations; `keys` and `keystore` are the same client of keyd."""
    return Generations(keys, keystore, tenant=tenant, portal=portal_id)


def make_previewer(tools: PdfTools) -> Preview:
    """Return what draws the PDF of a message that its reader can keep."""

    def preview(message: OpenMessage) -> bytes | None:
        domains = message.organisation.domains
        own = domains.find(message.facts.own_domain) or domains.domains[0]
        job = PreviewJob(
            parsed=message.parsed,
            subject=message.subject,
            brand=make_branding(message.organisation.brands.find(own.brand)).pdf,
            language=own.language.value,
            received=to_datetime(message.work.message.received_at),
        )
        return make_preview(job, tools)

    return preview


def make_registration_action(
    database: Database,
    keystore: KeyStore,
    *,
    tenant: str,
    portal_url: str,
    actor: Actor,
    mailer: Mailer,
    organisation: Callable[[], Organisation],
    teller: SenderTeller,
    pdf: Action,
    webmail: Action,
) -> RegistrationAction:
    """Return what stands before PDF and webmail: it lets copies wait for partners who have to register first."""
    notices = JoinNotices(mailer, organisation, portal_url)
    joins = Joins(database, keystore, notices, tenant=tenant, actor=actor)
    return RegistrationAction(
        database, tenant=tenant, actor=actor, joins=joins, teller=teller, pdf=pdf, webmail=webmail
    )


def make_webmail_action(
    database: Database,
    keystore: KeyStore,
    keys: MailboxKeys,
    *,
    tenant: str,
    portal_id: str,
    portal_url: str,
    actor: Actor,
    mailer: Mailer,
    organisation: Callable[[], Organisation],
    hold: HoldAction,
    pdf: Action,
    pdf_tools: PdfTools,
) -> WebmailAction:
    """Return the action for Method.WEBMAIL. `pdf` takes partners whose address can be no login name."""
    generations = make_generations(keys, keystore, tenant, portal_id)
    tools = MailboxTools(
        boxes=Boxes(database, generations, tenant=tenant, actor=actor),
        sealer=make_sealer(keys, actor, pdf_tools.temporary_dir, purpose="protect"),
        notices=Notices(mailer, organisation, portal_url),
        portal=portal_id,
        preview=make_previewer(pdf_tools),
    )
    return WebmailAction(
        database, tools, tenant=tenant, actor=actor, hold=hold, teller=SenderTeller(mailer), without_mailbox=pdf
    )


def make_reply_boxes(
    database: Database,
    keystore: KeyStore,
    keys: MailboxKeys,
    *,
    tenant: str,
    portal_id: str,
    actor: Actor,
    temporary_dir: Path,
) -> ReplyBoxes:
    """Return what stands behind the Reply link of PDFs, for PdfAction."""
    generations = make_generations(keys, keystore, tenant, portal_id)
    sealer = make_sealer(keys, actor, temporary_dir, purpose="protect")
    return ReplyBoxes(database, generations, sealer, tenant=tenant, actor=actor)
