"""Clearing up at times: what is over, what nobody asks for any more, and row keys without a row.

Safe on several nodes at once and at any time; what is deleted was over already. Row keys are left alone while the
portal waits for a comparison, since the rows of a database that is being restored are not all there yet.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, select, text

from portal.store.base import Store
from portal.store.boxes import is_reconciling
from portal.store.chunks import drop_chunks
from portal.store.models import (
    box,
    chunk,
    draft,
    message,
    outbox,
    registration,
    report,
    row_key,
    throttle,
    token,
    visit,
)
from portal.store.reseal import pad_capsules
from portal.store.sessions import sweep_sessions
from relay.core.clock import DAY

_LINKS_KEPT = 90 * DAY
_REKEYS_KEPT = 90 * DAY
_UPLOADS_KEPT = 7 * DAY
_PUSHES_KEPT = 30 * DAY
_MOST = 500
# The total of a first password counts what is lost for ever, and it lives 7 days. A reply link's lock lasts one day.
_COUNTERS_KEPT = (("login:", 30 * DAY),)


def sweep(store: Store, sent_days: int) -> None:
    """Do one round."""
    now = store.clock.now_ms()
    with store.main.write() as connection:
        sweep_sessions(connection, now)
        _sweep_counters(connection, now)
        for table in (token, registration):
            connection.execute(delete(table).where(table.c.expires < now - _LINKS_KEPT))
        connection.execute(delete(report).where(report.c.known == 0, report.c.time < now - DAY))
    _sweep_sent(store, now, sent_days)
    _sweep_chunks(store, now)
    pad_capsules(store)
    _sweep_keys(store, now)


def _sweep_counters(connection: Connection, now: int) -> None:
    name = throttle.c.name
    for prefix, kept in _COUNTERS_KEPT:
        connection.execute(delete(throttle).where(name.startswith(prefix), throttle.c.changed < now - kept))
    others = [~name.startswith(prefix) for prefix, _ in _COUNTERS_KEPT]
    connection.execute(delete(throttle).where(*others, throttle.c.changed < now - DAY))


def _sweep_sent(store: Store, now: int, sent_days: int) -> None:
    old = (outbox.c.state != "waiting") & (outbox.c.acked < now - sent_days * DAY)
    # What was a receipt of reading or a deletion leaves nothing that a reader sees.
    query = select(outbox).where(old & ((outbox.c.kind != "rekey") | (outbox.c.acked < now - _REKEYS_KEPT)))
    with store.main.write() as connection:
        rows = connection.execute(query.limit(_MOST)).all()
        for row in rows:
            connection.execute(delete(outbox).where(outbox.c.position == row.position))
            drop_chunks(connection, row.box, "up", row.id)
    store.rows.shred(name for row in rows for name in (row.row_key, row.self_row_key))


def _sweep_chunks(store: Store, now: int) -> None:
    up = (
        (chunk.c.side == "up")
        & (chunk.c.stored < now - _UPLOADS_KEPT)
        & ~exists().where(draft.c.box == chunk.c.box, draft.c.id == chunk.c.id)
        & ~exists().where(outbox.c.box == chunk.c.box, outbox.c.id == chunk.c.id)
    )
    down = (
        (chunk.c.side == "down")
        & (chunk.c.stored < now - _PUSHES_KEPT)
        & ~exists().where(message.c.box == chunk.c.box, message.c.id == chunk.c.id)
    )
    with store.main.write() as connection:
        query = select(chunk.c.box, chunk.c.side, chunk.c.id).where(up | down).distinct().limit(_MOST)
        for row in connection.execute(query).all():
            drop_chunks(connection, row.box, row.side, row.id)


def _sweep_keys(store: Store, now: int) -> None:
    with store.main.read() as connection:
        if is_reconciling(connection):
            return
    last = ""
    while True:
        with store.keys.read() as connection:
            query = select(row_key.c.id).where(row_key.c.id > last, row_key.c.made < now - DAY).order_by(row_key.c.id)
            names = list(connection.execute(query.limit(_MOST)).scalars())
        if not names:
            break
        last = names[-1]
        with store.main.read() as connection:
            used: set[str] = set()
            for column in (
                box.c.capsule_key,
                message.c.row_key,
                draft.c.row_key,
                outbox.c.row_key,
                outbox.c.self_row_key,
                visit.c.row_key,
            ):
                used.update(connection.execute(select(column).where(column.in_(names))).scalars())
        store.rows.shred(name for name in names if name not in used)
    if store.keys.dialect == "sqlite":
        with store.keys.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            # A deleted key must not stay in the log either.
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def count_rows(store: Store) -> int:
    """Return the number of row keys, for tests and operators."""
    with store.keys.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM row_key")).scalar_one())
