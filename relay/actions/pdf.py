"""PDF: make an encrypted PDF mail for each partner, queue it, and tell the sender the password where that is due.

All copies of a message that are ready are queued by one transaction, together with the passwords that are new and one
notice to the sender. A notice therefore exists exactly if its mail does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pdfmail.model import BodyRenderer, DrawnPages, HtmlBody, PdfReport
from relay.actions.base import DecidedCopy, Failure, OpenMessage, OverLimitError, as_decided
from relay.actions.refuse import HoldAction
from relay.actions.tell import SenderTeller, ToldPassword
from relay.core.address import domain_of
from relay.core.clock import DAY, to_datetime
from relay.core.decision import Decision, Reason
from relay.core.documents.domains import OwnDomain
from relay.core.documents.policy import ReplyFiles, ReplySecret
from relay.core.errors import LeaseLostError, LetterlockError
from relay.core.ids import new_id
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.mailbox.reply_boxes import PreparedTicket, ReplyBoxes, TicketJob
from relay.protect.branding import LANGUAGES, make_branding
from relay.protect.passwords import PairPasswords, PasswordPlan
from relay.protect.pdf import PdfJob, PdfTools, protect_pdf
from relay.spool.content import VariantWriter
from relay.spool.settle import Settlement, settle_many
from relay.spool.system_mail import SystemMail
from relay.store.base import Database, Tx
from relay.store.repositories.reply_links import ReplyLink, add_reply_link

_TOGETHER = 20
"""Copies queued by one transaction: bounds memory for a mail to very many partners."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One finished carrier mail that no one sees yet."""

    one: DecidedCopy
    writer: VariantWriter
    plan: PasswordPlan
    report: PdfReport
    reply_token: str | None
    ticket: PreparedTicket | None


class _Shared:
    """Draws a body once for all partners of a message (equal decisions share work)."""

    def __init__(self, renderer: BodyRenderer) -> None:
        self._renderer = renderer
        self._drawn: dict[HtmlBody, DrawnPages] = {}

    def render_body(self, body: HtmlBody) -> DrawnPages:
        """See pdfmail.model.BodyRenderer."""
        if body not in self._drawn:
            self._drawn = {body: self._renderer.render_body(body)}
        return self._drawn[body]


