"""A portal without sockets: both apps over one store, a relay's stand-in that pushes, and readers who sign in.

`Site.node()` opens the same databases again, as another process or node would.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.app import make_app
from portal.context import Portal, open_portal
from portal.installation import Choices, create_portal
from portal.link.app import make_link_app
from portal.link.ledger import check_mark
from portal.settings import Settings, load_settings
from portal.store.engine import Database
from portal.store.grants import keys_grants, main_grants
from portal.store.models import KEYS_METADATA, METADATA
from relay.core.ids import new_id
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import (
    CapsuleBody,
    CapsuleFields,
    OlderSeed,
    format_time,
    make_capsule,
    sign_rekey,
)
from relay.core.wire.sealed.seed import SeedKeys
from relay.core.wire.sealed.stretch import check_value
from tests.contract.store.databases import SteppedClock, shared_server

URL = "https://portal.bank.example"
CERTIFICATE = b"the relay's certificate"
OWNER_ROLE, WEB_ROLE = "portal_link", "portal_web"
KEYS_SCHEMA = "?options=-csearch_path%3Drow_keys"
_COUNTER = itertools.count()
_ROOT = b"\x04" + bytes(64)


class _Socket:
    def __init__(self, certificate: bytes | None) -> None:
        self._certificate = certificate

    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        return self._certificate


@dataclass
class Box:
    """A box with the keys of its generations, as relay and reader know them."""

    portal: str
    id: str
    login_id: str
    kind: str = "mailbox"
    gen: int = 1
    seeds: list[bytes] = field(default_factory=lambda: [os.urandom(32)])
    auth: bytes = field(default_factory=lambda: os.urandom(32))
    kek: bytes = field(default_factory=lambda: os.urandom(32))
    capsule: bytes = b""

    @property
    def keys(self) -> SeedKeys:
        return SeedKeys.of(self.seeds[-1], self.portal, self.id, self.gen)

    def write_capsule(self, by: str, now_ms: int) -> bytes:
        older = tuple(OlderSeed(n + 1, 1, seed) for n, seed in enumerate(self.seeds[:-1]))
        fields = CapsuleFields(
            kind=self.kind,
            by=by,
            portal=self.portal,
            box=self.id,
            gen=self.gen,
            time=format_time(now_ms),
            kdf=2 if self.kind == "reply" else 1,
            av=check_value(self.auth),
            form="b32" if self.kind == "reply" else None,
        )
        name = None if self.kind == "reply" else "anna@partner.example"
        body = CapsuleBody(name, "Example Bank", _ROOT, 1, older)
        self.capsule = make_capsule(fields, self.seeds[-1], self.kek, body, None)
        return self.capsule

    def next(self) -> Box:
        """Return the box in its next generation, with a new password, not told to anybody yet."""
        return replace(
            self,
            gen=self.gen + 1,
            seeds=[*self.seeds, os.urandom(32)],
            auth=os.urandom(32),
            capsule=b"",
            kek=os.urandom(32),
        )

    def rekey_body(self, new: Box, now_ms: int) -> dict[str, Any]:
        capsule = new.capsule or new.write_capsule("browser", now_ms)
        return {
            "capsule": encode_b64(capsule),
            "sig": encode_b64(sign_rekey(self.keys, capsule)),
            "auth": encode_b64(self.auth),
        }


class Node:
    """One process's apps."""

    def __init__(self, settings: Settings, clock: SteppedClock) -> None:
        self.portal: Portal = open_portal(settings, clock)
        self.web_portal = self.portal
        if settings.database.web_roles is not None:
            # As the web process does it, after `letterlock-portal grants --apply`.
            web = load_settings(settings.path, "web").database
            self.web_portal = open_portal(replace(settings, database=web, party="web"), clock)
            check_mark(self.web_portal)
        self.is_waiting = check_mark(self.portal)
        self.web = make_app(self.web_portal)
        self.link_app = make_link_app(self.portal, frozenset({hashlib.sha256(CERTIFICATE).digest()}))

    def browser(self, address: str = "192.0.2.7") -> Browser:
        return Browser(self.web.test_client(), address)

    def link(self, method: str, path: str, body: object = None, **headers: str) -> TestResponse:
        """Call the link API as the relay does."""
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            headers.setdefault("Content-Digest", f"sha-256=:{digest}:")
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        return self.link_app.test_client().open(
            f"/link/v1/{path}",
            method=method,
            data=data,
            headers=headers | ({"Content-Type": kind} if body is not None else {}),
            environ_overrides={"gunicorn.socket": _Socket(CERTIFICATE)},
        )

    @property
    def databases(self) -> list[Database]:
        """Both databases, as each party has opened them."""
        stores = [self.portal.store] if self.web_portal is self.portal else [self.portal.store, self.web_portal.store]
        return [database for store in stores for database in (store.main, store.keys)]

    def close(self) -> None:
        self.portal.close()
        if self.web_portal is not self.portal:
            self.web_portal.close()


