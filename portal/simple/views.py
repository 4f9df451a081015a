"""Pages and forms of server mode: `/simple` and below. No script; no GET changes anything (sealed-mailbox 13)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

from babel.dates import format_datetime
from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as WerkzeugResponse

from portal.context import Portal
from portal.pages.languages import LABELS
from portal.pages.views import PageWriter
from portal.security.cookies import read_device, set_device_cookie
from portal.security.errors import ApiError, make_reference
from portal.security.requests import describe_browser, find_network, read_query_number
from portal.simple import forms, reading, sending, visits
from portal.simple.stretching import Stretcher
from portal.simple.visits import Caller, Typed, Visit
from relay.core.ids import is_id
from relay.core.wire.sealed import LoginNameError, MailboxDataError
from relay.core.wire.sealed.jsontext import MAX_INTEGER
from relay.log import Log

PATH = "/simple"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
BODY_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
# On white, as its author saw it; a link opens nothing here instead of taking the frame's place.
_BODY_LOOK = (
    b'<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light"><base target="_blank"><style>'
    b":root{background:#fff;color:#15212b}body{margin:0;padding:12px;font:16px/1.55 system-ui,sans-serif;"
    b"overflow-wrap:anywhere}img{max-width:100%}</style>"
)
_FILE_POLICY = "sandbox; default-src 'none'"
_SUBJECT_LIMIT = 500
_LOG = Log("portal.simple")


class DamagedError(Exception):
    """A part of a message does not verify."""

    def __init__(self, message: reading.Row) -> None:
        super().__init__(message.reference)
        self.message = message


class SimplePages:
    """What every route here needs."""

    def __init__(self, portal: Portal, writer: PageWriter) -> None:
        self.portal = portal
        self.stretcher = Stretcher(portal)
        self._writer = writer

    def find_caller(self) -> Caller:
        """Return who asks."""
        network = find_network(is_behind_proxy=self.portal.settings.is_behind_proxy)
        return Caller(network, describe_browser())

    def find_visit(self) -> Visit | None:
        """Return the visit of this request, or None."""
        return visits.find_visit(self.portal, forms.read_visit_cookie(self.portal))

    def check_form(self) -> dict[str, str]:
        """Return the small form of a visit. Raises OtherVisitError for one that is not of its pages."""
        fields = dict(forms.read_form())
        forms.check_visit(self.portal, fields.get("token", ""))
        return fields

    def write(self, template: str, visit: Visit | None, *, status: int = 200, **values: Any) -> Response:
        """Render a page of a visit, with the token of its forms."""
        cookie = forms.read_visit_cookie(self.portal)
        return self._write(template, forms.make_token(self.portal, cookie), status=status, visit=visit, **values)

    def write_entry(self, *, status: int = 200, **values: Any) -> Response:
        """Render the sign-in page; its forms are bound to a cookie of their own."""
        held = forms.find_form_cookie(self.portal)
        cookie = held or forms.new_form_cookie()
        token = forms.make_token(self.portal, cookie)
        known: dict[str, Any] = {"problem": "", "seconds": 0, "name": "", "code": ""}
        response = self._write("entry.html", token, status=status, visit=None, **(known | values))
        if not held:
            forms.set_form_cookie(self.portal, response, cookie)
        return response

    def _write(self, template: str, token: str, *, status: int, visit: Visit | None, **values: Any) -> Response:
        values |= {"token": token, "visit": visit, "when": show_time, "now": self.portal.clock.now_ms()}
        response = self._writer.write(f"simple/{template}", status=status, **values)
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response


def show_time(milliseconds: int, language: str) -> str:
    """Return a time in this host's zone, with the zone's name."""
    moment = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    # Day before month in English as well: the readers are in Europe.
    locale = "en_GB" if language == "en" else language
    return f"{format_datetime(moment, 'short', locale=locale)} {moment.tzname()}"


def go(path: str) -> WerkzeugResponse:
    """Send the browser to another page of ours, in the language that was chosen."""
    return redirect(_with_language(path), 303)


def _with_language(path: str) -> str:
    language = request.args.get("lang", "")
    between = "&" if "?" in path else "?"
    return path + (f"{between}lang={language}" if language in LABELS else "")


def make_simple(portal: Portal, writer: PageWriter) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("simple", __name__, url_prefix=PATH)
    pages = SimplePages(portal, writer)
    _add_entry(routes, pages)
    _add_password(routes, pages)
    _add_mail(routes, pages)
    _add_parts(routes, pages)
    _add_answer(routes, pages)

    @routes.errorhandler(DamagedError)
    def show_damage(error: DamagedError) -> Response:
        return pages.write("damaged.html", pages.find_visit(), status=422, message=error.message)

    @routes.errorhandler(forms.OtherVisitError)
    def show_other(_error: forms.OtherVisitError) -> Response:
        return pages.write("other.html", None, status=403)

    return routes


# --- sign in and out --------------------------------------------------------------------------------------------------


def _add_entry(routes: Blueprint, pages: SimplePages) -> None:
    portal = pages.portal

    @routes.get("")
    def show_entry() -> Response:
        """Sign-in, with what it means and the reader's consent."""
        return pages.write_entry(problem="ended" if "ended" in request.args else "")

    @routes.post("")
    def sign_in() -> Response | WerkzeugResponse:
        """Open the mailbox for a visit."""
        fields = forms.read_form()
        forms.check_token(portal, forms.find_form_cookie(portal), fields.get("token", ""))
        name, code = fields.get("name", "")[:320], fields.get("code", "")[:40]
        again = {"name": name, "code": code}
        if fields.get("consent") != "yes":
            return pages.write_entry(status=400, problem="consent", **again)
        typed = Typed(name, fields.get("password", "")[:1000], code)
        try:
            who = visits.name_login(portal, name)[1]
            cookie = visits.open_visit(portal, pages.stretcher, typed, pages.find_caller(), read_device(portal, who))
        except LoginNameError:
            return pages.write_entry(status=400, problem="name", **again)
        except MailboxDataError as error:
            if error.code != "format":
                raise
            return pages.write_entry(status=400, problem="code" if code else "wrong", **again)
        except ApiError as error:
            if error.status not in (401, 429):
                raise
            seconds = int(error.fields.get("seconds", 0))
            status = 403 if error.status == 401 else 429
            return pages.write_entry(status=status, problem=error.error, seconds=seconds, **again)
        response = go(f"{PATH}/inbox")
        forms.set_visit_cookie(portal, _own(response), cookie)
        set_device_cookie(portal, _own(response), who)
        return response

    @routes.post("/leave")
    def leave() -> WerkzeugResponse:
        """Sign out; the seed's key is destroyed."""
        pages.check_form()
        visits.end_visit(portal, forms.read_visit_cookie(portal))
        response = go(f"{PATH}?ended=1")
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
        forms.drop_visit_cookie(portal, _own(response))
        return response


