"""What puts the queue right again: orphans, dead leases, finished mail, old traces.

Run by the scheduler; all idempotent. Content and keys of a message go as soon as all its copies are final; rows that
tell its story stay until the retention job takes them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from relay.core.clock import HOUR
from relay.core.errors import StorageFullError
from relay.core.lifecycle import FINAL, FOR_DELIVER, FOR_WORKER
from relay.core.ports import Actor, Event
from relay.spool.content import drop_ahead
from relay.store.base import Database, Tx
from relay.store.models.copy import state_list
from relay.store.repositories.seen import KEEP_MS

_FINAL = state_list(FINAL)
_HORIZON_MS = 2 * HOUR
"""Back-off ends at an hour and its jitter, a lease at minutes: no time of waiting mail lies further away."""


def sweep_orphans(db: Database, limit: int = 200) -> int:
    """Delete contents that were written ahead and whose commit never came; return how many.

    Where the disk runs short, free pages and SQLite's log are given back to it as well, so that intake can go on.
    """
    with db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT message_id, variant FROM incoming WHERE lease_until < ? ORDER BY lease_until LIMIT ?",
            [tx.now_ms(), limit],
        )
    count = 0
    for message_id, variant in rows:
        # One transaction each: a large content is many pages. Whoever extended its lease meanwhile keeps it.
        with db.transaction() as tx:
            expired = tx.run(
                "UPDATE incoming SET owner = '' WHERE message_id = ? AND variant = ? AND lease_until < ?",
                [message_id, variant, tx.now_ms()],
            )
            if expired:
                drop_ahead(tx, message_id, variant)
                count += 1
    if db.is_space_short():
        # On a disk that others filled up not even this succeeds; the next sweep tries again.
        with contextlib.suppress(StorageFullError):
            give_back_space(db)
    return count


def sweep_leases(db: Database, limit: int = 1000) -> int:
    """Clear leases that ran out, so that the list shows who really works; return how many copies.

    The fence stays: a slow holder that nobody followed may still settle, which saves a second delivery. Times further
    away than the queue ever sets them were written before a clock was set back; what they stop goes on.
    """
    return _clear_ended(db, limit) + _repair_times(db, limit)


def _repair_times(db: Database, limit: int) -> int:
    states = state_list(FOR_WORKER), state_list(FOR_DELIVER)
    with db.reading() as tx:
        horizon = tx.now_ms() + _HORIZON_MS
        rows = [
            row
            for group in states
            for row in tx.fetch_all(
                f"SELECT id FROM copy WHERE state IN {group} AND next_at > ? LIMIT ?",  # noqa: S608
                [horizon, limit],
            )
        ]
        rows += tx.fetch_all("SELECT id FROM copy WHERE owner <> '' AND lease_until > ? LIMIT ?", [horizon, limit])
    if not rows:
        return 0
    with db.transaction() as tx:
        now = tx.now_ms()
        return tx.run_many(
            "UPDATE copy SET next_at = ?, owner = '', lease_until = 0, fence = fence + 1, updated_at = ?"
            " WHERE id = ? AND (next_at > ? OR lease_until > ?)",
            [(now, now, copy_id, now + _HORIZON_MS, now + _HORIZON_MS) for copy_id in sorted({row[0] for row in rows})],
        )


def _clear_ended(db: Database, limit: int) -> int:
    with db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT id FROM copy WHERE owner <> '' AND lease_until < ? LIMIT ?",
            [tx.now_ms(), limit],
        )
    if not rows:
        return 0
    with db.transaction() as tx:
        now = tx.now_ms()
        return tx.run_many(
            "UPDATE copy SET owner = '', lease_until = 0 WHERE id = ? AND owner <> '' AND lease_until < ?",
            [(row[0], now) for row in rows],
        )


def shred_finished(db: Database, limit: int = 500) -> int:
    """Delete keys and chunks of messages whose copies are all final; return how many messages.

    Looks only at messages of which a copy became final lately: the cost does not depend on how many wait.
    """
    with db.reading() as tx:
        if tx.fetch_one("SELECT 1 FROM finished LIMIT 1") is None:
            return 0
    with db.transaction() as tx:
        locking = " FOR UPDATE SKIP LOCKED" if tx.is_postgresql else ""
        rows = tx.fetch_all(f"SELECT message_id, tenant FROM finished LIMIT ?{locking}", [limit])  # noqa: S608
        tenants = {str(row[0]): str(row[1]) for row in rows}
        if not tenants:
            return 0
        marks = ", ".join("?" * len(tenants))
        waiting = tx.fetch_all(
            f"SELECT DISTINCT message_id FROM copy WHERE message_id IN ({marks}) AND state NOT IN {_FINAL}",  # noqa: S608
            list(tenants),
        )
        done = [message_id for message_id in tenants if message_id not in {row[0] for row in waiting}]
        _shred(tx, done)
        # Those that still wait come back when their next copy becomes final.
        tx.run_many("DELETE FROM finished WHERE message_id = ?", [(message_id,) for message_id in tenants])
        actor = Actor("system", "clean-up")
        for message_id in done:
            tx.append_event(Event("message.shredded", actor, tenants[message_id], message_id))
        return len(done)


def _shred(tx: Tx, message_ids: Sequence[str]) -> None:
    parameters = [(message_id,) for message_id in message_ids]
    now = tx.now_ms()
    # The key first in mind: without it, chunks that stay in a file's free pages or in a back-up stay shut.
    tx.run_many("DELETE FROM mail_key WHERE message_id = ?", parameters)
    tx.run_many("DELETE FROM chunk WHERE message_id = ?", parameters)
    tx.run_many("UPDATE message SET shredded_at = ? WHERE id = ?", [(now, message_id) for message_id in message_ids])


def forget_finished(db: Database, tenant: str, before_ms: int, limit: int = 500) -> int:
    """Retention: delete message, copies and decisions of shredded mail received before `before_ms`; return how many.

    Events stay: they are the log.
    """
    with db.transaction() as tx:
        rows = tx.fetch_all(
            "SELECT m.id FROM message m WHERE m.tenant = ? AND m.received_at < ? AND m.shredded_at IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM finished f WHERE f.message_id = m.id)"
            " ORDER BY m.received_at LIMIT ?",
            [tenant, before_ms, limit],
        )
        parameters = [(row[0],) for row in rows]
        for table in ("copy", "decision", "variant"):
            tx.run_many(f"DELETE FROM {table} WHERE message_id = ?", parameters)  # noqa: S608
        tx.run_many("DELETE FROM message WHERE id = ?", parameters)
        return len(rows)


def forget_seen(db: Database, limit: int = 5000) -> int:
    """Drop what came in more than 48 hours ago from the table of retries; return how many rows."""
    with db.transaction() as tx:
        return tx.run(
            "DELETE FROM seen WHERE (tenant, digest) IN"
            " (SELECT tenant, digest FROM seen WHERE at < ? ORDER BY at LIMIT ?)",
            [tx.now_ms() - KEEP_MS, limit],
        )


def give_back_space(db: Database, pages: int = 20_000) -> None:
    """Return free pages of an SQLite file to the file system; call in idle time. Nothing to do on PostgreSQL."""
    db.reclaim_space(pages)
