"""The real pages, headers and style sheet on the loopback, with the scripts of a folder; no API behind them.

Run alone for a look: `python -m tests.interop.portalpages.page_server FOLDER` with what build.mjs wrote there.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Flask, Response, send_from_directory
from werkzeug.serving import make_server

from portal.pages import JoinState, PagePolicy, ReplyLink, make_pages, read_brand, read_bundle, read_texts
from portal.security.headers import install_headers
from portal.simple.reading import Inbox, Row
from portal.simple.views import show_time
from relay.core.wire.sealed import MailHead, Part, Person

ROOT = Path(__file__).parents[3]
PORTAL_ID = "ENJHhdjed6rBfPOxg9HE-w"
BOX = "a8dtYBy9SJskPV0qOH5FnQ"
BRAND = {
    "name": "Example Bank",
    "host": "127.0.0.1",
    "phone": "+49 241 123 456",
    "contact": "access@bank.example",
    "languages": ["en", "de"],
}


MAIL = MailHead(
    thread="AAAAAAAAAAAAAAAAAAAAAA",
    sender=Person("Maria Keller", "maria.keller@bank.example"),
    to=(Person("Anna Berger", "anna@partner.example"), Person("", "a.very.long.name.indeed@department.nord.example")),
    cc=(Person("Jens Otto", "otto@bank.example"),),
    subject="Loan contract for signature",
    snippet="Dear Ms Berger, please find attached the contract and the annex.",
    expires="2027-02-18T00:00:00Z",
    receipt=False,
    key=bytes(32),
    parts=(Part(1, "file", "Contract with a rather long name that has to wrap.pdf", "application/pdf", 412_000),),
)
ROWS = (
    Row("AAAAAAAAAAAAAAAAAAAAAA", 3, False, 1_795_000_000_000, MAIL),
    Row("BBBBBBBBBBBBBBBBBBBBBB", 2, True, 0, None, "auth"),
    Row("CCCCCCCCCCCCCCCCCCCCCC", 1, True, 0, None, "card", is_withdrawn=True),
)
SIMPLE: dict[str, Any] = {
    "token": "sample",
    "visit": SimpleNamespace(since=1_795_000_000_000),
    "when": show_time,
    "now": 0,
}


def simple_values(name: str) -> dict[str, Any]:
    """Return what a page of server mode is given."""
    values: dict[str, dict[str, Any]] = {
        "entry": {"problem": "consent", "seconds": 0, "name": "anna@partner.example", "code": "K7QM-2XWP-9FTD"},
        "password": {"problem": "short"},
        "inbox": {
            "inbox": Inbox(ROWS, None, "not-yet", False),
            "is_first": True,
            "older": "/simple/inbox",
            "sent": True,
        },
        "message": {
            "message": ROWS[0],
            "mail": MAIL,
            "is_html": False,
            "plain": "Dear Ms Berger,\n\nplease find attached the contract and the annex.\n\nMaria Keller",
            "files": MAIL.parts,
            "problem": "empty",
            "typed": "",
            "limit": 50,
        },
        "damaged": {"message": ROWS[2]},
        "other": {},
    }
    return values[name]


class SampleLinks:
    """Tokens and ids are named after the state they show."""

    def find_reply(self, token: str) -> ReplyLink | None:
        """Return a link for `open`, `few`, `locked`, `closed`; None for any other."""
        return {
            "open": ReplyLink(BOX, "b32", "open", 10),
            "few": ReplyLink(BOX, "b32", "open", 2),
            "locked": ReplyLink(BOX, "b32", "locked", 0),
            "closed": ReplyLink(BOX, "b32", "closed", 10),
        }.get(token)

    def find_join(self, join_id: str) -> JoinState | None:
        """Return the state that the id names."""
        states: dict[str, JoinState] = {"open": "open", "done": "done", "expired": "expired"}
        return states.get(join_id)


def make_app(scripts: Path, brand: dict[str, object] | None = None) -> Flask:
    """The app: pages, their static files, and an error page at `/broken/STATUS`."""
    app = Flask(__name__, static_folder=None)
    pages = make_pages(
        portal=PORTAL_ID,
        brands=[read_brand(brand or BRAND, ROOT)],
        texts=read_texts(ROOT / "templates/portal/translations"),
        bundle=read_bundle(scripts / "manifest.json"),
        policy=PagePolicy(),
        links=SampleLinks(),
        templates=ROOT / "templates/portal",
    )
    install_headers(app, with_hsts=False)
    app.register_blueprint(pages.blueprint)

    @app.get("/static/<name>")
    def show_static(name: str) -> Response:
        return send_from_directory(scripts, name)

    @app.get("/simple/<name>")
    def show_simple(name: str) -> Response:
        return pages.writer.write(f"simple/{name}.html", **SIMPLE, **simple_values(name))

    @app.get("/broken/<int:status>")
    def show_broken(status: int) -> Response:
        return pages.show_error(status, "ABCD-1234", 240 if status == 429 else None)

    return app


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    """Run the app on a free port of the loopback; gives its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


if __name__ == "__main__":
    with serve(make_app(Path(sys.argv[1]))) as address:
        print(address, flush=True)
        threading.Event().wait()
