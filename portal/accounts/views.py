"""Browser API of the account: login, session, rekey, logout, sessions, forgot, cards."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from flask import Blueprint, Response, jsonify, make_response
from sqlalchemy import select

from portal.accounts.login import Attempt, hash_token, sign_in
from portal.accounts.rekey import Rekey, Rekeyed, find_repeated, rekey_box
from portal.context import Portal
from portal.security.cookies import (
    drop_session_cookie,
    read_device,
    read_session_cookie,
    set_device_cookie,
    set_session_cookie,
)
from portal.security.errors import ApiError
from portal.security.readers import Reader, find_current_reader, find_reader, for_readers, names_other_box
from portal.security.requests import API_PREFIX, describe_browser, find_network, read_fields
from portal.store import sessions, throttle
from portal.store.boxes import OPEN_STATES, BoxRow, find_box_id, open_capsule_row
from portal.store.models import card
from portal.store.reports import add_report
from relay.core.clock import SECOND
from relay.core.ids import is_id
from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.capsule import MAX_CAPSULE, strip_capsule
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.jsontext import Fields, format_time, read_b64
from relay.core.wire.sealed.stretch import KDF_OF_KIND

LOGIN_LIMIT = 4 * 1024
REKEY_LIMIT = MAX_CAPSULE * 4 // 3 + 4 * 1024
_LOGIN_ID_OCTETS = 32
_FORGOT_TRIES = 5


def make_accounts(portal: Portal) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("accounts", __name__, url_prefix=API_PREFIX.rstrip("/"))

    @routes.post("/login")
    def login() -> Response:
        fields = read_fields(LOGIN_LIMIT)
        is_reply = fields.has("token")
        kind = "reply" if is_reply else "mailbox"
        if fields.number("kdf") != KDF_OF_KIND[kind]:
            raise ApiError(400, "kdf")
        who = _read_token(fields) if is_reply else _read_login_id(fields)
        network = find_network(is_behind_proxy=portal.settings.is_behind_proxy)
        auth = fields.octets("auth", 32)
        device = None if is_reply else read_device(portal, who)
        signed_in = sign_in(portal, Attempt(kind, who, auth, network, device, describe_browser()))
        session = signed_in.session
        answer = _describe(portal, signed_in.box, session.row) | {"capsule": encode_b64(signed_in.capsule)}
        response = jsonify(answer)
        set_session_cookie(portal, response, session.cookie)
        if not is_reply:
            set_device_cookie(portal, response, who)
        return response

    @routes.get("/session")
    @for_readers
    def show_session() -> Response:
        reader = find_current_reader()
        octets = open_capsule_row(portal.store, reader.box)
        if octets is None:
            raise ApiError(401, "signed-out")
        return jsonify(_describe(portal, reader.box, reader.session) | {"capsule": strip_capsule(octets)})

    @routes.post("/rekey")
    def rekey() -> Response:
        reader = find_reader()
        if reader is None:
            done, half = _answer_again(portal), None
        else:
            done = rekey_box(portal, reader.session, _read_rekey())
            half = encode_b64(reader.session.half)
        if done.session:
            half = encode_b64(done.session.row.half)
        response = jsonify({"state": done.state, "gen": done.gen, "half": half})
        if done.session:
            set_session_cookie(portal, response, done.session.cookie)
        return response

    @routes.get("/cards")
    def list_cards() -> Response:
        with portal.store.main.read() as connection:
            rows = connection.execute(select(card).order_by(card.c.serial)).all()
        return jsonify({"cards": [{"card": encode_b64(bytes(row.card)), "sigs": json.loads(row.sigs)} for row in rows]})

    _add_session_routes(routes, portal)
    _add_forgot(routes, portal)
    return routes


def _read_rekey() -> Rekey:
    fields = read_fields(REKEY_LIMIT)
    return Rekey(fields.octets("capsule"), fields.octets("sig"), fields.octets("auth", 32), describe_browser())


def _answer_again(portal: Portal) -> Rekeyed:
    """Answer a rekey that was taken before. Raises ApiError 401: everything else needs a session."""
    done = None
    with contextlib.suppress(ApiError, MailboxDataError, EncodingError):
        done = find_repeated(portal, _read_rekey())
    if done is None:
        raise ApiError(401, "signed-out")
    return done


def _add_session_routes(routes: Blueprint, portal: Portal) -> None:
    @routes.post("/logout")
    def logout() -> Response:
        cookie = read_session_cookie(portal)
        with portal.store.main.write() as connection:
            session = sessions.find_session(connection, cookie, portal.clock.now_ms())
            if session is not None and names_other_box(session.box):
                # Another tab has signed in to another box since: what it holds is not this page's to end.
                return make_response("", 204)
            if session is not None:
                sessions.end_sessions(connection, session.box, session_id=session.id)
        response = make_response("", 204)
        # Not "cookies": the known device stays known.
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
        drop_session_cookie(portal, response)
        return response

    @routes.get("/sessions")
    @for_readers
    def list_sessions() -> Response:
        reader = find_current_reader()
        with portal.store.main.read() as connection:
            rows = sessions.list_sessions(connection, reader.box.id, portal.clock.now_ms())
        return jsonify({"sessions": [_describe_session(row, reader) for row in rows]})

    @routes.post("/sessions/end")
    @for_readers
    def end_sessions() -> Response:
        reader = find_current_reader()
        fields = read_fields(LOGIN_LIMIT)
        ends_all = fields.has("all") and fields.boolean("all")
        session_id = None if ends_all else fields.id("id")
        with portal.store.main.write() as connection:
            sessions.end_sessions(connection, reader.box.id, session_id=session_id)
        return make_response("", 204)


def _add_forgot(routes: Blueprint, portal: Portal) -> None:
    @routes.post("/forgot")
    def forgot() -> Response:
        """Tell the relay, which tells the sender; the same answer and the same work whoever asks."""
        login_id = _read_login_id(read_fields(LOGIN_LIMIT))
        network = find_network(is_behind_proxy=portal.settings.is_behind_proxy)
        with portal.store.main.write() as connection:
            now = portal.clock.now_ms()
            counted = [throttle.name_address("forgot", network, now)]
            counters = throttle.touch_counters(connection, counted, now)
            seconds = throttle.seconds_to_wait(counters, now)
            if not seconds:
                box_id = find_box_id(connection, login_id, "mailbox", (*OPEN_STATES, "expired"))
                throttle.count_wrong(connection, counters, now)
                add_report(connection, "forgot", box_id or login_id, is_known=box_id is not None, count=1, now=now)
        if seconds:
            raise ApiError(429, "wait", seconds=seconds)
        response = jsonify({})
        response.status_code = 202
        return response


def _read_login_id(fields: Fields) -> str:
    text = fields.text("login_id")
    read_b64(text, _LOGIN_ID_OCTETS)
    return text


def _read_token(fields: Fields) -> str:
    text = fields.text("token")
    if not is_id(text):
        raise ApiError(400, "bad-request")
    return hash_token(text)


def _describe(portal: Portal, box: BoxRow, session: sessions.SessionRow) -> dict[str, Any]:
    limits = portal.settings.limits
    answer: dict[str, Any] = {
        "portal": portal.portal_id,
        "box": box.id,
        "kind": box.kind,
        "state": box.state,
        "gen": box.gen,
        "half": encode_b64(session.half),
        "must_change": box.must_change,
        "lang": box.lang,
        "quota": {"used": box.used, "limit": limits.box},
        "limits": {"message": limits.message, "parts": 100},
        "idle_seconds": sessions.IDLE // SECOND,
    }
    if box.kind == "reply":
        answer |= {"form": box.form, "ticket": session.ticket}
    return answer


def _describe_session(row: sessions.SessionRow, reader: Reader) -> dict[str, Any]:
    return {
        "id": row.id,
        "current": row.id == reader.session.id,
        "browser": row.browser,
        "since": format_time(row.since),
        "seen": format_time(row.seen),
    }
