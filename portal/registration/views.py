"""Browser API of registration: is the link open, and the one sealed answer to it, which goes into the outbox."""

from __future__ import annotations

import hashlib

from flask import Blueprint, Response, jsonify
from sqlalchemy import select, update

from portal.accounts.login import hash_token
from portal.context import Portal
from portal.replies.links import find_join
from portal.security.errors import ApiError
from portal.security.requests import API_PREFIX, find_network, read_fields
from portal.store import throttle
from portal.store.boxes import is_reconciling, lock_box
from portal.store.models import DUMMY_BOX, registration
from portal.store.outbox import OUTBOX, Entry, append_entry, find_entry
from relay.core.ids import is_id

SEALED_LIMIT = 150 * 1000
JOIN_LIMIT = SEALED_LIMIT * 4 // 3 + 4 * 1024


def make_registration(portal: Portal) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("registration", __name__, url_prefix=API_PREFIX.rstrip("/"))

    @routes.get("/join/<id_>")
    def show_join(id_: str) -> Response:
        state = find_join(portal, id_) if is_id(id_) else None
        if state != "open":
            raise ApiError(404, "unknown") if state is None else ApiError(410, "over")
        return jsonify({"open": True})

    @routes.post("/join")
    def join() -> Response:
        fields = read_fields(JOIN_LIMIT)
        id_, card, sealed = fields.id("id"), fields.number("card"), fields.octets("sealed")
        if not 0 < len(sealed) <= SEALED_LIMIT:
            raise ApiError(413, "size")
        network = find_network(is_behind_proxy=portal.settings.is_behind_proxy)
        status = take_registration(portal, id_, card, sealed, network=network)
        response = jsonify({})
        response.status_code = status
        return response

    return routes


def take_registration(portal: Portal, id_: str, card: int, sealed: bytes, *, network: str) -> int:
    """Put a registration into the outbox: 201, or 200 for the same octets again. Raises ApiError 404, 409, 410, 503."""
    digest = hashlib.sha256(sealed + str(card).encode()).digest()
    hashed = hash_token(id_)
    outcome: ApiError | int
    row = portal.store.rows.seal(OUTBOX, DUMMY_BOX, id_, sealed)
    with portal.store.main.write() as connection:
        now = portal.clock.now_ms()
        counters = throttle.touch_counters(connection, throttle.name_networks(network, now), now)
        # The row that orders all registrations.
        order = lock_box(connection, DUMMY_BOX)
        assert order is not None
        link = connection.execute(select(registration).where(registration.c.hash == hashed)).one_or_none()
        stored = find_entry(connection, DUMMY_BOX, id_)
        seconds = throttle.seconds_to_wait(counters, now)
        if seconds:
            outcome = ApiError(429, "wait", seconds=seconds)
        elif link is None:
            throttle.count_wrong(connection, counters, now)
            outcome = ApiError(404, "unknown")
        elif stored is not None:
            outcome = 200 if stored.digest == digest else ApiError(409, "changed")
        elif link.used or (link.expires is not None and link.expires <= now):
            outcome = ApiError(410, "over")
        elif is_reconciling(connection):
            outcome = ApiError(503, "reconciling")
        else:
            append_entry(connection, order, Entry("join", id_, 0, card, row, None, [], digest), now)
            connection.execute(update(registration).where(registration.c.hash == hashed).values(used=1))
            outcome = 201
    if outcome != 201:
        portal.store.rows.shred([row.row_key])
    if isinstance(outcome, ApiError):
        raise outcome
    return outcome
