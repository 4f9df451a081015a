"""What the portal has to be told, in order within a box, and the mark that shows whether it was restored.

A box's next row is handed out only when the one before it is done; boxes do not wait for each other. Rows without a box
(cards, joins) come first of all: mail names cards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.core.clock import MINUTE
from relay.store.base import Row, Tx

BOX = "box"
MESSAGE = "message"
DELETE = "delete"
END = "end"
LATE_END = "late-end"
"""An `end` that an operator let go: it is tried on, and a restored portal opens before it."""
CARD = "card"
TOKEN = "token"  # noqa: S105 - a kind of push
JOIN = "join"
RENEW = "renew"
"""Work for the link process: freeze the box, pull until it is empty, then relay.mailbox.renewals."""
PULL_FIRST = "pull first"
COPY_BUSY = "copy busy"
"""Why a row was left for later although nothing failed: `last_error`."""
WAITING = "waiting"
DONE = "done"
DROPPED = "dropped"
SKIPPED = "skipped"
"""Dropped by an operator, so that a restored portal may open."""
PUSH_LEASE_MS = 5 * MINUTE


@dataclass(frozen=True, slots=True)
class Push:
    """One row of `portal_push`. Times in milliseconds."""

    seq: int
    tenant: str
    kind: str
    """`box` (ref: generation), `message`, `delete` (ref: message id), `end` and `late-end` (ref: sessions, freeze,
    thaw, expire, close), `card` (ref: serial), `token` (ref: SHA-256 of the token, b64; detail: id, expires), `join`
    (ref: the same of the link's id; detail: expires), `renew` (ref: resend, reset, expire; detail: told)."""
    box: str
    """"" for a card or a join."""
    ref: str
    copy_id: str | None
    detail: Mapping[str, Any] = field(default_factory=dict)
    state: str = WAITING
    attempts: int = 0
    next_at: int = 0
    owner: str = ""
    last_error: str = ""
    created_at: int = 0


_COLUMNS = (
    "seq",
    "tenant",
    "kind",
    "box",
    "ref",
    "copy_id",
    "detail",
    "state",
    "attempts",
    "next_at",
    "owner",
    "last_error",
    "created_at",
)
_LIST = ", ".join(f"p.{name}" for name in _COLUMNS)


def _from_row(row: Row) -> Push:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["detail"] = json.loads(values["detail"])
    return Push(**values)


def add_push(
    tx: Tx,
    tenant: str,
    kind: str,
    *,
    box: str = "",
    ref: str = "",
    copy_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Queue one thing for the portal. The caller holds the box's row, so that the order is that of the commits."""
    now = tx.now_ms()
    tx.run(
        "INSERT INTO portal_push (tenant, kind, box, ref, copy_id, detail, state, next_at, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, ?)",
        [tenant, kind, box, ref, copy_id, json.dumps(dict(detail or {})), now, now],
    )


def claim_pushes(tx: Tx, tenant: str, owner: str, limit: int, *, lease_ms: int = PUSH_LEASE_MS) -> list[Push]:
    """Lease the first waiting row of each of up to `limit` boxes that is due, oldest first; cards before all others.

    Finish or postpone each; a lease that ran out is handed out again.
    """
    now = tx.now_ms()
    locking = " FOR UPDATE OF p SKIP LOCKED" if tx.is_postgresql else ""
    rows: list[Row] = []
    # Two questions, each answered in the order of an index: so it costs the same however many wait.
    for boxes in ("p.seq IN (SELECT q.seq FROM portal_push q WHERE q.state = 'waiting' AND q.box = '')", "p.box <> ''"):
        rows += tx.fetch_all(
            f"SELECT {_LIST} FROM portal_push p"  # noqa: S608 - our own column names
            f" WHERE p.state = 'waiting' AND p.tenant = ? AND {boxes} AND p.next_at <= ? AND p.lease_until <= ?"
            " AND NOT EXISTS"
            " (SELECT 1 FROM portal_push q WHERE q.state = 'waiting' AND q.box = p.box AND q.seq < p.seq)"
            f" ORDER BY p.seq LIMIT ?{locking}",
            [tenant, now, now, limit - len(rows)],
        )
    tx.run_many(
        "UPDATE portal_push SET owner = ?, lease_until = ?, attempts = attempts + 1 WHERE seq = ?",
        [(owner, now + lease_ms, row[0]) for row in rows],
    )
    return [_from_row(row) for row in rows]


def is_push_due(tx: Tx, tenant: str) -> bool:
    """Tell whether there may be something to claim; cheap, takes no lock."""
    now = tx.now_ms()
    sql = (
        "SELECT 1 FROM portal_push WHERE state = 'waiting' AND tenant = ? AND next_at <= ? AND lease_until <= ? LIMIT 1"
    )
    return tx.fetch_one(sql, [tenant, now, now]) is not None


def extend_pushes(tx: Tx, owner: str, seqs: Sequence[int], *, lease_ms: int = PUSH_LEASE_MS) -> None:
    """Extend the leases of rows that this owner works on; the heartbeat, at a third of the lease."""
    until = tx.now_ms() + lease_ms
    tx.run_many(
        "UPDATE portal_push SET lease_until = ? WHERE seq = ? AND owner = ?", [(until, seq, owner) for seq in seqs]
    )


def release_pushes(tx: Tx, owner: str) -> int:
    """Free the leases of an owner that stopped or died; return how many rows."""
    return tx.run("UPDATE portal_push SET owner = '', lease_until = 0 WHERE owner = ? AND owner <> ''", [owner])


def finish_push(tx: Tx, push: Push, owner: str, *, state: str = DONE) -> bool:
    """End a leased row as done or dropped; False when it is not this owner's any more."""
    return (
        tx.run(
            "UPDATE portal_push SET state = ?, done_at = ?, owner = '', lease_until = 0, last_error = ''"
            " WHERE seq = ? AND state = 'waiting' AND owner = ?",
            [state, tx.now_ms(), push.seq, owner],
        )
        == 1
    )


def postpone_push(tx: Tx, push: Push, owner: str, *, next_at: int, error: str) -> bool:
    """Leave a leased row for later; `error` is a word of ours, never what the portal wrote."""
    return (
        tx.run(
            "UPDATE portal_push SET next_at = ?, owner = '', lease_until = 0, last_error = ?"
            " WHERE seq = ? AND state = 'waiting' AND owner = ?",
            [next_at, error[:200], push.seq, owner],
        )
        == 1
    )


def hasten_pushes(tx: Tx, tenant: str) -> int:
    """Make everything due that was left for later; return how many rows. What stood in the way has changed."""
    now = tx.now_ms()
    return tx.run(
        "UPDATE portal_push SET next_at = ? WHERE state = 'waiting' AND tenant = ? AND owner = '' AND next_at > ?",
        [now, tenant, now],
    )


def drop_pushes(
    tx: Tx, tenant: str, box_id: str, kinds: Sequence[str], ref: str | None = None, *, state: str = DROPPED
) -> int:
    """Drop waiting rows of a box that have no sense any more; return how many."""
    sql = (
        "UPDATE portal_push SET state = ?, done_at = ?, owner = '', lease_until = 0"  # noqa: S608
        f" WHERE state = 'waiting' AND tenant = ? AND box = ? AND kind IN ({', '.join('?' * len(kinds))})"
    )
    parameters: list[Any] = [state, tx.now_ms(), tenant, box_id, *kinds]
    if ref is not None:
        sql += " AND ref = ?"
        parameters.append(ref)
    return tx.run(sql, parameters)


def waiting_pushes(tx: Tx, tenant: str, *, box_id: str | None = None, limit: int = 1000) -> list[Push]:
    """Return what waits, in order; with `box_id` of one box only."""
    sql = f"SELECT {_LIST} FROM portal_push p WHERE p.state = 'waiting' AND p.tenant = ?"  # noqa: S608
    parameters: list[Any] = [tenant]
    if box_id is not None:
        sql += " AND p.box = ?"
        parameters.append(box_id)
    rows = tx.fetch_all(sql + " ORDER BY p.seq LIMIT ?", [*parameters, limit])
    return [_from_row(row) for row in rows]


def first_of_boxes(tx: Tx, tenant: str, kinds: Sequence[str], *, after: int = 0, limit: int = 1000) -> list[Push]:
    """Return the first row that waits, of whatever kind, of each box for which one of these kinds waits; in order, from
    the one behind `after` on. What stands behind a box's first row is not tried before it."""
    marks = ", ".join("?" * len(kinds))
    rows = tx.fetch_all(
        f"SELECT {_LIST} FROM portal_push p WHERE p.state = 'waiting' AND p.tenant = ? AND p.seq > ?"  # noqa: S608
        " AND p.box <> ''"
        " AND NOT EXISTS (SELECT 1 FROM portal_push q WHERE q.state = 'waiting' AND q.box = p.box AND q.seq < p.seq)"
        " AND EXISTS (SELECT 1 FROM portal_push q WHERE q.state = 'waiting' AND q.box = p.box"
        f" AND q.kind IN ({marks})) ORDER BY p.seq LIMIT ?",
        [tenant, after, *kinds, limit],
    )
    return [_from_row(row) for row in rows]


def is_waiting(tx: Tx, tenant: str, kind: str, *, box: str) -> bool:
    """Tell whether a row of this kind waits for a box."""
    sql = "SELECT 1 FROM portal_push WHERE state = 'waiting' AND box = ? AND kind = ? AND tenant = ? LIMIT 1"
    return tx.fetch_one(sql, [box, kind, tenant]) is not None


def is_ended_since(tx: Tx, tenant: str, kind: str, *, box: str, ref: str, since_ms: int, state: str) -> bool:
    """Tell whether the same was pushed (`done`) or left out by an operator (`skipped`) at that time or later."""
    sql = (
        "SELECT 1 FROM portal_push WHERE box = ? AND ref = ? AND kind = ? AND tenant = ? AND state = ?"
        " AND done_at >= ? LIMIT 1"
    )
    return tx.fetch_one(sql, [box, ref, kind, tenant, state, since_ms]) is not None


def forget_pushes(tx: Tx, tenant: str, before_ms: int) -> int:
    """Delete rows that ended before a time; return how many."""
    return tx.run(
        "DELETE FROM portal_push WHERE state <> 'waiting' AND tenant = ? AND done_at < ?", [tenant, before_ms]
    )


def read_mark(tx: Tx, tenant: str) -> tuple[int, int]:
    """Return the mark that the portal was given last, and when; (0, 0) before the first."""
    row = tx.fetch_one("SELECT n, at FROM portal_mark WHERE tenant = ?", [tenant])
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def raise_mark(tx: Tx, tenant: str, *, above: int = 0) -> int:
    """Count the mark on, at least over `above`, and return it. Committed before it is sent: so the portal never holds a
    higher one than we, unless our own database is the older one."""
    least = above + 1
    row = tx.fetch_one(
        "INSERT INTO portal_mark (tenant, n, at) VALUES (?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET"
        " n = CASE WHEN portal_mark.n + 1 < ? THEN ? ELSE portal_mark.n + 1 END, at = excluded.at RETURNING n",
        [tenant, least, tx.now_ms(), least, least],
    )
    assert row is not None
    return int(row[0])
