"""Both sides of the link: the inside with its real link parts, the portal's real apps, and no socket between them."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from pdfmail.passphrase import generate_password
from relay.core.clock import MINUTE
from relay.core.documents.policy import PolicyDocument
from relay.core.lifecycle import State
from relay.core.ports import Actor, Grant
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import (
    OWN,
    Item,
    Part,
    PartSealer,
    SeedKeys,
    format_time,
    make_id,
    new_message_key,
    read_card,
    read_secret,
    seal_self,
    seal_up,
    stretch,
)
from relay.core.wire.sealed.selfsealed import SENT
from relay.core.wire.sealed.stretch import login_id
from relay.delivery.reports import DsnReports
from relay.link.catch_up import CatchUp
from relay.link.client import PortalLink, _judge
from relay.link.errors import LinkDownError
from relay.link.gate import Gate
from relay.link.keeper import Keeper
from relay.link.pulls import Puller
from relay.link.pushes import Pusher
from relay.link.reconcile import Reconciler
from relay.link.steps import Steps
from relay.mailbox.account_words import AccountWords
from relay.mailbox.incoming import Incoming, IncomingPolicy
from relay.mailbox.incoming_desk import Desk, receipt_ms
from relay.mailbox.incoming_join import IncomingJoins
from relay.mailbox.incoming_reply import Replies, Scanner
from relay.mailbox.joins import Joins
from relay.mailbox.seal import Sealer
from relay.protect.passwords import PairPasswords
from relay.store.base import Database
from relay.store.repositories.mailbox_generations import Generation
from relay.wiring.link import PortalEndings, make_renew
from tests.contract.mailbox.browser import Browser, Listed, ReadMessage
from tests.contract.mailbox.world import (
    ANNA,
    LINK,
    MARIA,
    OTTO,
    PORTAL,
    TENANT,
    World,
    cheap_passwords,
    make_world,
    password_in,
)
from tests.contract.portal.site import Browser as Client
from tests.contract.portal.site import Site, make_settings
from tests.contract.store.databases import SteppedClock, clock, database_url, db

__all__ = ["ANNA", "MARIA", "OTTO", "PORTAL", "TENANT", "cheap_passwords", "clock", "database_url", "db", "linked"]

MAX_OCTETS = 3 * 1024 * 1024
CHUNK = 2**20


class Wire(PortalLink):
    """The client's calls, without its connection: each goes straight into the portal's app."""

    def __init__(self, linked: Linked) -> None:
        self._linked = linked

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "",
        *,
        limit: int = 0,
        extra: float = 0.0,
    ) -> bytes:
        del kind, limit, extra
        # No test waits for a long poll.
        path = path.replace("wait=25", "wait=0")
        self._linked.calls.append((method, path.partition("?")[0]))
        self._linked.before_call(method, path)
        answer = self._linked.call(method, path, body)
        self._linked.after_call(method, path)
        return _judge(answer.status_code, answer.data)

    def close(self) -> None:
        pass


@dataclass
class Reader:
    """Somebody at a browser who is signed in to the portal."""

    linked: Linked
    client: Client
    browser: Browser
    box: str
    address: str = ANNA

    @property
    def keys(self) -> SeedKeys:
        return self.browser.opened.keys

    def get(self, path: str) -> Any:
        """Ask the portal; sign in again where the session is over."""
        answer = self.client.get(path)
        if answer.status_code == 401:
            self.client = self.linked.sign_in(self.browser.password, address=self.address).client
            answer = self.client.get(path)
        assert answer.status_code == 200, answer.get_json()
        return answer

    def inbox(self) -> list[Listed]:
        """Return what the portal lists, oldest first, with all chunks."""
        listed = []
        for one in self.get("/api/messages?limit=100").get_json()["messages"]:
            chunks = {
                (part["i"], n): self.client.get(f"/api/blobs/{one['id']}/{part['i']}/{n}").data
                for part in one["parts"]
                for n in range(part["chunks"])
            }
            listed.append(Listed(one["id"], one["no"], one["gen"], decode_b64(one["sealed"]), chunks))
        return sorted(listed, key=lambda one: one.no)

    def read_all(self, kind: str = "mail") -> list[ReadMessage]:
        found = [self.browser.read(one) for one in self.inbox()]
        return [one for one in found if one.manifest.kind == kind]

    def choose_password(self, password: str) -> Any:
        """Choose a password, as the page does; return the portal's answer and sign in with it."""
        capsule, sig = self.browser.choose_password(password, self.linked.clock.now_ms())
        typed = read_secret(OWN, self.browser.password, self.browser.code)
        auth = stretch(PORTAL, self.browser.who, 1, typed).auth
        body = {"capsule": encode_b64(capsule), "sig": encode_b64(sig), "auth": encode_b64(auth)}
        answer = self.client.call("POST", "/api/rekey", body)
        assert answer.status_code == 200, answer.get_json()
        cards = self.linked.inside.cards
        self.browser = Browser.sign_in(PORTAL, self.browser.who, capsule, cards, password)
        return answer

    def send(self, item: Item, chunks: Mapping[tuple[int, int], bytes], **changes: Any) -> Any:
        """Hand an item over, its chunks first; `changes` replace outer fields."""
        self.get("/api/sent")
        for (i, n), data in chunks.items():
            self.client.call("PUT", f"/api/drafts/{item.id}/{i}/{n}", data)
        card = read_card(next(r.card for r in self.linked.inside.cards if read_card(r.card).serial == item.card))
        counts: dict[int, int] = {}
        for i, n in chunks:
            counts[i] = max(counts.get(i, 0), n + 1)
        body: dict[str, Any] = {
            "id": item.id,
            "gen": item.gen,
            "card": item.card,
            "sealed": encode_b64(seal_up(item, self.keys, card)),
            "self": encode_b64(seal_self(self.keys, SENT, item.id, item.encode())),
            "parts": [{"i": i, "chunks": count} for i, count in counts.items()],
            "kind": item.kind,
            "re": item.re,
        }
        return self.client.call("POST", "/api/send", body | changes)

    def make_item(self, kind: str = "reply", re: str | None = None, **changes: Any) -> Item:
        item = Item(
            kind=kind,
            portal=PORTAL,
            box=self.box,
            gen=self.keys.gen,
            id=make_id(),
            card=read_card(self.linked.inside.cards[-1].card).serial,
            time=format_time(self.linked.clock.now_ms()),
            mode="browser",
            re=re,
            key=new_message_key() if kind == "reply" else b"",
        )
        return replace(item, **changes)

    def make_reply(
        self,
        re: str,
        text: str = "Dear Maria,\n\nthank you.\n",
        files: Mapping[str, bytes] | None = None,
        **changes: Any,
    ) -> tuple[Item, dict[tuple[int, int], bytes]]:
        """Return a reply and its sealed chunks."""
        item = self.make_item("reply", re, subject="Re: Your contract", **changes)
        contents = [("text", "", "text/plain", text.encode())]
        contents += [("file", name, "application/octet-stream", data) for name, data in (files or {}).items()]
        parts: list[Part] = []
        chunks: dict[tuple[int, int], bytes] = {}
        for i, (role, name, kind, data) in enumerate(contents):
            sealer = PartSealer(item.key, item.id, i)
            for n, chunk in enumerate(sealer.seal_all([data])):
                chunks[i, n] = chunk
            parts.append(Part(i, role, name, kind, len(data)))
        return replace(item, parts=tuple(parts)), chunks

    def reply(self, re: str, text: str = "Dear Maria,\n\nthank you.\n", **more: Any) -> Item:
        """Answer a message; return the item."""
        item, chunks = self.make_reply(re, text, **more)
        answer = self.send(item, chunks)
        assert answer.status_code == 201, answer.get_json()
        return item

    def tell(self, kind: str, re: str | None, **changes: Any) -> Item:
        """Send a read, deleted, damaged or close."""
        item = self.make_item(kind, re, **changes)
        answer = self.send(item, {})
        assert answer.status_code == 201, answer.get_json()
        return item

    def sent_states(self) -> dict[str, str]:
        return {one["id"]: one["state"] for one in self.get("/api/sent").get_json()["sent"]}


