"""Requests that wait until other people have agreed, and who did (rules: relay.mailbox.approvals)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.store.base import Row, Tx, insert_sql
from relay.store.errors import NotFoundError

CARD = "card"
WAITING = "waiting"
APPROVED = "approved"
DONE = "done"
REFUSED = "refused"
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Approval:
    """One row of `approval`. Times in milliseconds. Field order is the column order."""

    id: str
    tenant: str
    kind: str
    """`resend`, `reset`, `card`."""
    box: str
    """"" for a card."""
    told: str
    """The inside sender who gets the password."""
    detail: Mapping[str, Any] = field(repr=False)
    asked_by: str
    needed: int
    state: str
    asked_at: int
    expires_at: int
    ended_at: int | None = None
    ended_by: str = ""
    told_at: int | None = None


_COLUMNS = tuple(Approval.__dataclass_fields__)
_INSERT = insert_sql("approval", _COLUMNS, ignore_conflicts=True)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM approval "  # noqa: S608 - our own column names


def _from_row(row: Row) -> Approval:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["detail"] = json.loads(values["detail"])
    return Approval(**values)


def add_approval(tx: Tx, new: Approval) -> bool:
    """Insert a request; False when one waits for the same mailbox, or another card, already."""
    values = [getattr(new, name) for name in _COLUMNS]
    values[_COLUMNS.index("detail")] = json.dumps(dict(new.detail))
    return tx.run(_INSERT, values) == 1


def get_approval(tx: Tx, tenant: str, approval_id: str, *, lock: bool = False) -> Approval:
    """Return a request; with `lock` nobody else changes it before this transaction ends. Raises NotFoundError."""
    locking = " FOR UPDATE" if lock and tx.is_postgresql else ""
    row = tx.fetch_one(f"{_SELECT}WHERE id = ? AND tenant = ?{locking}", [approval_id, tenant])
    if row is None:
        raise NotFoundError(f"request {approval_id}: there is none")
    return _from_row(row)


def list_approvals(tx: Tx, tenant: str, *states: str) -> list[Approval]:
    """Return the requests in these states, oldest first."""
    marks = ", ".join("?" * len(states))
    sql = f"{_SELECT}WHERE tenant = ? AND state IN ({marks}) ORDER BY asked_at, id"
    return [_from_row(row) for row in tx.fetch_all(sql, [tenant, *states])]


def find_waiting(tx: Tx, tenant: str, box: str) -> Approval | None:
    """Return the request that waits for a mailbox; "" for a card."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND box = ? AND state = 'waiting'", [tenant, box])
    return None if row is None else _from_row(row)


def untold_approvals(tx: Tx, tenant: str, limit: int = 100) -> list[Approval]:
    """Return requests that came to nothing and whose sender has not heard of it."""
    rows = tx.fetch_all(
        _SELECT + "WHERE tenant = ? AND state IN ('refused', 'expired') AND told <> '' AND told_at IS NULL"
        " ORDER BY ended_at LIMIT ?",
        [tenant, limit],
    )
    return [_from_row(row) for row in rows]


def end_approval(tx: Tx, one: Approval, state: str, by: str) -> bool:
    """Move a request on from the state it was read in; False when somebody else did."""
    return (
        tx.run(
            "UPDATE approval SET state = ?, ended_at = ?, ended_by = ? WHERE id = ? AND tenant = ? AND state = ?",
            [state, tx.now_ms(), by, one.id, one.tenant, one.state],
        )
        == 1
    )


def mark_told(tx: Tx, one: Approval) -> bool:
    """Note that the sender hears of the end; False when that was noted before."""
    sql = "UPDATE approval SET told_at = ? WHERE id = ? AND tenant = ? AND told_at IS NULL"
    return tx.run(sql, [tx.now_ms(), one.id, one.tenant]) == 1


def add_vote(tx: Tx, one: Approval, actor: str) -> bool:
    """Note that somebody agrees; False when he did before."""
    sql = insert_sql("approval_vote", ("approval", "actor", "tenant", "at"), ignore_conflicts=True)
    return tx.run(sql, [one.id, actor, one.tenant, tx.now_ms()]) == 1


def votes_of(tx: Tx, one: Approval) -> list[str]:
    """Return who has agreed, in order."""
    rows = tx.fetch_all(
        "SELECT actor FROM approval_vote WHERE approval = ? AND tenant = ? ORDER BY at, actor", [one.id, one.tenant]
    )
    return [str(row[0]) for row in rows]


def forget_approvals(tx: Tx, tenant: str, before_ms: int) -> int:
    """Delete requests that ended before a time; the events tell of them. Return how many."""
    ended = "state <> 'waiting' AND ended_at < ? AND tenant = ?"
    tx.run(f"DELETE FROM approval_vote WHERE approval IN (SELECT id FROM approval WHERE {ended})", [before_ms, tenant])  # noqa: S608
    return tx.run(f"DELETE FROM approval WHERE {ended}", [before_ms, tenant])  # noqa: S608
