"""The inside with a worker that can do webmail, and a portal that is a dictionary: what the link process pushes."""

from __future__ import annotations

import email
import email.policy
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from pdfmail.passphrase import generate_password
from pdfmail.template import TemplateCache
from relay.actions.base import Action
from relay.actions.mailer import Mailer
from relay.actions.pdf import PdfAction
from relay.actions.refuse import HoldAction
from relay.actions.registration import RegistrationAction
from relay.actions.tell import SenderTeller
from relay.actions.webmail import MailboxTools, WebmailAction
from relay.core.decision import Method
from relay.core.documents.brands import Brand, BrandsDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.shipped import shipped_organisation
from relay.core.lifecycle import State
from relay.core.ports import Actor, Grant
from relay.core.ports_mailbox import CardRequest
from relay.core.wire.sealed import CardRecord
from relay.keystore.software import SoftwareToken
from relay.mailbox.boxes import Boxes, accept_rekey
from relay.mailbox.generations import Generations
from relay.mailbox.joins import Joins
from relay.mailbox.notices import Notices
from relay.mailbox.renewals import Renewals
from relay.mailbox.reply_boxes import ReplyBoxes
from relay.mailbox.seal import Sealer
from relay.message.texts import MailTexts
from relay.pipeline import Pipeline
from relay.protect.passwords import PairPasswords
from relay.protect.pdf import PdfTools
from relay.spool.claims import claim_work, lease_portal_copy
from relay.spool.content import open_content
from relay.spool.settle import settle
from relay.store.base import Database
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.copies import StoredCopy, copies_of
from relay.store.repositories.mailbox_boxes import Box, boxes_of_partner, get_box
from relay.store.repositories.mailbox_cards import save_card
from relay.store.repositories.mailbox_chunks import list_chunks, read_chunk
from relay.store.repositories.mailbox_generations import get_generation
from relay.store.repositories.mailbox_messages import get_box_message
from relay.store.repositories.messages import get_key
from relay.store.repositories.partners import find_partner
from tests.contract.mailbox.browser import Browser, Listed
from tests.contract.spool.spool import Spool, make_spool
from tests.contract.store.databases import SteppedClock, clock, database_url, db

__all__ = [
    "ANNA",
    "MARIA",
    "OTTO",
    "PORTAL",
    "TENANT",
    "World",
    "cheap_passwords",
    "clock",
    "database_url",
    "db",
    "make_world",
    "world",
]

TENANT = "default"
PORTAL = "ENJHhdjed6rBfPOxg9HE-w"
MARIA, OTTO, ANNA = "maria@bank.example", "otto@bank.example", "anna@partner.example"
WORKER = Actor("process", "test/worker-1")
LINK = Actor("process", "test/link")
MAX_OCTETS = 3 * 1024 * 1024


@dataclass
class PortalBox:
    """What the portal holds of a box."""

    capsule: bytes = b""
    messages: dict[str, Listed] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    """Message id by the token's hash."""


