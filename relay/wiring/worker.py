"""Parts of a worker child."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pdfmail.html import ConfinedRenderer
from pdfmail.passphrase import PasswordForm, generate_password
from pdfmail.template import TemplateCache
from relay.actions.base import Action
from relay.actions.clear import PassAction
from relay.actions.command import CommandAction
from relay.actions.pdf import PdfAction
from relay.actions.refuse import DiscardAction, ForwardAction, HoldAction, RejectAction
from relay.actions.returned import ReturnAction
from relay.actions.tell import SenderTeller
from relay.core.decision import Method
from relay.core.documents.organisation import Organisation
from relay.message.texts import MailTexts
from relay.organisation import CurrentOrganisation
from relay.pipeline import Pipeline
from relay.protect.passwords import PairPasswords
from relay.protect.pdf import PdfTools
from relay.settings import Settings
from relay.wiring import make_hop_for, make_mailer, open_database, open_keystore, possible_methods, process_actor
from relay.wiring.mailboxes import make_registration_action, make_reply_boxes, make_webmail_action


def make_password_maker(organisation: Callable[[], Organisation]) -> Callable[[], str]:
    """Return what makes a PDF's password, in the form that the policy of now wants; old passwords stay as they are."""
    return lambda: generate_password(PasswordForm(organisation().policy.switches.password_form.value))


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
    portal = settings.portal if settings.portal is not None and settings.portal.link is not None else None
    with ConfinedRenderer() as renderer:
        tools = PdfTools(renderer, TemplateCache(), temporary_dir, MailTexts())
        pdf = PdfAction(
            database,
            tenant=tenant,
            hostname=hostname,
            actor=actor,
            passwords=PairPasswords(database, keystore, tenant, actor, make_password_maker(organisation)),
            tools=tools,
            teller=teller,
            hold=hold,
            hop_for=hop_for,
            portal_url=settings.portal_url,
            replies=make_reply_boxes(
                database,
                keystore,
                keystore,
                tenant=tenant,
                portal_id=portal.portal_id,
                actor=actor,
                temporary_dir=temporary_dir,
            )
            if portal is not None
            else None,
        )
        actions: dict[Method, Action] = {
            Method.PASS: PassAction(database, tenant, actor, hop_for),
            Method.PDF: pdf,
            Method.HOLD: hold,
            Method.REJECT: RejectAction(database, actor, teller),
            Method.DISCARD: DiscardAction(database, actor),
            Method.FORWARD: ForwardAction(database, tenant, actor),
            Method.RETURN: ReturnAction(database, tenant, actor, mailer),
            Method.COMMAND: CommandAction(database, tenant, actor, mailer),
        }
        if portal is not None:
            webmail = make_webmail_action(
                database,
                keystore,
                keystore,
                tenant=tenant,
                portal_id=portal.portal_id,
                portal_url=portal.url,
                actor=actor,
                mailer=mailer,
                organisation=organisation,
                hold=hold,
                pdf=pdf,
                pdf_tools=tools,
            )
            actions[Method.PDF] = actions[Method.WEBMAIL] = make_registration_action(
                database,
                keystore,
                tenant=tenant,
                portal_url=portal.url,
                actor=actor,
                mailer=mailer,
                organisation=organisation,
                teller=teller,
                pdf=pdf,
                webmail=webmail,
            )
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