def _own(response: WerkzeugResponse) -> Response:
    assert isinstance(response, Response)
    return response


def _add_password(routes: Blueprint, pages: SimplePages) -> None:
    @routes.get("/password")
    def show_password() -> Response | WerkzeugResponse:
        """The change that a first password forces."""
        visit = pages.find_visit()
        if visit is None:
            return go(f"{PATH}?ended=1")
        return pages.write("password.html", visit, problem="") if visit.is_change_due else go(f"{PATH}/inbox")

    @routes.post("/password")
    def change_password() -> Response | WerkzeugResponse:
        """Make the next generation."""
        fields = pages.check_form()
        visit = pages.find_visit()
        if visit is None:
            return go(f"{PATH}?ended=1")
        new = fields.get("new", "")[:1000]
        if new != fields.get("again", "")[:1000]:
            return pages.write("password.html", visit, status=400, problem="differ")
        try:
            cookie = visits.choose_password(pages.portal, pages.stretcher, visit, new, pages.find_caller())
        except visits.PasswordError as error:
            return pages.write("password.html", visit, status=400, problem=error.why)
        except ApiError as error:
            if error.status != 409:
                raise
            # Somebody was faster, perhaps this reader's own second click.
            return go(f"{PATH}?ended=1")
        response = go(f"{PATH}/inbox")
        forms.set_visit_cookie(pages.portal, _own(response), cookie)
        return response


