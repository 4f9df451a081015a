"""Session rows: SHA-256 of the cookie, the server half of the tab key, times. Idle 15 minutes, absolute 8 hours.

The cookie opens sealed data and no password wrap; the row without the cookie names nobody (portal.md 1.5).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, insert, or_, select, update

from portal.store.models import session, visit
from relay.core.clock import HOUR, MINUTE
from relay.core.ids import new_id
from relay.core.wire.pae import encode_b64

IDLE = 15 * MINUTE
ABSOLUTE = 8 * HOUR
_RENEW = MINUTE // 2
_MOST = 20


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that is not over."""

    id: str
    box: str
    half: bytes
    ticket: str | None
    browser: str
    since: int
    seen: int


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session just made, and the cookie's value, which is stored nowhere."""

    row: SessionRow
    cookie: str


def hash_cookie(untrusted_cookie: str) -> bytes:
    """Return what a cookie is stored by."""
    return hashlib.sha256(untrusted_cookie.encode("utf-8", "replace")).digest()


def start_session(
    connection: Connection, box_id: str, *, ticket: str | None, browser: str, now: int, since: int | None = None
) -> NewSession:
    """Insert a session with a new cookie and a new half; `since` keeps the absolute end of the one it replaces."""
    cookie = encode_b64(os.urandom(32))
    row = SessionRow(new_id(), box_id, os.urandom(32), ticket, browser, since or now, now)
    connection.execute(
        insert(session),
        {
            "sid": hash_cookie(cookie),
            "id": row.id,
            "box": box_id,
            "half": row.half,
            "ticket": ticket,
            "browser": browser,
            "since": row.since,
            "seen": now,
        },
    )
    return NewSession(row, cookie)


def drop_oldest(connection: Connection, box_id: str) -> None:
    """Keep the newest sessions of a box only."""
    query = select(session.c.sid).where(session.c.box == box_id).order_by(session.c.seen.desc()).offset(_MOST)
    old = connection.execute(query).scalars().all()
    if old:
        connection.execute(delete(session).where(session.c.sid.in_(old)))


def find_session(connection: Connection, untrusted_cookie: str, now: int) -> SessionRow | None:
    """Return the session of a cookie unless it is over."""
    row = connection.execute(select(session).where(session.c.sid == hash_cookie(untrusted_cookie))).one_or_none()
    if row is None or now - row.seen >= IDLE or now - row.since >= ABSOLUTE:
        return None
    return SessionRow(row.id, row.box, bytes(row.half), row.ticket, row.browser, row.since, row.seen)


def is_renewal_due(row: SessionRow, now: int) -> bool:
    """Tell whether its last use is old enough to be written anew."""
    return now - row.seen >= _RENEW


def renew_session(connection: Connection, session_id: str, now: int) -> None:
    """Note that a session was used."""
    connection.execute(update(session).where(session.c.id == session_id).values(seen=now))


def list_sessions(connection: Connection, box_id: str, now: int) -> list[SessionRow]:
    """Return the sessions of a box that are not over, newest use first."""
    query = (
        select(session)
        .where(session.c.box == box_id, session.c.seen > now - IDLE, session.c.since > now - ABSOLUTE)
        .order_by(session.c.seen.desc())
    )
    return [
        SessionRow(row.id, row.box, bytes(row.half), row.ticket, row.browser, row.since, row.seen)
        for row in connection.execute(query)
    ]


def end_sessions(connection: Connection, box_id: str, *, session_id: str | None = None) -> None:
    """End one session of a box, or all."""
    query = delete(session).where(session.c.box == box_id)
    if session_id is not None:
        query = query.where(session.c.id == session_id)
    connection.execute(query)
    _drop_visits(connection)


def end_other_sessions(connection: Connection, box_id: str, kept_id: str) -> None:
    """End the sessions of a box but one."""
    connection.execute(delete(session).where(session.c.box == box_id, session.c.id != kept_id))
    _drop_visits(connection)


def sweep_sessions(connection: Connection, now: int) -> None:
    """Delete what is over."""
    connection.execute(delete(session).where(or_(session.c.seen <= now - IDLE, session.c.since <= now - ABSOLUTE)))
    _drop_visits(connection)


def _drop_visits(connection: Connection) -> None:
    # Their row keys go with the next sweep.
    connection.execute(delete(visit).where(~exists().where(session.c.id == visit.c.session)))
