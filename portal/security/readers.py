"""Who reads: Flask-Login over our own session rows. It keeps nothing itself; the cookie and the row are ours.

A browser holds one session, whichever box it is of: who opens a second box in another tab replaces the first one's.
So each call names the box that its page has open (`X-Letterlock-Box`), and a call that names another one than the
session's is answered as one without a session. The header opens nothing: without it the session's own box is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar, cast

from flask import Flask, request
from flask_login import LoginManager, UserMixin, current_user, login_required

from portal.context import Portal
from portal.security.cookies import read_session_cookie
from portal.security.errors import ApiError
from portal.store import sessions
from portal.store.boxes import OPEN_STATES, BoxRow, load_box

BOX_HEADER = "X-Letterlock-Box"
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Reader(UserMixin):  # type: ignore[misc]
    """The box that a session opens, as it stood when the request came in."""

    def __init__(self, session: sessions.SessionRow, box: BoxRow) -> None:
        self.session = session
        self.box = box

    def get_id(self) -> str:
        """Return the session's public id."""
        return self.session.id


def install_readers(app: Flask, portal: Portal) -> None:
    """Find the reader of each request that asks for one."""
    manager = LoginManager()
    manager.session_protection = None
    manager.init_app(app)

    def find_reader(_request: object) -> Reader | None:
        cookie = read_session_cookie(portal)
        if not cookie:
            return None
        now = portal.clock.now_ms()
        with portal.store.main.read() as connection:
            session = sessions.find_session(connection, cookie, now)
            box = load_box(connection, session.box) if session is not None else None
        if session is None or box is None or box.state not in OPEN_STATES or names_other_box(session.box):
            return None
        if sessions.is_renewal_due(session, now):
            with portal.store.main.write() as connection:
                sessions.renew_session(connection, session.id, now)
        return Reader(session, box)

    def refuse() -> NoReturn:
        raise ApiError(401, "signed-out")

    manager.request_loader(find_reader)
    manager.unauthorized_handler(refuse)


def names_other_box(box_id: str) -> bool:
    """Tell whether the page that calls has another box open than this one."""
    return request.headers.get(BOX_HEADER, box_id) != box_id


def for_readers(view: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a view to signed-in readers only; others get 401 `signed-out`."""
    return cast("Callable[_P, _R]", login_required(view))


def find_current_reader() -> Reader:
    """Return the reader of this request, behind `login_required`."""
    return cast("Reader", current_user._get_current_object())


def find_reader() -> Reader | None:
    """Return the reader of this request, None where nobody is signed in."""
    found = current_user._get_current_object()
    return found if isinstance(found, Reader) else None


def find_mail_reader() -> Reader:
    """Return the reader if mail may be given out. Raises ApiError 403 under a first password or before a new one."""
    reader = find_current_reader()
    if not reader.box.may_read:
        raise ApiError(403, "must-change" if reader.box.must_change else "first")
    return reader