# --- reading ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _verified(message: reading.Row) -> Iterator[None]:
    """Answer what does not verify with one word for all reasons; the reader names the reference."""
    try:
        yield
    except MailboxDataError as error:
        _LOG.warning("part-refused", reference=message.reference, code=error.code)
        raise DamagedError(message) from error


def _add_mail(routes: Blueprint, pages: SimplePages) -> None:
    portal = pages.portal

    @routes.get("/inbox")
    def show_inbox() -> Response | WerkzeugResponse:
        """The messages, newest first."""
        visit = _find_reading(pages)
        if not isinstance(visit, Visit):
            return visit
        before = read_query_number("before", MAX_INTEGER, 0, MAX_INTEGER)
        inbox = reading.read_inbox(portal, visit, before)
        is_first = before == MAX_INTEGER
        older = _with_language(f"{PATH}/inbox?before={inbox.next}") if inbox.next is not None else ""
        values: dict[str, Any] = {"inbox": inbox, "is_first": is_first, "older": older, "sent": "sent" in request.args}
        return pages.write("inbox.html", visit, **values)

    @routes.post("/message/<id_>")
    def open_message(id_: str) -> WerkzeugResponse:
        """Note that a message is read (or does not verify), and show it."""
        pages.check_form()
        visit = _find_reading(pages)
        if not isinstance(visit, Visit):
            return visit
        message = reading.open_message(portal, visit, _check_id(id_))
        with contextlib.suppress(ApiError):
            if message.mail is None and not message.is_withdrawn:
                sending.send_word(portal, visit, "damaged", message.id, code=message.code)
            elif message.mail is not None and not message.is_seen:
                sending.send_word(portal, visit, "read", message.id)
        return go(f"{PATH}/message/{message.id}")

    @routes.get("/message/<id_>")
    def show_message(id_: str) -> Response | WerkzeugResponse:
        """One message: head, body, files, and the form for an answer."""
        visit = _find_reading(pages)
        if not isinstance(visit, Visit):
            return visit
        return _write_message(pages, visit, _check_id(id_))


def _write_message(
    pages: SimplePages, visit: Visit, id_: str, *, status: int = 200, problem: str = "", text: str = ""
) -> Response:
    message = reading.open_message(pages.portal, visit, id_)
    if message.mail is None:
        return pages.write("damaged.html", visit, message=message)
    body = reading.find_body(message.mail)
    plain = ""
    if body is not None and body.role == "text":
        with _verified(message):
            plain = reading.read_text(pages.portal, visit.box, message, body)
    return pages.write(
        "message.html",
        visit,
        status=status,
        message=message,
        mail=message.mail,
        is_html=body is not None and body.role == "html",
        plain=plain,
        files=reading.list_files(message.mail),
        problem=problem,
        typed=text,
        limit=pages.portal.settings.limits.message // (1024 * 1024),
    )


def _find_reading(pages: SimplePages) -> Visit | WerkzeugResponse:
    """Return a visit that may read, else where to go."""
    visit = pages.find_visit()
    if visit is None:
        return go(f"{PATH}?ended=1")
    return go(f"{PATH}/password") if visit.is_change_due else visit


def _check_id(untrusted_id: str) -> str:
    if not is_id(untrusted_id):
        raise ApiError(404, "unknown")
    return untrusted_id