def _nothing(_method: str, _path: str) -> None:
    pass


@dataclass
class Linked:
    """The inside, the portal, and the link parts between."""

    inside: World
    site: Site
    clock: SteppedClock
    pusher: Pusher = field(init=False)
    puller: Puller = field(init=False)
    keeper: Keeper = field(init=False)
    reconciler: Reconciler = field(init=False)
    incoming: Incoming = field(init=False)
    gate: Gate = field(init=False)
    calls: list[tuple[str, str]] = field(default_factory=list)
    before_call: Callable[[str, str], None] = _nothing
    after_call: Callable[[str, str], None] = _nothing
    server_mode: bool = False
    reply_files: bool = True

    def call(self, method: str, path: str, body: bytes | None) -> Any:
        kind = {"Content-Type": "application/json"} if body is not None else {}
        return self.site.first.link(method, path, body, **kind)

    def start(self, scanner: Scanner | None = None, max_octets: int = MAX_OCTETS) -> None:
        """Make the link's parts anew, as a new process does."""
        inside = self.inside
        actor = LINK

        def sign(card: int, octets: bytes, subject: str) -> bytes:
            return inside.token.sign_manifest(card, octets, Grant("mailbox", subject, str(actor)))

        def open_capsule(stored: Generation) -> bytes:
            return inside.generations.open(stored, Grant("mailbox", stored.box, str(actor)))

        public = inside.token.spool_public_key
        sealer = Sealer(sign, self.site.settings.state_dir, MAX_OCTETS)
        self.incoming = Incoming(
            database=inside.db,
            tenant=TENANT,
            portal_id=PORTAL,
            actor=actor,
            keys=inside.token,
            generations=inside.generations,
            sealer=sealer,
            replies=Replies(
                database=inside.db,
                tenant=TENANT,
                hostname="gw.bank.example",
                actor=actor,
                organisation=lambda: inside.organisation,
                spool_public=public,
                scanner=scanner,
            ),
            policy=lambda: IncomingPolicy(max_octets, server_mode=self.server_mode, reply_files=self.reply_files),
            tidings=inside.notices,
            joins=self._make_joins(actor, sealer),
            receipt_ms=lambda: receipt_ms(self.reconciler.marks.sent_days),
        )
        self.reconciler = Reconciler(inside.db, TENANT, actor, self.incoming)
        self.gate = Gate(lambda _error: None, self.reconciler.marks.note_trouble, first_pause=0.0)

        def hop_for(address: str) -> str:
            return "inside" if address.endswith("@bank.example") else "outside"

        def is_own(address: str) -> bool:
            return address.endswith("@bank.example")

        reports = DsnReports(inside.db, inside.token, "gw.bank.example", actor, hop_for, is_own=is_own)
        self.pusher = Pusher(
            database=inside.db,
            tenant=TENANT,
            actor=actor,
            steps=Steps(inside.db, TENANT, PORTAL, open_capsule),
            make_link=lambda: Wire(self),
            gate=self.gate,
            endings=PortalEndings(reports, "portal"),
            after=inside.notices,
            renew=make_renew(inside.renewals, actor),
            spool_public=public,
            marks=self.reconciler.marks,
        )
        catch_up = CatchUp(inside.db, TENANT, self.incoming).prepare
        self.puller = Puller(lambda: Wire(self), self.incoming, self.gate, catch_up=catch_up)
        self.keeper = Keeper(
            database=inside.db,
            tenant=TENANT,
            actor=actor,
            make_link=lambda: Wire(self),
            gate=self.gate,
            hints=inside.notices,
            look_after_late=self.pusher.look_after_late,
            compare=self.reconciler.compare,
            is_mark_due=lambda: self.reconciler.is_due,
            renew_words=AccountWords(Desk(inside.db, TENANT, PORTAL, actor), sealer).renew,
        )
        self.pusher.begin()

    def _make_joins(self, actor: Actor, sealer: Sealer) -> IncomingJoins:
        inside, notices = self.inside, self.inside.notices.joins
        return IncomingJoins(
            database=inside.db,
            tenant=TENANT,
            portal_id=PORTAL,
            actor=actor,
            keys=inside.token,
            generations=inside.generations,
            sealer=sealer,
            passwords=PairPasswords(inside.db, inside.token, TENANT, actor, generate_password),
            joins=Joins(inside.db, inside.token, notices, tenant=TENANT, actor=actor),
            notices=notices,
        )

    # --- doing --------------------------------------------------------------------------------------------------------

    def push(self) -> int:
        """Push what is due."""
        return self.pusher.run_once()

    def pull(self) -> int:
        """Take one page of the outbox; the link may break."""
        try:
            return self.puller.pull_once(0)
        except LinkDownError:
            return 0

    def go(self) -> None:
        """Push and pull until nothing moves; what was postponed is due again."""
        for _ in range(40):
            moved = self.push() + self.pull()
            if not moved and not self.waiting():
                return
            self.clock.advance(0 if moved else 15 * MINUTE)
        raise AssertionError(f"still waiting: {self.waiting()}")

    def send(self, **more: Any) -> str:
        """Send a mail to the portal and push it; return its id."""
        message_id = self.inside.send(**more)
        self.inside.work()
        self.push()
        return message_id

    def sign_in(self, password: str, code: str = "", address: str = ANNA) -> Reader:
        box = self.inside.box(address)
        who = box.login_name or ""
        keys = stretch(PORTAL, who, 1, read_secret(OWN, password, code))
        client = self.site.first.browser()
        body = {"login_id": login_id(PORTAL, who), "kdf": 1, "auth": encode_b64(keys.auth)}
        answer = client.call("POST", "/api/login", body)
        assert answer.status_code == 200, answer.get_json()
        capsule = decode_b64(answer.get_json()["capsule"])
        browser = Browser.sign_in(PORTAL, who, capsule, self.inside.cards, password, code)
        return Reader(self, client, browser, box.id, address)

    def open_mailbox(self, own: str = "sommerregen72", **more: Any) -> Reader:
        """Send a first mail, sign in with what the sender was told, choose a password, let the relay take it."""
        self.send(**more)
        (told,) = self.inside.mails(MARIA)
        reader = self.sign_in(password_in(told))
        reader.choose_password(own)
        assert self.pull() == 1
        self.push()
        self.inside.mails(MARIA)
        self.inside.mails(ANNA)
        return reader

    # --- looking ------------------------------------------------------------------------------------------------------

    def arrived(self) -> list[EmailMessage]:
        """Return the answers in the spool, oldest first."""
        with self.inside.db.reading() as tx:
            rows = tx.fetch_all("SELECT id FROM message WHERE origin = 'portal' ORDER BY received_at, id")
        return [
            email.message_from_bytes(self.inside.content(row[0]), policy=email.policy.default)  # type: ignore[misc]
            for row in rows
        ]

    def quarantined(self) -> list[str]:
        """Return the codes of refused entries."""
        with self.inside.db.reading() as tx:
            return [row[0] for row in tx.fetch_all("SELECT code FROM mailbox_quarantine ORDER BY at, id")]

    def alerts(self) -> list[str]:
        with self.inside.db.reading() as tx:
            return [str(row[0]) for row in tx.fetch_all("SELECT detail FROM event WHERE kind = 'alert.raised'")]

    # --- faults -------------------------------------------------------------------------------------------------------

    def break_calls(self, *, when: str = "before", only: Callable[[str, str], bool] = lambda _m, _p: True) -> None:
        """Let calls fail from now on, before the portal has them or after."""

        def fail(method: str, path: str) -> None:
            if only(method, path):
                raise LinkDownError("broken by the test")

        self.before_call, self.after_call = (fail, _nothing) if when == "before" else (_nothing, fail)

    def break_call(self, number: int, when: str) -> Callable[[], bool]:
        """Let the call with this number from now on fail once; what is returned tells whether it came to that."""
        made = 0
        happened = False

        def fail(_method: str, _path: str) -> None:
            nonlocal made, happened
            made += 1
            if made == number and not happened:
                happened = True
                raise LinkDownError("broken by the test")

        self.before_call, self.after_call = (fail, _nothing) if when == "before" else (_nothing, fail)
        return lambda: happened

    def mend(self) -> None:
        """Let calls work again."""
        self.before_call = self.after_call = _nothing

    def back_up(self) -> dict[Path, bytes]:
        """Return a copy of the portal's databases, as a back-up has it."""
        self._close_portal()
        found = [
            path for folder in ("state", "state-keys") for path in (self.site.settings.path.parent / folder).iterdir()
        ]
        return {path: path.read_bytes() for path in found if path.is_file()}

    def restore(self, copy: Mapping[Path, bytes]) -> None:
        """Put a back-up in the place of the portal's databases and start it anew."""
        self._close_portal()
        for folder in ("state", "state-keys"):
            for path in (self.site.settings.path.parent / folder).iterdir():
                if path.is_file():
                    path.unlink()
        for path, data in copy.items():
            path.write_bytes(data)
        # What every connection shows that was open.
        self.gate.note_down(LinkDownError("broken by the test"))

    def _close_portal(self) -> None:
        for node in self.site.nodes:
            node.close()
        self.site.nodes.clear()

    def waiting(self) -> list[tuple[str, str]]:
        with self.inside.db.reading() as tx:
            sql = "SELECT kind, ref FROM portal_push WHERE state = 'waiting' ORDER BY seq"
            return [(row[0], row[1]) for row in tx.fetch_all(sql)]

    def state(self, message_id: str) -> State:
        return self.inside.copy(message_id).state


def make_linked(db: Database, clock: SteppedClock, directory: Path, policy: PolicyDocument | None = None) -> Linked:
    inside = make_world(db, clock, directory, policy)
    settings = replace(make_settings(directory / "portal", "sqlite"), portal_id=PORTAL)
    made = Linked(inside, Site(settings, clock), clock)
    made.start()
    inside.new_card()
    return made


@pytest.fixture
def linked(db: Database, clock: SteppedClock, tmp_path: Path, cheap_passwords: None) -> Iterator[Linked]:
    made = make_linked(db, clock, tmp_path)
    made.keeper.run_once()
    yield made
    made.inside.spool.intake.close()
    made.inside.token.close()
    for node in made.site.nodes:
        node.close()


ACTOR = Actor("operator", "test")


def field_of(content: bytes, name: str) -> str:
    """Return one header field of a mail's octets."""
    return str(email.message_from_bytes(content, policy=email.policy.default)[name])
