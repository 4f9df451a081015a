"""A portal in memory on the loopback: the real pages, headers and bundle; the browser API answered from a SealedBox.

Follows the browser API of sealed-mailbox 14. It remembers every request, so that a test can say what was never asked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request, send_from_directory
from werkzeug.serving import make_server

from portal.pages import PagePolicy, make_pages, read_brand, read_bundle, read_texts
from portal.security.headers import install_headers
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import (
    check_value,
    read_b64,
    read_capsule,
    seal_tab,
    strip_capsule,
    verify_rekey,
)
from tests.interop.mailboxpage.sealed_box import ORGANISATION, SealedBox

ROOT = Path(__file__).parents[3]
IDLE_SECONDS = 900


@dataclass
class Sent:
    """A reply that was handed in."""

    body: dict[str, Any]
    seq: int
    state: str = "waiting"


@dataclass
class State:
    """What the portal holds beside the box."""

    session: str = ""
    half: bytes = b""
    gen: int = 0
    seen: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    drafts: dict[str, dict[str, Any]] = field(default_factory=dict)
    chunks: dict[str, dict[int, dict[int, bytes]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    sent: list[Sent] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)
    refuse: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """Path prefix -> the answer to give in its place, to play faults."""
    used: int = 41_000_000


class FakePortal:
    """The running portal: `url`, the box, and what happened."""

    def __init__(self, box: SealedBox) -> None:
        self.box = box
        self.state = State(gen=box.gen)
        self.capsule = box.capsule
        self.url = ""

    def make_app(self, base_url: str) -> Flask:
        """The WSGI app."""
        self.url = base_url
        app = Flask(__name__, static_folder=None)
        dist = ROOT / "static/portal/dist"
        brand = read_brand(
            {"name": ORGANISATION, "host": "127.0.0.1", "phone": "+49 241 123456", "languages": ["en", "de"]}, ROOT
        )
        pages = make_pages(
            portal=self.box.portal,
            brands=[brand],
            texts=read_texts(ROOT / "templates/portal/translations"),
            bundle=read_bundle(dist / "manifest.json"),
            policy=PagePolicy(),
            links=_NoLinks(),
            templates=ROOT / "templates/portal",
        )
        install_headers(app, with_hsts=False)
        app.register_blueprint(pages.blueprint)

        @app.get("/static/<name>")
        def show_static(name: str) -> Response:
            return send_from_directory(dist, name)

        @app.before_request
        def remember() -> Response | None:
            self.state.requests.append((request.method, request.full_path.rstrip("?")))
            for prefix, (status, body) in self.state.refuse.items():
                if request.path.startswith(prefix):
                    return _answer(status, body)
            is_open = request.path in ("/api/login", "/api/cards") or not request.path.startswith("/api/")
            if not is_open and (not self.state.session or request.cookies.get("letterlock") != self.state.session):
                return _answer(401, {"error": "signed-out", "reference": "TEST-0401"})
            if not is_open and request.method != "GET" and request.headers.get("X-Letterlock") != "1":
                return _answer(400, {"error": "bad-request"})
            return None

        self._add_session(app)
        self._add_mail(app)
        self._add_writing(app)
        return app

    # --- session

    def open_session(self) -> dict[str, str]:
        """Sign in without the page: the cookie's value, and what the sign-in page leaves in the tab."""
        self.state.session = secrets.token_urlsafe(16)
        self.state.half = secrets.token_bytes(32)
        box, gen, local = self.box.box, self.box.gen, secrets.token_bytes(32)
        blob = seal_tab(self.state.half, local, self.box.keys.seed, portal=self.box.portal, box=box, gen=gen)
        tab = {"box": box, "gen": gen, "local": encode_b64(local), "blob": encode_b64(blob)}
        return {"cookie": self.state.session, "tab": json.dumps(tab)}

    def _describe(self) -> dict[str, Any]:
        return {
            "portal": self.box.portal,
            "box": self.box.box,
            "kind": "mailbox",
            "state": "active",
            "gen": self.state.gen,
            "half": encode_b64(self.state.half),
            "must_change": False,
            "lang": "en",
            "quota": {"used": self.state.used, "limit": 200_000_000},
            "limits": {"message": 50 * 2**20, "parts": 100},
            "idle_seconds": IDLE_SECONDS,
        }

    def _add_session(self, app: Flask) -> None:
        @app.post("/api/login")
        def login() -> Response:
            body = request.get_json()
            av = check_value(read_b64(body["auth"]))
            known = body.get("login_id") == self.box.login_id
            if not known or not hmac.compare_digest(av, read_capsule(self.capsule).av):
                return _answer(401, {"error": "wrong", "reference": "TEST-0001"})
            self.state.session = secrets.token_urlsafe(16)
            self.state.half = secrets.token_bytes(32)
            response = jsonify({**self._describe(), "capsule": encode_b64(self.capsule)})
            response.set_cookie("letterlock", self.state.session, httponly=True, samesite="Strict")
            return response

        @app.get("/api/session")
        def show_session() -> Response:
            return jsonify({**self._describe(), "capsule": strip_capsule(self.capsule)})

        @app.post("/api/rekey")
        def rekey() -> Response:
            body = request.get_json()
            if check_value(read_b64(body["auth"])) != read_capsule(self.capsule).av:
                return _answer(401, {"error": "wrong"})
            octets = read_b64(body["capsule"])
            verify_rekey(read_capsule(self.capsule).sign, octets, read_b64(body["sig"]))
            fresh = read_capsule(octets)
            self.capsule = octets
            self.state.gen = fresh.gen
            self.state.half = secrets.token_bytes(32)
            self.state.others.clear()
            return jsonify({"state": "active", "gen": fresh.gen, "half": encode_b64(self.state.half)})

        @app.post("/api/logout")
        def logout() -> Response:
            self.state.session = ""
            return Response(status=204)

        @app.get("/api/sessions")
        def list_sessions() -> Response:
            own = {
                "id": "here",
                "current": True,
                "browser": "Chromium on Linux",
                "since": "2026-11-20T09:40:00Z",
                "seen": "2026-11-20T10:00:00Z",
            }
            return jsonify({"sessions": [own, *self.state.others]})

        @app.post("/api/sessions/end")
        def end_session() -> Response:
            body = request.get_json()
            keep = [] if body.get("all") else [one for one in self.state.others if one["id"] != body.get("id")]
            self.state.others[:] = keep
            return Response(status=204)

        @app.get("/api/cards")
        def list_cards() -> Response:
            return jsonify(
                {
                    "cards": [
                        {
                            "card": encode_b64(record.card),
                            "sigs": [{"root": encode_b64(one.root), "sig": encode_b64(one.sig)} for one in record.sigs],
                        }
                        for record in self.box.cards
                    ]
                }
            )

    # --- mail

    def _add_mail(self, app: Flask) -> None:
        @app.get("/api/messages")
        def list_messages() -> Response:
            before = int(request.args.get("before", 10**9))
            limit = min(int(request.args.get("limit", 50)), 50)
            found = [one for one in reversed(self.box.messages) if one.no < before and one.id not in self.state.gone]
            return jsonify(
                {
                    "messages": [
                        {
                            "id": one.id,
                            "no": one.no,
                            "gen": one.gen,
                            "card": one.card,
                            "expires": one.expires,
                            "seen": one.id in self.state.seen,
                            "sealed": encode_b64(one.sealed),
                            "parts": [{"i": i, "chunks": len(chunks)} for i, chunks in one.chunks.items()],
                        }
                        for one in found[:limit]
                    ],
                    "more": len(found) > limit,
                }
            )

        @app.get("/api/blobs/<id_>/<int:i>/<int:n>")
        def show_chunk(id_: str, i: int, n: int) -> Response:
            for one in self.box.messages:
                if one.id == id_ and id_ not in self.state.gone:
                    return Response(one.chunks[i][n], mimetype="application/octet-stream")
            if n in self.state.chunks.get(id_, {}).get(i, {}):
                return Response(self.state.chunks[id_][i][n], mimetype="application/octet-stream")
            return _answer(404, {"error": "unknown"})

    # --- drafts, replies

    def _add_writing(self, app: Flask) -> None:
        self._add_drafts(app)

        @app.post("/api/send")
        def send() -> Response:
            body = request.get_json()
            if body["gen"] != self.state.gen:
                return _answer(409, {"error": "generation"})
            missing = [
                [part["i"], n]
                for part in body.get("parts", [])
                for n in range(part["chunks"])
                if n not in self.state.chunks[body["id"]][part["i"]]
            ]
            if missing:
                return _answer(409, {"error": "missing", "missing": missing})
            self.state.items.append(body)
            if body["kind"] == "read":
                self.state.seen.add(body["re"])
            elif body["kind"] == "deleted":
                self.state.gone.add(body["re"])
            elif body["kind"] == "reply":
                self.state.drafts.pop(body["id"], None)
                self.state.sent.append(Sent(body, len(self.state.sent) + 1))
            return jsonify({"seq": len(self.state.items)}), 201  # type: ignore[return-value]

        @app.get("/api/sent")
        def list_sent() -> Response:
            before = int(request.args.get("before", 10**9))
            found = [one for one in reversed(self.state.sent) if one.seq < before]
            return jsonify(
                {
                    "sent": [
                        {
                            "id": one.body["id"],
                            "seq": one.seq,
                            "gen": one.body["gen"],
                            "card": one.body["card"],
                            "time": "2026-11-20T10:00:00Z",
                            "until": "2027-02-18T10:00:00Z",
                            "state": one.state,
                            "self": one.body["self"],
                            "parts": one.body["parts"],
                        }
                        for one in found[:50]
                    ],
                    "more": len(found) > 50,
                }
            )

    def _add_drafts(self, app: Flask) -> None:
        state = self.state

        @app.get("/api/drafts")
        def list_drafts() -> Response:
            return jsonify(
                {
                    "drafts": [
                        {"id": id_, "rev": one["rev"], "sealed": one["sealed"]} for id_, one in state.drafts.items()
                    ]
                }
            )

        @app.get("/api/drafts/<id_>")
        def show_draft(id_: str) -> Response:
            one = state.drafts.get(id_)
            if one is None:
                return _answer(404, {"error": "unknown"})
            parts = [{"i": i, "chunks": sorted(chunks)} for i, chunks in state.chunks[id_].items()]
            return jsonify({"id": id_, "rev": one["rev"], "sealed": one["sealed"], "parts": parts})

        @app.put("/api/drafts/<id_>")
        def put_draft(id_: str) -> Response:
            body = request.get_json()
            known = state.drafts.get(id_, {"rev": 0})
            if body["rev"] != known["rev"]:
                return _answer(409, {"error": "changed", "rev": known["rev"]})
            state.drafts[id_] = {"rev": known["rev"] + 1, "sealed": body["sealed"]}
            return jsonify({"rev": known["rev"] + 1})

        @app.delete("/api/drafts/<id_>")
        def delete_draft(id_: str) -> Response:
            state.drafts.pop(id_, None)
            state.chunks.pop(id_, None)
            return Response(status=204)

        @app.put("/api/drafts/<id_>/<int:i>/<int:n>")
        def put_chunk(id_: str, i: int, n: int) -> Response:
            octets = request.get_data()
            known = state.chunks[id_][i].get(n)
            if known is not None and hashlib.sha256(known).digest() != hashlib.sha256(octets).digest():
                return _answer(409, {"error": "changed"})
            state.chunks[id_][i][n] = octets
            return Response(status=200 if known is not None else 201)


class _NoLinks:
    def find_reply(self, token: str) -> None:
        return None

    def find_join(self, join_id: str) -> None:
        return None


def _answer(status: int, body: dict[str, Any]) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response


@contextmanager
def run_portal(
    box: SealedBox, port: int = 0, more: Callable[[FakePortal, Flask], None] | None = None
) -> Iterator[FakePortal]:
    """Run it on a free port of the loopback; `more` adds routes that only a test needs."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    portal = FakePortal(box)
    holder = Flask("holder")
    server = make_server("127.0.0.1", port, holder, threaded=True)
    app = portal.make_app(f"http://127.0.0.1:{server.server_port}")
    if more is not None:
        more(portal, app)
    server.app = app
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield portal
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