def _add_parts(routes: Blueprint, pages: SimplePages) -> None:
    portal = pages.portal

    @routes.get("/message/<id_>/body")
    def show_body(id_: str) -> Response | WerkzeugResponse:
        """The HTML body as the relay sealed it, in a sandbox of an opaque origin: nothing runs, nothing loads."""
        visit = _find_reading(pages)
        if not isinstance(visit, Visit):
            return visit
        message = reading.open_message(portal, visit, _check_id(id_))
        body = reading.find_body(message.mail) if message.mail is not None else None
        if body is None or body.role != "html":
            raise ApiError(404, "unknown")
        with _verified(message):
            html = reading.read_html(portal, visit.box, message, body)
        response = Response(_BODY_LOOK + html, mimetype="text/html")
        response.headers["Content-Security-Policy"] = BODY_POLICY
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return response

    @routes.get("/message/<id_>/file/<int:i>")
    def save_file(id_: str, i: int) -> Response | WerkzeugResponse:
        """A file, verified to its end before its first octet goes out."""
        visit = _find_reading(pages)
        if not isinstance(visit, Visit):
            return visit
        message = reading.open_message(portal, visit, _check_id(id_))
        if message.mail is None:
            raise ApiError(404, "unknown")
        part = reading.find_part(message.mail, i)
        with _verified(message):
            reading.check_part(portal, visit.box, message, part)
        response = Response(reading.stream_part(portal, visit.box, message, part), mimetype="application/octet-stream")
        response.headers["Content-Length"] = str(part.size)
        response.headers["Content-Disposition"] = name_download(part.name or "message.txt")
        response.headers["Content-Security-Policy"] = _FILE_POLICY
        return response


def name_download(untrusted_name: str) -> str:
    """Return Content-Disposition for a file (RFC 6266 section 4.3, RFC 8187)."""
    name = sending.clean_name(untrusted_name)
    plain = "".join(one if one.isascii() and one.isprintable() and one not in '"\\%' else "_" for one in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"


# --- answering --------------------------------------------------------------------------------------------------------


def _add_answer(routes: Blueprint, pages: SimplePages) -> None:
    portal = pages.portal

    @routes.post("/message/<id_>/answer")
    def answer(id_: str) -> Response | WerkzeugResponse:
        """An answer with files, sealed while it comes in."""
        visit = _find_reading(pages)
        if not isinstance(visit, Visit):
            return visit
        try:
            message = reading.open_message(portal, visit, _check_id(id_))
        except ApiError as error:
            # Of a mailbox that was open here before. The form's own word for it, its token, is not read yet.
            raise forms.OtherVisitError from error
        boundary = request.mimetype_params.get("boundary", "")
        if message.mail is None or request.mimetype != "multipart/form-data" or not 0 < len(boundary) <= 70:
            raise ApiError(400, "bad-request")
        request.max_content_length = portal.settings.limits.message + sending.SPARE
        inbox = reading.read_inbox(portal, visit, MAX_INTEGER)
        if inbox.is_behind or inbox.account == "somebody-else":
            return go(f"{PATH}/inbox")
        answer = sending.Answer.begin(portal, visit, message.id)
        try:
            check = functools.partial(forms.check_visit, portal)
            answer.read(request.stream, boundary.encode("ascii", "replace"), check)
            if not answer.fields.get("text", "").strip() and not answer.files:
                return _write_message(pages, visit, message.id, status=400, problem="empty")
            answer.send(_subject_of(message.mail.subject))
        except ApiError as error:
            _drop(answer)
            if error.status not in (413, 507):
                raise
            text = answer.fields.get("text", "")
            return _write_message(pages, visit, message.id, status=413, problem=error.error, text=text)
        except BaseException:
            _drop(answer)
            raise
        _LOG.info("answered-by-server", box=visit.box.id, reference=make_reference())
        return go(f"{PATH}/inbox?sent=1")


def _drop(answer: sending.Answer) -> None:
    with contextlib.suppress(Exception):  # the sweep finds what is left
        answer.drop()


def _subject_of(subject: str) -> str:
    has_prefix = subject.lower().lstrip().startswith(("re:", "aw:"))
    return (subject if has_prefix else f"Re: {subject}")[:_SUBJECT_LIMIT]
