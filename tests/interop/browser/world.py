"""An organisation with its keys, and a portal it pushes to: what the engine meets, without the relay's processes.

The portal is the real one (both apps over one store, loopback sockets); the inside is played with the real formats of
relay.core.wire.sealed and keys held here. Plays no policy.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from werkzeug.serving import make_server

from portal.app import build_pages, make_app
from portal.installation import Choices, create_portal
from portal.settings import load_settings
from relay.core.clock import SystemClock
from relay.core.wire import hpke
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import (
    Account,
    CapsuleBody,
    CapsuleFields,
    CardRecord,
    Item,
    JoinLink,
    MailHead,
    Manifest,
    OlderSeed,
    OpenedCapsule,
    Part,
    PartSealer,
    Person,
    SeedKeys,
    Stretched,
    TrustedCards,
    check_cards,
    check_value,
    format_time,
    login_id,
    make_capsule,
    make_card,
    make_id,
    new_message_key,
    open_escrow,
    open_join,
    open_part,
    open_up,
    read_capsule,
    read_secret,
    root_pin,
    seal_down,
    sign_card,
    stretch,
    verify_rekey,
)
from relay.core.wire.sealed.gcm import derive
from relay.core.wire.sealed.signing import SIGN_CARD, SIGN_DOWN, sign_es256
from relay.core.wire.sealed.stretch import salt_of
from tests.contract.portal.site import Node

DAY = 86_400_000
SENDER = Person("Maria Keller", "maria@bank.example")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _raw(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32, "big")


@dataclass
class CardKeys:
    """Private keys of one card."""

    sign: ec.EllipticCurvePrivateKey
    reply: ec.EllipticCurvePrivateKey
    escrow: ec.EllipticCurvePrivateKey | None

    @classmethod
    def generate(cls, *, escrow: bool = True) -> CardKeys:
        made = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
        return cls(made[0], made[1], made[2] if escrow else None)


class Organisation:
    """Root, cards and what is done with them."""

    def __init__(self, portal: str, *, escrow: bool = True) -> None:
        self.portal = portal
        self.root = ec.generate_private_key(ec.SECP256R1())
        self.keys: dict[int, CardKeys] = {}
        self.records: list[CardRecord] = []
        self.add_card(escrow=escrow)

    @property
    def serial(self) -> int:
        return len(self.records)

    @property
    def root_public(self) -> bytes:
        return _public(self.root)

    @property
    def cards(self) -> TrustedCards:
        return check_cards(self.records, portal=self.portal, root=self.root_public, least=1)

    def add_card(self, *, escrow: bool = True, distrust: tuple[int, ...] = ()) -> CardRecord:
        serial = len(self.records) + 1
        keys = CardKeys.generate(escrow=escrow)
        card = make_card(
            portal=self.portal,
            serial=serial,
            org="Example Bank",
            root=self.root_public,
            sign=_public(keys.sign),
            reply=_public(keys.reply),
            escrow=None if keys.escrow is None else _public(keys.escrow),
            distrust=distrust,
            time=format_time(now_ms()),
        )
        record = sign_card(card, [(self.root_public, lambda octets: sign_es256(self.root, SIGN_CARD, octets))])
        self.keys[serial] = keys
        self.records.append(record)
        return record

    def sign(self, serial: int) -> Callable[[bytes], bytes]:
        return lambda octets: sign_es256(self.keys[serial].sign, SIGN_DOWN, octets)

    def opener(self, kind: str, serial: int) -> Callable[[bytes, bytes], bytes]:
        key: ec.EllipticCurvePrivateKey = getattr(self.keys[serial], kind)
        return lambda info, sealed: hpke.open_sealed(hpke.SUITE_P256, _raw(key), info, sealed)


@dataclass
class BoxAccount:
    """A box as the relay knows it: public keys and the newest capsule; seeds only of generations it made itself."""

    box: str
    name: str | None
    kind: str = "mailbox"
    gen: int = 1
    no: int = 0
    capsule: bytes = b""
    password: str = ""
    by_browser: bool = False
    tickets: dict[str, str] = field(default_factory=dict)

    @property
    def enc(self) -> bytes:
        return read_capsule(self.capsule).enc

    @property
    def sign(self) -> bytes:
        return read_capsule(self.capsule).sign


@dataclass
class Sent:
    """What became of one entry of the outbox."""

    entry: dict[str, Any]
    item: Item | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    opened: OpenedCapsule | None = None


def stretch_fast(portal: str, who: str, kdf: int, secret: bytes) -> Stretched:
    """Stand-in for Argon2id, as in engine_in_node.mjs: what is tested there does not hang on its cost."""
    master = hashlib.sha256(salt_of(portal, who) + secret + bytes([kdf])).digest()
    auth = derive(master, "LL1/auth")
    return Stretched(auth, derive(master, "LL1/kek"), check_value(auth))


class World:
    """One portal on the loopback and one organisation behind it."""

    def __init__(
        self,
        folder: Path,
        *,
        escrow: bool = True,
        stretch: Callable[[str, str, int, bytes], Stretched] = stretch,
        add_routes: Callable[[Flask], None] | None = None,
    ) -> None:
        self._stretch = stretch
        self._app: Flask | None = None
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        choices = Choices(self.url, "Example Bank", "+49 241 123 456", web="127.0.0.1:0", link="127.0.0.1:0")
        self.node = Node(load_settings(create_portal(folder / "portal", choices)), SystemClock())  # type: ignore[arg-type]
        self._app = make_app(self.node.portal, build_pages(self.node.portal))
        self._app.config["PORTAL"] = self.node.portal.portal_id
        if add_routes is not None:
            add_routes(self._app)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.portal = self.node.portal.portal_id
        self.organisation = Organisation(self.portal, escrow=escrow)
        self._mark = 0
        self.beat()
        self.push_cards()

    def _serve(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        assert self._app is not None
        return self._app(environ, start)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.node.close()

    # --- the link ----------------------------------------------------------------------------------------------------

    def link(self, method: str, path: str, body: object = None) -> Any:
        answer = self.node.link(method, path, body)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.data)
        return answer.get_json(silent=True)

    def beat(self) -> None:
        self._mark += 1
        self.link("PUT", "mark", {"mark": self._mark, "time": format_time(now_ms()), "reconciled": True})

    def push_cards(self, *serials: int) -> None:
        for number, record in enumerate(self.organisation.records, 1):
            if not serials or number in serials:
                self.link("PUT", f"cards/{number}", record.to_object())

    # --- boxes -------------------------------------------------------------------------------------------------------

    def make_first(
        self, name: str | None = "anna@partner.example", password: str = "K7QM-2XWP-9FTD", code: str = "", **more: Any
    ) -> BoxAccount:
        """A first mailbox, or the next generation of `after`, with a first password."""
        after: BoxAccount | None = more.pop("after", None)
        older: tuple[OlderSeed, ...] = more.pop("older", ())
        account = after or BoxAccount(make_id(), name)
        gen = account.gen + 1 if after else 1
        capsule = self._make_capsule(account, gen, read_secret("own", password, code), older)
        body = {
            "login_id": login_id(self.portal, account.name or ""),
            "base": encode_b64(hashlib.sha256(after.capsule).digest()) if after else None,
            "capsule": encode_b64(capsule),
            "state": "first",
            "first_expires": format_time(now_ms() + 7 * DAY),
            "must_change": False,
            "lang": "en",
            **more,
        }
        self.link("PUT", f"boxes/{account.box}", body)
        account.gen, account.capsule, account.password, account.by_browser = gen, capsule, password, False
        return account

    def make_reply_box(self, password: str = "dghz-4eb6-7gnc-xxd6", form: str = "b32") -> BoxAccount:
        """A box behind PDF links."""
        account = BoxAccount(make_id(), None, "reply", by_browser=True)
        account.capsule = self._make_capsule(account, 1, read_secret(form, password), (), form)
        account.password = password
        body = {
            "login_id": encode_b64(os.urandom(32)),
            "base": None,
            "capsule": encode_b64(account.capsule),
            "state": "active",
            "first_expires": None,
            "must_change": False,
            "lang": "en",
        }
        self.link("PUT", f"boxes/{account.box}", body)
        return account

    def _make_capsule(
        self, account: BoxAccount, gen: int, secret: bytes, older: tuple[OlderSeed, ...], form: str | None = None
    ) -> bytes:
        kdf = 2 if account.kind == "reply" else 1
        who = account.box if account.name is None else account.name
        stretched = self._stretch(self.portal, who, kdf, secret)
        fields = CapsuleFields(
            kind=account.kind,
            by="relay",
            portal=self.portal,
            box=account.box,
            gen=gen,
            time=format_time(now_ms()),
            kdf=kdf,
            av=stretched.av,
            form=form,
        )
        newest = self.organisation.cards.newest
        body = CapsuleBody(account.name, "Example Bank", self.organisation.root_public, newest.serial, older)
        escrow = None if account.kind == "reply" else newest.escrow_key
        return make_capsule(fields, os.urandom(32), stretched.kek, body, escrow)

    # --- messages ----------------------------------------------------------------------------------------------------

    def push(
        self, account: BoxAccount, kind: str = "mail", *, files: dict[str, bytes] | None = None, **more: Any
    ) -> str:
        """Push a manifest sealed to the box's newest generation; return its id. `more` overrides the mail's head."""
        return self.push_manifest(account, kind, files or {}, more)

    def push_manifest(self, account: BoxAccount, kind: str, files: dict[str, bytes], more: dict[str, Any]) -> str:
        id_, key = more.pop("id", None) or make_id(), new_message_key()
        serial = more.pop("card", self.organisation.serial)
        account.no += 1
        contents = [("text", "", "text/plain", more.pop("text", "Dear Anna,\nhere is your contract.").encode())]
        if "html" in more:
            contents.append(("html", "", "text/html", more.pop("html").encode()))
        contents += [("file", name, "application/octet-stream", octets) for name, octets in files.items()]
        contents += more.pop("contents", [])
        parts = tuple(Part(i, role, name, type_, len(octets)) for i, (role, name, type_, octets) in enumerate(contents))
        state, re_, of = more.pop("state", None), more.pop("re", None), None
        mail = None
        if kind in ("mail", "ticket"):
            head: dict[str, Any] = {
                "thread": make_id(),
                "sender": SENDER,
                "to": (Person("Anna", account.name or ""),),
                "cc": (),
                "subject": "Your contract",
                "snippet": "Dear Anna,",
                "expires": format_time(now_ms() + 90 * DAY),
                "receipt": True,
                "files": True if kind == "ticket" else None,
            }
            mail = MailHead(**(head | more), key=key, parts=parts)
        if kind == "account":
            of = more.pop("of", None) or Account(account.gen, account.enc, account.sign)
        gen, enc = more.pop("gen", account.gen), more.pop("enc", account.enc)
        manifest = Manifest(
            kind=kind,
            portal=self.portal,
            box=account.box,
            gen=gen,
            id=id_,
            no=account.no,
            enc=enc,
            card=serial,
            time=format_time(now_ms()),
            mail=mail,
            re=re_,
            state=state,
            of=of,
        )
        counts = []
        for part, (*_, octets) in zip(parts, contents, strict=True):
            if mail is None:
                break
            sealer = PartSealer(key, id_, part.i)
            for n, chunk in enumerate(sealer.seal_all([octets])):
                self.link("PUT", f"boxes/{account.box}/blobs/{id_}/{part.i}/{n}", chunk)
            counts.append({"i": part.i, "chunks": sealer.count})
        sealed = seal_down(manifest, self.organisation.sign(serial))
        self.push_sealed(account, id_, sealed, gen=gen, card=serial, parts=counts)
        return id_

    def push_sealed(
        self, account: BoxAccount, id_: str, sealed: bytes, *, gen: int, card: int, parts: Any = ()
    ) -> None:
        """Push sealed octets as they are."""
        body = {
            "no": account.no,
            "gen": gen,
            "card": card,
            "expires": format_time(now_ms() + 90 * DAY),
            "sealed": encode_b64(sealed),
            "parts": list(parts),
        }
        self.link("PUT", f"boxes/{account.box}/messages/{id_}", body)

    def push_ticket(self, account: BoxAccount, **more: Any) -> str:
        """Push a ticket and the token that leads to it; return the token."""
        token = make_id()
        id_ = self.push(account, "ticket", **more)
        hashed = encode_b64(hashlib.sha256(token.encode()).digest())
        expires = format_time(now_ms() + 90 * DAY)
        self.link("PUT", f"tokens/{hashed}", {"box": account.box, "id": id_, "expires": expires})
        account.tickets[token] = id_
        return token

    # --- what comes back ---------------------------------------------------------------------------------------------

    def pull(self, account: BoxAccount | None = None, *, answer: bool = True) -> list[Sent]:
        """Take what waits, verify it as the relay does, and answer: account after a rekey, arrived after a reply."""
        taken = []
        for entry in self.link("GET", "outbox?limit=100")["entries"]:
            sent = Sent(entry)
            if account is not None and entry.get("box") == account.box:
                if entry["kind"] == "rekey":
                    self._take_rekey(account, sent, answer)
                else:
                    self._take_item(account, sent, answer)
            taken.append(sent)
            self.link("POST", "outbox/ack", {"acks": [{"box": entry.get("box"), "id": entry["id"], "result": "taken"}]})
        return taken

    def _take_rekey(self, account: BoxAccount, sent: Sent, answer: bool) -> None:
        octets = decode_b64(sent.entry["capsule"])
        capsule = read_capsule(octets, kind="mailbox")
        verify_rekey(account.sign, octets, decode_b64(sent.entry["sig"]))
        assert (capsule.by, capsule.gen, capsule.box) == ("browser", account.gen + 1, account.box)
        if capsule.escrow is not None:
            sent.opened = open_escrow(capsule, self.organisation.opener("escrow", capsule.escrow.card))
        account.gen, account.capsule, account.by_browser = capsule.gen, octets, True
        if answer:
            self.push(account, "account")

    def _take_item(self, account: BoxAccount, sent: Sent, answer: bool) -> None:
        entry = sent.entry
        sent.item = item = open_up(
            decode_b64(entry["sealed"]),
            self.organisation.opener("reply", entry["card"]),
            sign=account.sign,
            portal=self.portal,
            box=account.box,
            gen=entry["gen"],
            id_=entry["id"],
            card=entry["card"],
        )
        for part in item.parts:
            count = next(one["chunks"] for one in entry["parts"] if one["i"] == part.i)
            place = f"outbox/{account.box}/{item.id}/{part.i}"
            chunks = [self.node.link("GET", f"{place}/{n}").data for n in range(count)]
            sent.parts[part.i] = b"".join(open_part(item.key, item.id, part.i, part.size, chunks))
        if answer and item.kind == "reply" and account.kind == "mailbox":
            self.push(account, "receipt", re=item.id, state="arrived")

    # --- registration ------------------------------------------------------------------------------------------------

    def invite(self) -> tuple[str, JoinLink]:
        """Open a registration link; return its id and fragment."""
        id_ = make_id()
        hashed = encode_b64(hashlib.sha256(id_.encode()).digest())
        self.link("PUT", f"joins/{hashed}", {"expires": format_time(now_ms() + DAY)})
        return id_, JoinLink(os.urandom(16), root_pin(self.organisation.root_public))

    def take_join(self, id_: str, link: JoinLink) -> Any:
        """Return what was handed in."""
        (entry,) = [one for one in self.link("GET", "outbox")["entries"] if one["id"] == id_]
        self.link("POST", "outbox/ack", {"acks": [{"box": entry.get("box"), "id": id_, "result": "taken"}]})
        return open_join(
            decode_b64(entry["sealed"]),
            self.organisation.opener("reply", entry["card"]),
            secret=link.secret,
            portal=self.portal,
            id_=id_,
            card=entry["card"],
        )

    def accept_join(self, capsule: bytes, name: str) -> BoxAccount:
        """Push a registered capsule as the box's first."""
        read = read_capsule(capsule, kind="mailbox")
        account = BoxAccount(read.box, name, gen=read.gen, capsule=capsule, by_browser=True)
        body = {
            "login_id": login_id(self.portal, name),
            "base": None,
            "capsule": encode_b64(capsule),
            "state": "active",
            "first_expires": None,
            "must_change": False,
            "lang": "en",
        }
        self.link("PUT", f"boxes/{read.box}", body)
        return account

    def seeds(self, opened: OpenedCapsule) -> dict[int, SeedKeys]:
        """All generations that an escrow record brings."""
        return {gen: opened.seed_keys(gen) for gen in [opened.keys.gen, *(one.gen for one in opened.body.older)]}
