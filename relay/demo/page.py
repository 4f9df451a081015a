"""The demo's page: each mail that left, with header, texts, parts and files to download.

Shows untrusted mail: everything is escaped, HTML is shown in a sandboxed frame without script, form or network, and a
strict content security policy stands over every page. Answers loopback names only, so that no other site can read it by
rebinding a name. No GET changes anything; the one POST sends a sample mail through the gateway's own listener.
"""

from __future__ import annotations

import functools
import logging
import smtplib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response as WsgiResponse

from relay.core.resources import static_folder, templates_folder
from relay.demo.mailview import Kind, MailView, read_mail
from relay.demo.outbox import CaughtEnvelope, OutboxReader
from relay.demo.samples import make_sample, sample_titles

PER_PAGE = 50
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_FRAME_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class DemoLinks:
    """What the page tells a newcomer: where the demo's other doors are."""

    organisation: str = "Example Bank"
    smtp_host: str = "127.0.0.1"
    inside_port: int = 8025
    outside_port: int = 8026
    portal_url: str = ""
    """Empty where no portal runs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One mail in the list."""

    number: int
    envelope: CaughtEnvelope
    author: str
    to: str
    subject: str
    kind: Kind

    @property
    def time_text(self) -> str:
        """The time of day in the host's zone."""
        return _local(self.envelope.time).strftime("%H:%M:%S")

    @property
    def day_text(self) -> str:
        """The day in the host's zone, for today's mails too."""
        return _local(self.envelope.time).strftime("%d %b %Y")


def _local(untrusted_time: str) -> datetime:
    try:
        return datetime.fromisoformat(untrusted_time).astimezone()
    except ValueError:
        return datetime.fromtimestamp(0).astimezone()


class _Mails:
    """Rows of complete mails; a caught mail never changes, so each is read once for the list."""

    def __init__(self, outbox: OutboxReader) -> None:
        self.outbox = outbox
        self.row = functools.lru_cache(maxsize=2000)(self._read_row)

    def _read_row(self, number: int) -> Row:
        view = self.view(number)
        envelope = self.outbox.envelope(number)
        return Row(number, envelope, view.author, view.to, view.subject, view.kind)

    def view(self, number: int) -> MailView:
        return read_mail(self.outbox.path(number).read_bytes(), self.outbox.envelope(number).hop)


def create_app(outbox: Path, links: DemoLinks) -> Flask:
    """Make the page's application over an outbox folder."""
    app = Flask(
        "letterlock-demo",
        template_folder=str(templates_folder() / "demo"),
        static_folder=str(static_folder() / "demo"),
        static_url_path="/static",
    )
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    mails = _Mails(OutboxReader(outbox))
    app.before_request(_check_host)
    app.after_request(_add_headers)
    app.register_error_handler(404, _not_found)
    app.register_error_handler(500, _failed)
    # Flask would log a traceback, which may quote mail text; _failed logs what kind of error it was.
    app.logger.disabled = True
    _add_list(app, mails, links)
    _add_mail(app, mails)
    _add_samples(app, links)
    return app


def _check_host() -> None:
    host = request.host.rpartition(":")[0] if ":" in request.host.rpartition("]")[2] else request.host
    if host not in _LOOPBACK:
        abort(421)
    if request.method == "POST" and not _is_own_post():
        abort(403)


