"""A partner without a window: HTTPS against the running portal and the sealed formats as Python writes them.

For tests that cut, kill and restore between two steps, where a real browser would only be slower; what the pages do
is proven in test_portal_walk.py. Every call may be repeated: a lost answer is asked for again, as the script does.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import (
    KDF_MAILBOX,
    OWN,
    CardRecord,
    CardSignature,
    Item,
    Part,
    PartSealer,
    format_time,
    login_id,
    make_id,
    new_message_key,
    read_secret,
    seal_self,
    seal_up,
    stretch,
)
from relay.core.wire.sealed.selfsealed import SENT
from tests.contract.mailbox.browser import Browser, Listed, ReadMessage
from tests.system.gateway import Gateway

PATIENCE = 90.0
"""Seconds that a partner goes on trying while the portal is away."""


class GoneError(Exception):
    """A message was taken back between the list and its parts."""


class AwayError(Exception):
    """The portal did not answer."""


@dataclass
class Partner:
    """Somebody with a mailbox."""

    gateway: Gateway
    address: str
    browser: Browser | None = None
    cookies: dict[str, str] = field(default_factory=dict)

    # --- HTTPS --------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Ask once. Raises AwayError."""
        trusted = ssl.create_default_context(cafile=str(self.gateway.state / "portal/tls/fullchain.pem"))
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        if method not in ("GET", "HEAD"):
            headers["X-Letterlock"] = "1"
        connection = http.client.HTTPSConnection("localhost", self.gateway.base + 2, timeout=30, context=trusted)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            octets = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AwayError(type(error).__name__) from error
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, octets, answer.headers

    def api(self, method: str, path: str, body: object = None, *, patience: float = 0.0) -> tuple[int, Any]:
        """Ask the browser API; while the portal is away or waits for the inside, again until `patience` is over."""
        deadline = time.monotonic() + patience
        while True:
            try:
                status, octets, _ = self.call(method, f"/api/{path}", body)
            except AwayError:
                if time.monotonic() > deadline:
                    raise
            else:
                if status != 503 or time.monotonic() > deadline:
                    return status, json.loads(octets) if octets else None
            time.sleep(0.2)

    # --- account ------------------------------------------------------------------------------------------------------

    def login_body(self, portal: str, password: str, code: str = "") -> dict[str, object]:
        """Return what the page sends for a password."""
        keys = stretch(portal, self.address, KDF_MAILBOX, read_secret(OWN, password, code))
        return {"login_id": login_id(portal, self.address), "kdf": 1, "auth": encode_b64(keys.auth)}

    def try_password(self, password: str, code: str = "") -> int:
        """Type a password; return the status. Nothing else changes."""
        other = Partner(self.gateway, self.address)
        return other.api("POST", "login", self.login_body(self.portal_id, password, code))[0]

    def sign_in(self, password: str, code: str = "", *, patience: float = PATIENCE) -> Partner:
        """Sign in, and open the capsule."""
        portal = self.portal_id
        self.cookies.clear()
        status, answer = self.api("POST", "login", self.login_body(portal, password, code), patience=patience)
        assert status == 200, (status, answer)
        capsule = decode_b64(answer["capsule"])
        self.browser = Browser.sign_in(portal, self.address, capsule, self.cards(), password, code)
        return self

    def choose_password(self, password: str, old: str, code: str = "") -> None:
        """The forced change after a first password; signs in with the new one."""
        assert self.browser is not None
        portal = self.portal_id
        capsule, sig = self.browser.choose_password(password, self._now_ms())
        auth = self.login_body(portal, old, code)["auth"]
        body = {"capsule": encode_b64(capsule), "sig": encode_b64(sig), "auth": auth}
        status, answer = self.api("POST", "rekey", body, patience=PATIENCE)
        assert status == 200, (status, answer)
        self.sign_in(password)

    def begin(self, first: str, own: str, code: str = "") -> Partner:
        """First login with the change of password."""
        self.sign_in(first, code)
        self.choose_password(own, first, code)
        return self

    def cards(self) -> list[CardRecord]:
        """Return the organisation's cards as the portal gives them to everybody."""
        status, answer = self.api("GET", "cards", patience=PATIENCE)
        assert status == 200
        return [
            CardRecord(
                decode_b64(one["card"]),
                tuple(CardSignature(decode_b64(s["root"]), decode_b64(s["sig"])) for s in one["sigs"]),
            )
            for one in answer["cards"]
        ]

    @property
    def portal_id(self) -> str:
        """The portal's id, from its settings."""
        return portal_id(self.gateway)

    # --- mail ---------------------------------------------------------------------------------------------------------

    def inbox(self, kind: str = "mail") -> list[ReadMessage]:
        """Open all messages of a kind, oldest first."""
        assert self.browser is not None
        status, answer = self.api("GET", "messages?limit=100", patience=PATIENCE)
        assert status == 200, (status, answer)
        found = []
        for one in sorted(answer["messages"], key=lambda one: int(one["no"])):
            try:
                chunks = {
                    (part["i"], n): self._blob(one["id"], part["i"], n)
                    for part in one["parts"]
                    for n in range(part["chunks"])
                }
            except GoneError:
                continue
            read = self.browser.read(Listed(one["id"], one["no"], one["gen"], decode_b64(one["sealed"]), chunks))
            if read.manifest.kind == kind:
                found.append(read)
        return found

    def _blob(self, id_: str, i: int, n: int) -> bytes:
        for _ in range(100):
            try:
                status, octets, _ = self.call("GET", f"/api/blobs/{id_}/{i}/{n}")
            except AwayError:
                time.sleep(0.2)
                continue
            if status == 404:
                raise GoneError
            assert status == 200, (status, octets)
            return octets
        raise AwayError("blob")

    def subjects(self) -> list[str]:
        """Return the subjects of the mails in the mailbox, oldest first."""
        return [one.manifest.mail.subject for one in self.inbox() if one.manifest.mail is not None]

    def send(
        self,
        kind: str,
        re: str,
        text: str = "",
        files: Mapping[str, bytes] | None = None,
        between: Callable[[], None] = lambda: None,
        subject: str = "Re: mail",
    ) -> Item:
        """Send an item, chunk by chunk as the script does; `between` is called after each step.

        Tries each call until it is answered. Returns when the portal has said that it holds the whole.
        """
        assert self.browser is not None
        keys, card = self.browser.opened.keys, self.browser.cards.newest
        item = Item(
            kind=kind,
            portal=self.browser.portal,
            box=keys.box,
            gen=keys.gen,
            id=make_id(),
            card=card.serial,
            time=format_time(self._now_ms()),
            mode="browser",
            re=re,
            subject=subject if kind == "reply" else "",
            key=new_message_key() if kind == "reply" else b"",
        )
        contents = [("text", "", "text/plain", text.encode())] if kind == "reply" else []
        contents += [("file", name, "application/octet-stream", data) for name, data in (files or {}).items()]
        parts, counts = [], []
        for i, (role, name, media_type, data) in enumerate(contents):
            chunks = list(PartSealer(item.key, item.id, i).seal_all([data]))
            for n, chunk in enumerate(chunks):
                status, answer = self.api("PUT", f"drafts/{item.id}/{i}/{n}", chunk, patience=PATIENCE)
                assert status in (200, 201), (status, answer)
                between()
            parts.append(Part(i, role, name, media_type, len(data)))
            counts.append({"i": i, "chunks": len(chunks)})
        item = replace(item, parts=tuple(parts))
        body = {
            "id": item.id,
            "gen": item.gen,
            "card": item.card,
            "sealed": encode_b64(seal_up(item, keys, card)),
            "self": encode_b64(seal_self(keys, SENT, item.id, item.encode())) if kind == "reply" else None,
            "parts": counts,
            "kind": item.kind,
            "re": re,
        }
        status, answer = self.api("POST", "send", body, patience=PATIENCE)
        assert status in (200, 201), (status, answer)
        return item

    def reply(self, re: str, text: str, files: Mapping[str, bytes] | None = None, **more: Any) -> Item:
        """Answer a message."""
        return self.send("reply", re, text, files, **more)

    def sent_states(self) -> dict[str, str]:
        """Return the state of what was sent, by id."""
        status, answer = self.api("GET", "sent", patience=PATIENCE)
        assert status == 200, (status, answer)
        return {one["id"]: one["state"] for one in answer["sent"]}

    def _now_ms(self) -> int:
        offset = self.gateway.state / "inside/run/clock.offset"
        shift = int(offset.read_text()) if offset.exists() else 0
        return (int(time.time()) + shift) * 1000


def portal_id(gateway: Gateway) -> str:
    """Return the portal's id, from its settings."""
    settings = tomllib.loads((gateway.state / "portal/letterlock-portal.toml").read_text("utf-8"))
    return str(settings["portal"]["id"])
