"""Parts of a worker child."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pdfmail.html import ConfinedRenderer
from pdfmail.passphrase import generate_password
from pdfmail.template import TemplateCache
from relay.actions.base import Action
from relay.actions.clear import PassAction
from relay.actions.pdf import PdfAction
from relay.actions.refuse import DiscardAction, ForwardAction, HoldAction, RejectAction
from relay.actions.returned import ReturnAction
from relay.actions.tell import SenderTeller
from relay.core.decision import Method
from relay.message.texts import MailTexts
from relay.organisation import CurrentOrganisation
from relay.pipeline import Pipeline
from relay.protect.passwords import PairPasswords
from relay.protect.pdf import PdfTools
from relay.settings import Settings
from relay.wiring import make_hop_for, make_mailer, open_database, open_keystore, possible_methods, process_actor


@contextmanager
def make_pipeline(settings: Settings, slot: int) -> Iterator[Pipeline]:
    """Build what a worker child needs, and close it in the end."""
    tenant, hostname = settings.host.tenant, settings.host.hostname
    process = f"worker-{slot}"
    actor = process_actor(settings, process)
    database = open_database(settings, process)
    keystore = open_keystore(settings, "worker")
    organisation = CurrentOrganisation(database, tenant)
    hop_for = make_hop_for(organisation)
    mailer = make_mailer(settings, process, organisation)
    teller = SenderTeller(mailer)
    hold = HoldAction(database, actor, teller)
    temporary_dir = settings.state_dir / "tmp"
    temporary_dir.mkdir(parents=True, exist_ok=True)
    with ConfinedRenderer() as renderer:
        pdf = PdfAction(
            database,
            tenant=tenant,
            hostname=hostname,
            actor=actor,
            passwords=PairPasswords(database, keystore, tenant, actor, generate_password),
            tools=PdfTools(renderer, TemplateCache(), temporary_dir, MailTexts()),
            teller=teller,
            hold=hold,
            hop_for=hop_for,
            portal_url=settings.portal_url,
        )
        actions: dict[Method, Action] = {
            Method.PASS: PassAction(database, tenant, actor, hop_for),
            Method.PDF: pdf,
            Method.HOLD: hold,
            Method.REJECT: RejectAction(database, actor, teller),
            Method.DISCARD: DiscardAction(database, actor),
            Method.FORWARD: ForwardAction(database, tenant, actor),
            Method.RETURN: ReturnAction(database, tenant, actor, mailer),
        }
        try:
            yield Pipeline(
                database,
                keystore,
                organisation,
                actions,
                tenant=tenant,
                hostname=hostname,
                actor=actor,
                possible=possible_methods(settings),
            )
        finally:
            database.close()