@dataclass
class World:
    db: Database
    clock: SteppedClock
    spool: Spool
    token: SoftwareToken
    organisation: Organisation
    generations: Generations
    notices: Notices
    renewals: Renewals
    pipeline: Pipeline
    portal: dict[str, PortalBox] = field(default_factory=dict)
    read_mails: set[str] = field(default_factory=set)

    # --- inside -------------------------------------------------------------------------------------------------------

    def new_card(self, *, escrow: bool = True) -> None:
        """Hold a ceremony."""
        self._make_card(CardRequest(PORTAL, "Example Bank", escrow=escrow))

    def new_root(self) -> None:
        """Hold a ceremony with a new root; all cards are signed by both."""
        self._make_card(CardRequest(PORTAL, "Example Bank", new_root=True))

    def _make_card(self, request: CardRequest) -> None:
        self.token.create_card(request, Actor("operator", "op"))
        with self.db.transaction() as tx:
            for serial, record in enumerate(self.cards, start=1):
                save_card(tx, TENANT, serial, record.encode().decode())

    @property
    def cards(self) -> list[CardRecord]:
        """All cards, as the portal hands them out."""
        return list(self.token.list_cards(PORTAL))

    def send(
        self, sender: str = MARIA, to: str = ANNA, subject: str = "Your contract", body: str = "Dear Anna,\n\nhello.\n"
    ) -> str:
        """Take in a text mail for the portal and return its id."""
        mail = EmailMessage()
        mail["From"] = f"{sender.partition('@')[0].title()} Keller <{sender}>"
        mail["To"] = f"Anna <{to}>"
        mail["Subject"] = f"{{webmail}} {subject}"
        mail["Message-ID"] = f"<{os.urandom(6).hex()}@bank.example>"
        mail.set_content(body)
        return self.send_raw(mail, sender, to)

    def send_raw(self, mail: EmailMessage, sender: str = MARIA, *to: str) -> str:
        return self.spool.put(*(to or (ANNA,)), content=mail.as_bytes(policy=email.policy.SMTP), sender=sender)

    def work(self) -> None:
        """Walk everything that is due through the worker."""
        for _ in range(5):
            works = claim_work(self.db, "worker-1", 50)
            if not works:
                return
            for work in works:
                self.pipeline.handle(work)

    def copies(self, message_id: str) -> list[StoredCopy]:
        with self.db.reading() as tx:
            return copies_of(tx, message_id)

    def copy(self, message_id: str) -> StoredCopy:
        (copy,) = self.copies(message_id)
        return copy

    def boxes(self, address: str = ANNA) -> list[Box]:
        with self.db.reading() as tx:
            partner = find_partner(tx, TENANT, address)
            return [] if partner is None else boxes_of_partner(tx, TENANT, partner.id)

    def box(self, address: str = ANNA) -> Box:
        """Return the newest mailbox of a partner."""
        return next(box for box in self.boxes(address) if box.kind == "mailbox")

    def mails(self, to: str) -> list[EmailMessage]:
        """Return the mails of ours that were queued for an address since the last look, oldest first."""
        with self.db.reading() as tx:
            rows = tx.fetch_all(
                "SELECT m.id FROM message m JOIN copy c ON c.message_id = m.id WHERE m.origin = 'system'"
                " AND c.normal_address = ? AND c.state = 'queued' ORDER BY m.received_at, m.id",
                [to],
            )
        new = [row[0] for row in rows if row[0] not in self.read_mails]
        self.read_mails.update(new)
        return [email.message_from_bytes(self.content(one), policy=email.policy.default) for one in new]  # type: ignore[misc]

    def content(self, message_id: str, variant: int = 0) -> bytes:
        with self.db.reading() as tx:
            wrapped = get_key(tx, message_id)
        key = self.token.open_mail_key(message_id, wrapped, Grant("trace", message_id, "operator:test"))
        with open_content(self.db, message_id, variant, key).open() as stream:
            return stream.read()

    # --- link ---------------------------------------------------------------------------------------------------------

    def link(self) -> None:
        """Push everything that waits, as the link process does."""
        for _ in range(200):
            with self.db.transaction() as tx:
                found = pushes.claim_pushes(tx, TENANT, "link", 10)
            if not found:
                return
            for push in found:
                self._push(push)

    def _push(self, push: pushes.Push) -> None:
        there = self.portal.setdefault(push.box, PortalBox())
        if push.kind == pushes.RENEW:
            self._renew(push)
            return
        if push.kind == pushes.BOX:
            with self.db.reading() as tx:
                stored = get_generation(tx, TENANT, push.box, int(push.ref))
            there.capsule = self.generations.open(stored, Grant("deliver", push.box, str(LINK)))
        elif push.kind == pushes.MESSAGE:
            with self.db.reading() as tx:
                message = get_box_message(tx, TENANT, push.box, push.ref)
                places = list_chunks(tx, TENANT, push.box, push.ref)
                chunks = {place: read_chunk(tx, TENANT, push.box, push.ref, place) for place in places}
            there.messages[push.ref] = Listed(message.id, message.no, message.gen, message.sealed, chunks)
        elif push.kind == pushes.DELETE:
            there.messages.pop(push.ref, None)
        elif push.kind == pushes.TOKEN:
            there.tokens[push.ref] = push.detail["id"]
        elif push.kind == pushes.END:
            there.ended.append(push.ref)
        with self.db.transaction() as tx:
            assert pushes.finish_push(tx, push, "link")
            if push.kind == pushes.BOX:
                self.notices.box_pushed(tx, push)
            if push.kind == pushes.MESSAGE:
                if push.copy_id is not None:
                    delivery = lease_portal_copy(tx, "link", push.copy_id)
                    assert delivery is not None
                    (copy,) = delivery.copies
                    settle(tx, copy.id, copy.fence, State.DELIVERED, actor=LINK)
                self.notices.message_pushed(tx, push)

    def _renew(self, push: pushes.Push) -> None:
        if push.ref == "expire":
            with self.db.transaction() as tx:
                self.renewals.expire(tx, push)
                pushes.finish_push(tx, push, "link")
            return
        renewal = self.renewals.prepare(push, Grant("renew", push.box, str(LINK)))
        with self.db.transaction() as tx:
            pushes.finish_push(tx, push, "link", state=pushes.DONE if renewal else pushes.DROPPED)
            if renewal is not None:
                self.renewals.record(tx, renewal)

    # --- outside ------------------------------------------------------------------------------------------------------

    def sign_in(self, password: str, code: str = "", address: str = ANNA) -> Browser:
        """Sign in with what was typed. Raises MailboxDataError."""
        box = self.box(address)
        return Browser.sign_in(PORTAL, box.login_name or "", self.portal[box.id].capsule, self.cards, password, code)

    def choose_password(self, browser: Browser, password: str) -> Browser:
        """Choose a password and let the relay accept it."""
        capsule, _ = browser.choose_password(password, self.clock.now_ms())
        box_id = browser.opened.keys.box
        new = Browser.sign_in(PORTAL, browser.who, capsule, self.cards, password)
        row = self.generations.keep_browsers(new.opened.capsule, self.clock.now_ms())
        with self.db.transaction() as tx:
            before = get_box(tx, TENANT, box_id, lock=True)
            self.notices.rekeyed(tx, before, accept_rekey(tx, before, row, LINK))
        self.portal[box_id].capsule = capsule
        return new

    def inbox(self, browser: Browser) -> list[Listed]:
        """Return what the portal lists, oldest first."""
        return sorted(self.portal[browser.opened.keys.box].messages.values(), key=lambda one: one.no)