class Browser:
    """A browser: one cookie jar."""

    def __init__(self, client: FlaskClient, address: str) -> None:
        self.client = client
        self.address = address

    def call(self, method: str, path: str, body: object = None, **headers: str) -> TestResponse:
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        sent = {"Content-Type": kind} if body is not None else {}
        if method not in ("GET", "HEAD"):
            sent |= {"X-Letterlock": "1", "Sec-Fetch-Site": "same-origin", "Origin": URL}
        return self.client.open(
            path,
            method=method,
            data=data,
            base_url=URL,
            headers={**sent, **headers},
            environ_overrides={"REMOTE_ADDR": self.address},
        )

    def get(self, path: str) -> TestResponse:
        return self.call("GET", path)

    def login(self, box: Box, auth: bytes | None = None) -> TestResponse:
        body = {"login_id": box.login_id, "kdf": 1, "auth": encode_b64(auth or box.auth)}
        return self.call("POST", "/api/login", body)

    def login_token(self, token: str, auth: bytes) -> TestResponse:
        return self.call("POST", "/api/login", {"token": token, "kdf": 2, "auth": encode_b64(auth)})

    def send(self, box: Box, /, **changes: Any) -> TestResponse:
        return self.call("POST", "/api/send", item(box) | changes)


def item(box: Box, /, **changes: Any) -> dict[str, Any]:
    found = {
        "id": new_id(),
        "gen": box.gen,
        "card": 1,
        "sealed": encode_b64(os.urandom(300)),
        "self": encode_b64(os.urandom(200)),
        "parts": [],
        "kind": "reply",
        "re": new_id(),
    }
    return found | changes


@dataclass
class Site:
    """Two nodes' worth of databases, and what the relay would know."""

    settings: Settings
    clock: SteppedClock
    nodes: list[Node] = field(default_factory=list)

    def node(self) -> Node:
        made = Node(self.settings, self.clock)
        self.nodes.append(made)
        return made

    @property
    def first(self) -> Node:
        return self.nodes[0] if self.nodes else self.node()

    def mark(self, number: int) -> TestResponse:
        time = format_time(self.clock.now_ms())
        return self.first.link("PUT", "mark", {"mark": number, "time": time, "reconciled": True})

    def make_box(self, state: str = "active", kind: str = "mailbox") -> Box:
        """Make a box and push it; `active` means that its reader has chosen a password."""
        box = Box(self.settings.portal_id, new_id(), encode_b64(os.urandom(32)), kind)
        box.write_capsule("browser" if state == "active" and kind == "mailbox" else "relay", self.clock.now_ms())
        assert self.push(box, state).status_code == 201
        return box

    def push(self, box: Box, state: str = "active", **changes: Any) -> TestResponse:
        body: dict[str, Any] = {
            "login_id": box.login_id,
            "base": None,
            "capsule": encode_b64(box.capsule),
            "state": state,
            "first_expires": format_time(self.clock.now_ms() + 7 * 86_400_000) if state == "first" else None,
            "must_change": False,
            "lang": "de",
        }
        return self.first.link("PUT", f"boxes/{box.id}", body | changes)

    def push_message(self, box: Box, no: int, chunks: Mapping[tuple[int, int], bytes] | None = None) -> str:
        """Push a message with its chunks; return its id."""
        id_ = new_id()
        counts: dict[int, int] = {}
        for (i, n), data in (chunks or {}).items():
            assert self.first.link("PUT", f"boxes/{box.id}/blobs/{id_}/{i}/{n}", data).status_code == 201
            counts[i] = max(counts.get(i, 0), n + 1)
        body = self.message_body(no, [{"i": i, "chunks": count} for i, count in counts.items()])
        assert self.first.link("PUT", f"boxes/{box.id}/messages/{id_}", body).status_code == 201
        return id_

    def message_body(self, no: int, parts: list[dict[str, int]]) -> dict[str, Any]:
        return {
            "no": no,
            "gen": 1,
            "card": 1,
            "expires": format_time(self.clock.now_ms() + 90 * 86_400_000),
            "sealed": encode_b64(os.urandom(500)),
            "parts": parts,
        }

    def signed_in(self, box: Box) -> Browser:
        browser = self.first.browser()
        assert browser.login(box).status_code == 200
        return browser

    def pull(self, **query: int) -> list[dict[str, Any]]:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        answer = self.first.link("GET", f"outbox?{text}")
        assert answer.status_code == 200
        entries: list[dict[str, Any]] = answer.get_json()["entries"]
        return entries

    def ack(self, *entries: dict[str, Any], result: str = "taken") -> None:
        acks = [{"box": entry.get("box"), "id": entry["id"], "result": result} for entry in entries]
        assert self.first.link("POST", "outbox/ack", {"acks": acks}).status_code == 204


