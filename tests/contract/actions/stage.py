"""A worker in the test's own process, with documents that change when the test says so, and a deliverer behind it."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from pdfmail.template import TemplateCache
from relay.actions.base import Action
from relay.actions.clear import PassAction
from relay.actions.mailer import Mailer
from relay.actions.pdf import PdfAction
from relay.actions.refuse import DiscardAction, ForwardAction, HoldAction, RejectAction
from relay.actions.tell import SenderTeller
from relay.core.clock import Clock
from relay.core.decision import Method
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.keywords import KeywordsDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.shipped import shipped_organisation
from relay.core.envelope import Envelope, Recipient, SessionInfo, Side
from relay.core.errors import KeyStoreError
from relay.core.ports import Actor, Grant
from relay.delivery.attempt import Attempt
from relay.delivery.connections import ConnectionCache
from relay.delivery.deliver import DeliveryRun
from relay.delivery.endings import plan_ending
from relay.delivery.reports import DsnReports
from relay.delivery.route import MailerTable
from relay.delivery.settler import Settler
from relay.delivery.smtp import SessionOpener
from relay.keystore.software import SoftwareToken
from relay.message.texts import MailTexts
from relay.organisation import make_is_own
from relay.pipeline import Pipeline
from relay.protect.passwords import PairPasswords
from relay.protect.pdf import PdfTools
from relay.spool.claims import claim_delivery, claim_work
from relay.spool.content import open_content
from relay.spool.intake import SpoolIntake
from relay.store.base import Database
from relay.store.repositories.copies import StoredCopy, copies_of
from relay.store.repositories.decisions import StoredDecision, decisions_of
from relay.store.repositories.events import recent_events
from relay.store.repositories.messages import get_key
from relay.wiring.worker import make_password_maker
from tests.contract.store.databases import SteppedClock, new_sqlite_url
from tests.integration.delivery.conftest import SHORT
from tests.integration.delivery.fault_server import Dialogue, FaultServer

TENANT, HOST = "default", "gw.bank.example"
ANNA, BEN, JONAS = "anna@bank.example", "ben@bank.example", "jonas@partner.example"
Script = Callable[[Dialogue, str], str | list[str] | None]
WORKER, DELIVER = Actor("process", "test/worker-1"), Actor("process", "test/deliver")


class Keys:
    """The software token, which the test can take away at one call."""

    def __init__(self, token: SoftwareToken) -> None:
        self._token = token
        self.away: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in self.away:

            def refuse(*_: object) -> None:
                raise KeyStoreError("the key daemon is away")

            return refuse
        return getattr(self._token, name)


@dataclass
class Stage:
    """Mail in, worker, deliver, and what the sender is told."""

    db: Database
    clock: SteppedClock
    keys: Keys
    intake: SpoolIntake
    organisation: Organisation
    folder: Path
    stack: ExitStack
    read: set[str] = field(default_factory=set)
    _pipeline: Pipeline | None = None

    # --- documents ----------------------------------------------------------------------------------------------------

    def change(self, **documents: Any) -> None:
        """Make other documents active, given as JSON by kind; what is left out of one takes the shipped value."""
        readers = {"policy": PolicyDocument, "domains": DomainsDocument, "keywords": KeywordsDocument}
        read = {kind: readers[kind].from_json(value) for kind, value in documents.items()}  # type: ignore[attr-defined]
        self.organisation = replace(self.organisation, **read)

    # --- processes ----------------------------------------------------------------------------------------------------

    def mailer(self, actor: Actor = WORKER) -> Mailer:
        clock: Clock = self.clock
        return Mailer(TENANT, HOST, actor, clock, MailTexts(), self.keys.spool_public_key, lambda _: "inside")

    @property
    def pipeline(self) -> Pipeline:
        if self._pipeline is None:
            teller = SenderTeller(self.mailer())
            hold = HoldAction(self.db, WORKER, teller)
            pdf = PdfAction(
                self.db,
                tenant=TENANT,
                hostname=HOST,
                actor=WORKER,
                passwords=PairPasswords(
                    self.db, self.keys, TENANT, WORKER, make_password_maker(lambda: self.organisation)
                ),
                tools=PdfTools(None, TemplateCache(), self.folder, MailTexts()),
                teller=teller,
                hold=hold,
                hop_for=lambda _: "outside",
                portal_url=None,
            )
            actions: dict[Method, Action] = {
                Method.HOLD: hold,
                Method.PDF: pdf,
                Method.PASS: PassAction(self.db, TENANT, WORKER, lambda _: "outside"),
                Method.REJECT: RejectAction(self.db, WORKER, teller),
                Method.DISCARD: DiscardAction(self.db, WORKER),
                Method.FORWARD: ForwardAction(self.db, TENANT, WORKER),
            }
            self._pipeline = Pipeline(
                self.db,
                self.keys,
                lambda: self.organisation,
                actions,
                tenant=TENANT,
                hostname=HOST,
                actor=WORKER,
                possible=frozenset(actions),
            )
        return self._pipeline

    def work(self) -> None:
        """Walk everything that is due through the worker."""
        for _ in range(5):
            works = claim_work(self.db, "worker-1", 50)
            if not works:
                return
            for work in works:
                self.pipeline.handle(work)

    def deliver(self, script: Script = lambda *_: None) -> FaultServer:
        """Try everything that is due once, at a hop that answers as `script` says; return the hop."""
        with FaultServer(script=script) as server, ExitStack() as stack:
            route = {"pattern": "*", "hop": "outside", "host": "127.0.0.1", "port": server.port, "tls": "none"}
            table = MailerTable(type(self.organisation.routes).from_json({"routes": [route]}))
            cache = ConnectionCache(SessionOpener(HOST, SHORT))
            stack.callback(cache.close_all)
            is_own = make_is_own(lambda: self.organisation)
            reports = DsnReports(self.db, self.keys, HOST, DELIVER, lambda _: "outside", is_own=is_own)
            settler = Settler(self.db, reports, self.keys.spool_public_key, DELIVER)
            stack.callback(settler.close)
            attempt = Attempt(self.db, self.keys, DeliveryRun(lambda: table, cache), DELIVER)
            for delivery in claim_delivery(self.db, "test/deliver", 50):
                outcomes = attempt.try_once(delivery)
                endings = [plan_ending(delivery, copy, outcomes[copy.id], delivery.hop) for copy in delivery.copies]
                assert settler.settle(delivery, endings)
        return server

    # --- mail ---------------------------------------------------------------------------------------------------------

    def send(
        self,
        *to: Recipient | str,
        subject: str = "Contract",
        sender: str = ANNA,
        reverse_path: str | None = None,
        side: Side = Side.INSIDE,
        **fields: str,
    ) -> str:
        """Take in a text mail; return its id."""
        mail = EmailMessage()
        mail["From"] = sender
        mail["To"] = "undisclosed-recipients:;"
        mail["Subject"] = subject
        mail["Message-ID"] = "<one@bank.example>"
        for name, value in fields.items():
            mail[name.replace("_", "-")] = value
        mail.set_content("Dear Jonas,\n\nhello.\n")
        recipients = tuple(Recipient(one) if isinstance(one, str) else one for one in to or (JONAS,))
        return self.send_raw(
            mail.as_bytes(policy=email.policy.SMTP), recipients, sender if reverse_path is None else reverse_path, side
        )

    def send_raw(self, content: bytes, to: tuple[Recipient, ...], reverse_path: str, side: Side = Side.INSIDE) -> str:
        session = SessionInfo(side.value, side, "192.0.2.7", "mail.bank.example")

        async def take() -> str:
            incoming = self.intake.open(session, Envelope(reverse_path, to))
            await incoming.write(content)
            await incoming.commit()
            return incoming.message_id

        return asyncio.run(take())

    # --- what became of it --------------------------------------------------------------------------------------------

    def copies(self, message_id: str) -> dict[str, StoredCopy]:
        """Return a message's copies by address."""
        with self.db.reading() as tx:
            return {copy.forward_path: copy for copy in copies_of(tx, message_id)}

    def states(self, message_id: str) -> dict[str, str]:
        return {address: copy.state.value for address, copy in self.copies(message_id).items()}

    def decisions(self, message_id: str) -> list[StoredDecision]:
        with self.db.reading() as tx:
            return decisions_of(tx, message_id)

    def content(self, message_id: str, variant: int = 0) -> bytes:
        with self.db.reading() as tx:
            wrapped = get_key(tx, message_id)
        key = self.keys.open_mail_key(message_id, wrapped, Grant("trace", message_id, "operator:test"))
        with open_content(self.db, message_id, variant, key).open() as stream:
            return stream.read()

    def left(self, message_id: str, address: str = JONAS) -> EmailMessage:
        """Return the mail that is queued for a recipient."""
        octets = self.content(message_id, self.copies(message_id)[address].variant or 0)
        return email.message_from_bytes(octets, policy=email.policy.default)

    def told(self, to: str) -> list[EmailMessage]:
        """Return the mails of ours for an address since the last look, oldest first."""
        with self.db.reading() as tx:
            rows = tx.fetch_all(
                "SELECT m.id FROM message m JOIN copy c ON c.message_id = m.id WHERE m.origin = 'system'"
                " AND c.normal_address = ? ORDER BY m.received_at, m.id",
                [to],
            )
        new = [row[0] for row in rows if row[0] not in self.read]
        self.read.update(new)
        return [email.message_from_bytes(self.content(one), policy=email.policy.default) for one in new]

    def alerts(self) -> list[str]:
        with self.db.reading() as tx:
            return [event.detail for event in recent_events(tx, TENANT, kinds=("alert.raised",))]


def text_of(mail: EmailMessage) -> str:
    """Return the text of a notice on one line."""
    body = mail.get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    clock = SteppedClock()
    with ExitStack() as stack:
        database = Database.open(new_sqlite_url(tmp_path), clock, "test/main")
        stack.callback(database.close)
        token = SoftwareToken.create(tmp_path / "token", b"pin for the test", clock, pin_memory_kib=64)
        stack.callback(token.close)
        intake = SpoolIntake(database, token.spool_public_key, HOST, TENANT, 50_000_000, reserve=0)
        stack.callback(intake.close)
        shipped = shipped_organisation("bank.example", "Example Bank")
        yield Stage(database, clock, Keys(token), intake, shipped, tmp_path, stack)