class PdfAction:
    """Protects copies by PDF."""

    def __init__(
        self,
        database: Database,
        *,
        tenant: str,
        hostname: str,
        actor: Actor,
        passwords: PairPasswords,
        tools: PdfTools,
        teller: SenderTeller,
        hold: HoldAction,
        hop_for: Callable[[str], str],
        portal_url: str | None,
        replies: ReplyBoxes | None = None,
    ) -> None:
        """`replies`: makes what stands behind the link; without it the link waits for a portal."""
        self._database = database
        self._tenant = tenant
        self._hostname = hostname
        self._actor = actor
        self._passwords = passwords
        self._tools = tools
        self._teller = teller
        self._hold = hold
        self._hop_for = hop_for
        self._portal_url = portal_url
        self._replies = replies

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        # The password is of the pair that the decision names; whoever the documents of now would name is not asked.
        unowned = [one for one in copies if not one.decision.sender]
        if unowned:
            self._hold_all(message, unowned, "A PDF needs a sender of ours who can be told its password.")
        copies = [one for one in copies if one.decision.sender]
        tools = self._tools
        if tools.renderer is not None:
            tools = replace(tools, renderer=_Shared(tools.renderer))
        failures: list[Failure] = []
        for start in range(0, len(copies), _TOGETHER):
            failures.extend(self._run_some(message, copies[start : start + _TOGETHER], tools))
        return failures

    def _run_some(self, message: OpenMessage, copies: Sequence[DecidedCopy], tools: PdfTools) -> Iterator[Failure]:
        with ExitStack() as stack:
            prepared: list[Prepared] = []
            for one in copies:
                stored = message.work.message
                writer = stack.enter_context(
                    VariantWriter(self._database, stored.id, self._tenant, message.key, message.work.owner)
                )
                try:
                    ready = self._prepare(message, one, writer, tools)
                    if ready.ticket is not None:
                        stack.callback(ready.ticket.sealed.close)
                except LeaseLostError:
                    raise
                except LetterlockError as error:
                    yield Failure(one, error)
                    continue
                # What a person released has no limit here: he has seen the size.
                if one.decision.reason is not Reason.OPERATOR and writer.size > self._limit(message, one):
                    yield Failure(one, OverLimitError(f"{writer.size} octets"))
                else:
                    prepared.append(ready)
            if prepared:
                self._queue(message, prepared)

    def _prepare(self, message: OpenMessage, one: DecidedCopy, writer: VariantWriter, tools: PdfTools) -> Prepared:
        assert one.partner is not None
        decision = one.decision
        message, own = as_decided(message, decision), _own_domain(message, decision)
        plan = self._passwords.plan(decision.sender, one.partner, decision, message.work.message.id)
        # No secret, only unguessable: the portal asks for the PDF's password behind it (sealed-mailbox 12).
        token = new_id() if self._portal_url else None
        language = one.partner.language or own.language.value
        ticket = self._ticket(message, one, plan, token, one.partner.language) if token and self._replies else None
        if self._replies is not None and ticket is None:
            # No link is better than one that leads nowhere.
            token = None
        job = PdfJob(
            parsed=message.parsed,
            subject=message.subject,
            show_subject=decision.shows_subject,
            branding=make_branding(message.organisation.brands.find(own.brand)),
            language=language,
            languages=(one.partner.language,) if one.partner.language else _both(own.language.value),
            password=plan.password,
            is_pair_password=not plan.is_for_message,
            is_chosen=plan.is_chosen,
            pair_owner=plan.sender,
            cipher=decision.cipher,
            hostname=self._hostname,
            received=to_datetime(message.work.message.received_at),
            reply_url=f"{self._portal_url}/r/{token}" if token else None,
            reply_code=(ticket.code or None) if ticket is not None else None,
            smtputf8=message.work.message.smtputf8,
            max_pages=message.organisation.limits.pdf_pages,
            headers=decision.headers,
        )
        try:
            report = protect_pdf(job, tools, writer.write)
        except BaseException:
            if ticket is not None:
                ticket.sealed.close()
            raise
        return Prepared(one, writer, plan, report, token, ticket)

    def _ticket(
        self, message: OpenMessage, one: DecidedCopy, plan: PasswordPlan, token: str, language: str
    ) -> PreparedTicket | None:
        assert self._replies is not None
        return self._replies.prepare(
            TicketJob(
                parsed=message.parsed,
                subject=message.subject,
                sender=plan.sender,
                partner_id=plan.partner.id,
                password=plan.password,
                password_id=plan.row_id,
                language=language,
                token=token,
                message_id=message.work.message.id,
                copy_id=one.copy.id,
                expires_ms=self._database.clock.now_ms() + _link_ms(message),
                wants_code=plan.is_chosen or one.decision.options.get("reply_secret") == ReplySecret.PRINTED_CODE,
                files_allowed=message.organisation.policy.switches.reply_files is ReplyFiles.ON,
                own_domains=message.organisation.domains.names(),
            )
        )

    @staticmethod
    def _limit(message: OpenMessage, one: DecidedCopy) -> int:
        route = message.organisation.routes.find(one.copy.normal_address)
        limits = [
            message.organisation.limits.outside_message_octets,
            one.partner.size_limit if one.partner else None,
            route.size_limit if route else None,
        ]
        return min(limit for limit in limits if limit)

    def _queue(self, message: OpenMessage, prepared: Sequence[Prepared]) -> None:
        notices = list(self._notices(message, prepared))
        stored = message.work.message
        with self._database.transaction() as tx:
            settlements = []
            for one in prepared:
                password_id = self._passwords.record(tx, one.plan, stored.id)
                if one.reply_token is not None:
                    add_reply_link(tx, self._link(tx, message, one, one.reply_token, password_id))
                if one.ticket is not None and self._replies is not None:
                    self._replies.record(tx, one.ticket, password_id)
                number = one.writer.finish(tx, "pdf", stored.reverse_path)
                settlements.append(self._settlement(one, number))
            settle_many(tx, settlements, self._actor)
            for notice in notices:
                self._teller.send(tx, notice)

    def _notices(self, message: OpenMessage, prepared: Sequence[Prepared]) -> Iterator[SystemMail | None]:
        """Yield what each pair's owner is told: the passwords that are due, and warnings where none is."""
        for sender in dict.fromkeys(one.plan.sender for one in prepared):
            own = [one for one in prepared if one.plan.sender == sender]
            told = [
                ToldPassword(
                    one.one.copy.forward_path, one.plan.password, one.one.decision.warnings, one.plan.is_for_message
                )
                for one in own
                if one.plan.tell
            ]
            if told:
                yield self._teller.password_notice(message, sender, told)
            yield self._teller.warning_notice(message, sender, [one.one for one in own if not one.plan.tell])

    def _link(self, tx: Tx, message: OpenMessage, one: Prepared, token: str, password_id: str) -> ReplyLink:
        now = tx.now_ms()
        return ReplyLink(
            token=token,
            tenant=self._tenant,
            message_id=message.work.message.id,
            copy_id=one.one.copy.id,
            partner_id=one.plan.partner.id,
            password_id=password_id,
            sender=one.plan.sender,
            header_message_id=message.parsed.message_id or "",
            created_at=now,
            expires_at=now + _link_ms(message),
        )

    def _settlement(self, one: Prepared, number: int) -> Settlement:
        return Settlement(
            one.one.copy.id,
            one.one.copy.fence,
            State.QUEUED,
            variant=number,
            hop=self._hop_for(one.one.copy.normal_address),
            detail={
                "method": "pdf",
                "variant": number,
                "pages": one.report.pages,
                "octets": one.report.octets,
                "attachments": len(one.report.attachments),
                "drawn": one.report.body,
                "cause": one.report.cause,
                "cipher": one.one.decision.cipher,
                "password_version": one.plan.version,
                "password_told": one.plan.tell,
                "password_chosen": one.plan.is_chosen,
            },
        )

    def _hold_all(self, message: OpenMessage, copies: Sequence[DecidedCopy], text: str) -> Sequence[Failure]:
        return self._hold.run(message, [replace(one, decision=replace(one.decision, text=text)) for one in copies])


def _own_domain(message: OpenMessage, decision: Decision) -> OwnDomain:
    domains = message.organisation.domains
    return domains.find(domain_of(decision.sender)) or domains.domains[0]


def _link_ms(message: OpenMessage) -> int:
    """Return how long the link of a PDF leads to its reply page."""
    return message.organisation.policy.switches.reply_link_days * DAY


def _both(first: str) -> tuple[str, ...]:
    return (first, *(language for language in LANGUAGES if language != first))