def hash_of(text: str) -> str:
    return encode_b64(hashlib.sha256(text.encode()).digest())


def hash_of_capsule(octets: bytes) -> str:
    return encode_b64(hashlib.sha256(octets).digest())


def octets_of(text: str) -> bytes:
    return decode_b64(text)


def make_settings(folder: Path, database: str, *, is_bare: bool = False, **changes: Any) -> Settings:
    """Make a portal. On PostgreSQL link owns the tables and web has its own role; `is_bare`: no tables are there."""
    choices = Choices(URL, "Example Bank", "+49 241 123 456", web="127.0.0.1:0", link="127.0.0.1:0", **changes)
    if database != "postgresql":
        return load_settings(create_portal(folder, choices))
    name = f"portal_{os.getpid()}_{next(_COUNTER)}"
    template = "template1" if is_bare else _make_template()
    _make_roles()
    shared_server().admin(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER_ROLE}")
    owner, web = _role_url(OWNER_ROLE, name), _role_url(WEB_ROLE, name)
    path = create_portal(folder, replace(choices, database=owner, keys_database=owner + KEYS_SCHEMA))
    lines = f'web_url = "{web}"\nweb_keys_url = "{web}{KEYS_SCHEMA}"\n'
    path.write_text(path.read_text("utf-8").replace("\n[web]\n", f"{lines}\n[web]\n"), "utf-8")
    return load_settings(path)


def _role_url(role: str, name: str) -> str:
    parts = urlsplit(shared_server().url(name))
    return parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}").geturl()


@functools.cache
def _make_roles() -> None:
    # Neither is the server's own, which nothing would be refused.
    for role in (OWNER_ROLE, WEB_ROLE):
        shared_server().admin(f"CREATE ROLE {role} LOGIN")


@functools.cache
def _make_template() -> str:
    """Make the tables and what web may do with them once."""
    _make_roles()
    shared_server().admin(f"CREATE DATABASE template_portal OWNER {OWNER_ROLE}")
    url = _role_url(OWNER_ROLE, "template_portal")
    for metadata, at, make in ((METADATA, url, main_grants), (KEYS_METADATA, url + KEYS_SCHEMA, keys_grants)):
        database = Database(at, "database.url")
        database.create(metadata)
        with database.write() as connection:
            for statement in make(at, WEB_ROLE).statements:
                connection.exec_driver_sql(statement)
        database.close()
    return "template_portal"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A portal that the relay has reconciled."""
    made = Site(make_settings(tmp_path / "portal", request.param), SteppedClock())
    assert made.mark(1).status_code == 204
    yield made
    for node in made.nodes:
        node.close()


@pytest.fixture
def small_site(tmp_path: Path) -> Iterator[Site]:
    """The same on SQLite alone, for what has nothing to do with the database."""
    made = Site(make_settings(tmp_path / "portal", "sqlite"), SteppedClock())
    assert made.mark(1).status_code == 204
    yield made
    for node in made.nodes:
        node.close()