def password_in(mail: EmailMessage) -> str:
    """Return the first password in a mail to the sender."""
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    return next(line.strip() for line in text.splitlines() if _is_first(line.strip()))


def code_in(mail: EmailMessage) -> str:
    """Return the code in a mail to the recipient."""
    words = mail.get_body(("plain",)).get_content().split()  # type: ignore[union-attr]
    return next(word for word in words if _is_first(word))


def _is_first(text: str) -> bool:
    return len(text) == 14 and text[4] == text[9] == "-" and text.replace("-", "").isalnum() and text.upper() == text


def make_world(db: Database, clock: SteppedClock, directory: Path, policy: PolicyDocument | None = None) -> World:
    token = SoftwareToken.create(directory / "token", b"pin for the test", clock, pin_memory_kib=64)
    spool = make_spool(db, clock)
    public = token.spool_public_key()
    spool.intake.close()
    spool = replace(spool, intake=type(spool.intake)(db, lambda: public, "gw.bank.example", TENANT, 50_000_000))
    organisation = shipped_organisation("bank.example", "Example Bank")
    brand = Brand("default", "Example Bank", contact="Telephone +49 30 1234\nwww.bank.example")
    organisation = replace(organisation, brands=BrandsDocument((brand,)), policy=policy or organisation.policy)

    def hop_for(address: str) -> str:
        return "inside" if address.endswith("@bank.example") else "outside"

    texts = MailTexts()
    mailer = Mailer(TENANT, "gw.bank.example", WORKER, clock, texts, token.spool_public_key, hop_for)
    teller = SenderTeller(mailer)
    hold = HoldAction(db, WORKER, teller)
    notices = Notices(mailer, lambda: organisation, "https://portal.bank.example")
    generations = Generations(token, token, tenant=TENANT, portal=PORTAL)

    def sign(card: int, octets: bytes, subject: str) -> bytes:
        return token.sign_manifest(card, octets, Grant("protect", subject, str(WORKER)))

    pdf = PdfAction(
        db,
        tenant=TENANT,
        hostname="gw.bank.example",
        actor=WORKER,
        passwords=PairPasswords(db, token, TENANT, WORKER, generate_password),
        tools=PdfTools(None, TemplateCache(), directory, texts),
        teller=teller,
        hold=hold,
        hop_for=hop_for,
        portal_url="https://portal.bank.example",
        replies=ReplyBoxes(db, generations, Sealer(sign, directory, MAX_OCTETS), tenant=TENANT, actor=WORKER),
    )
    tools = MailboxTools(
        boxes=Boxes(db, generations, tenant=TENANT, actor=WORKER),
        sealer=Sealer(sign, directory, MAX_OCTETS),
        notices=notices,
        portal=PORTAL,
        preview=lambda _: None,
    )
    webmail = WebmailAction(db, tools, tenant=TENANT, actor=WORKER, hold=hold, teller=teller, without_mailbox=pdf)
    joins = Joins(db, token, notices.joins, tenant=TENANT, actor=WORKER)
    registration = RegistrationAction(
        db, tenant=TENANT, actor=WORKER, joins=joins, teller=teller, pdf=pdf, webmail=webmail
    )
    actions: dict[Method, Action] = {Method.HOLD: hold, Method.PDF: registration, Method.WEBMAIL: registration}
    pipeline = Pipeline(
        db,
        token,
        lambda: organisation,
        actions,
        tenant=TENANT,
        hostname="gw.bank.example",
        actor=WORKER,
        possible=frozenset(actions),
    )
    renewals = Renewals(db, generations, notices, tenant=TENANT, actor=LINK)
    return World(db, clock, spool, token, organisation, generations, notices, renewals, pipeline)


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with 64 MiB is proved by the vectors; here a password is stretched at every step."""
    monkeypatch.setattr(sys.modules["relay.core.wire.sealed.stretch"], "_PARAMETERS", {1: (64, 1), 2: (64, 1)})


@pytest.fixture
def world(db: Database, clock: SteppedClock, tmp_path: Path, cheap_passwords: None) -> Iterator[World]:
    made = make_world(db, clock, tmp_path)
    made.new_card()
    yield made
    made.spool.intake.close()
    made.token.close()