def _is_own_post() -> bool:
    """Tell whether a post comes from this page or from no browser: a page elsewhere cannot choose these headers.

    Origin is looked at for old browsers only; under our own no-referrer policy today's say `null` in it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    own = request.host_url.rstrip("/")
    return request.headers.get("Origin", own) == own


def _add_headers(response: Response) -> Response:
    headers = response.headers
    # A PDF is shown by the browser's own viewer, which a policy would break; nosniff keeps it a PDF.
    if response.mimetype != "application/pdf":
        headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
        headers.setdefault("X-Frame-Options", "DENY")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cache-Control"] = "no-store"
    return response


def _not_found(_: Exception) -> tuple[str, int]:
    return render_template("missing.html"), 404


def _failed(error: Exception) -> tuple[str, int]:
    cause = getattr(error, "original_exception", None) or error
    logging.getLogger("letterlock.demo").error("page failed with %s", type(cause).__name__)
    return render_template("failed.html"), 500


def _add_list(app: Flask, mails: _Mails, links: DemoLinks) -> None:
    titles = sample_titles()

    @app.get("/")
    def show_list() -> str:
        numbers = mails.outbox.numbers()[::-1]
        page = max(request.args.get("page", 1, type=int), 1)
        rows = [mails.row(number) for number in numbers[(page - 1) * PER_PAGE : page * PER_PAGE]]
        return render_template(
            "list.html",
            rows=rows,
            total=len(numbers),
            page=page,
            has_older=page * PER_PAGE < len(numbers),
            links=links,
            titles=titles,
            sent=request.args.get("sent", "") in titles,
        )

    @app.get("/state")
    def show_state() -> dict[str, int]:
        numbers = mails.outbox.numbers()
        return {"total": len(numbers), "last": numbers[-1] if numbers else 0}


def _add_mail(app: Flask, mails: _Mails) -> None:
    def read(number: int) -> MailView:
        try:
            return mails.view(number)
        except FileNotFoundError:
            abort(404)

    @app.get("/mail/<int:number>")
    def show_mail(number: int) -> str:
        view = read(number)
        numbers = mails.outbox.numbers()
        newer = next((n for n in numbers if n > number), None)
        older = next((n for n in reversed(numbers) if n < number), None)
        return render_template("mail.html", mail=view, row=mails.row(number), newer=newer, older=older)

    @app.get("/mail/<int:number>/html")
    def show_html(number: int) -> Response:
        view = read(number)
        if not view.html:
            abort(404)
        response = Response(view.html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _FRAME_POLICY
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return response

    @app.get("/mail/<int:number>/file/<int:index>/<name>")
    def get_file(number: int, index: int, name: str) -> Response:
        # The name in the address is for the browser's window and decides nothing.
        del name
        part = next((part for part in read(number).parts if part.index == index), None)
        if part is None:
            abort(404)
        kind = "application/pdf" if part.is_pdf else "application/octet-stream"
        how = "inline" if part.is_pdf and "download" not in request.args else "attachment"
        response = Response(part.content, content_type=kind)
        response.headers["Content-Disposition"] = _disposition(how, part.name)
        return response

    @app.get("/mail/<int:number>/raw")
    def get_raw(number: int) -> Response:
        read(number)
        response = Response(mails.outbox.path(number).read_bytes(), content_type="message/rfc822")
        response.headers["Content-Disposition"] = _disposition("attachment", f"{number:06d}.eml")
        return response


def _disposition(how: str, name: str) -> str:
    # RFC 6266 4.3: a plain name for old readers, the right one in UTF-8.
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "-_. " else "_" for c in name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _add_samples(app: Flask, links: DemoLinks) -> None:
    @app.post("/samples/<name>")
    def send_sample(name: str) -> WsgiResponse | tuple[str, int]:
        if name not in sample_titles():
            abort(404)
        sample = make_sample(name)
        try:
            with smtplib.SMTP(links.smtp_host, links.inside_port, timeout=20) as client:
                client.sendmail(sample.mail_from, list(sample.rcpt_to), sample.data)
        except (OSError, smtplib.SMTPException):
            return render_template("refused.html", links=links), 503
        return redirect(url_for("show_list", sent=name), 303)


class _QuietHandler(WSGIRequestHandler):
    """Writes no line for a request: addresses hold nothing of use, and the demo's terminal is for people."""

    def log(self, *_: object) -> None:
        return


def make_page_server(app: Flask, sock: socket.socket) -> BaseWSGIServer:
    """Serve the page on a listening socket: call `serve_forever`, and `shutdown` from another thread."""
    host, port = sock.getsockname()[:2]
    return make_server(host, port, app, threaded=True, request_handler=_QuietHandler, fd=sock.fileno())


def serve_page(
    app: Flask, sock: socket.socket, wait: Callable[[], object], ready: Callable[[], None] | None = None
) -> None:
    """Serve until `wait` returns; for a process of its own."""
    import threading

    server = make_page_server(app, sock)
    thread = threading.Thread(target=server.serve_forever, name="page", daemon=True)
    thread.start()
    if ready is not None:
        ready()
    wait()
    server.shutdown()
    thread.join(5)
    server.server_close()
