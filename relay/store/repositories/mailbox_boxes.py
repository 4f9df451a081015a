"""Boxes: one mailbox a partner, one reply box a PDF password. States and their steps: relay.mailbox.boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.store.base import Row, Tx, insert_sql
from relay.store.errors import NotFoundError

MAILBOX = "mailbox"
REPLY = "reply"
_FLAGS = ("code_needed", "must_change", "coded")


@dataclass(frozen=True, slots=True)
class Box:
    """One row of `mailbox`. Times in milliseconds. Field order is the column order."""

    id: str
    tenant: str
    kind: str
    """`mailbox` or `reply`."""
    partner_id: str
    login_name: str | None
    """None for a reply box."""
    state: str
    """`first`, `active`, `expired`, `closed`."""
    gen: int
    """The newest generation that the relay made or accepted."""
    form: str | None
    """Of a reply box's password: `b32`, `digits`, `words`."""
    password_id: str | None
    created_at: int
    first_expires_at: int | None = None
    first_sender: str = ""
    """Normal address of the inside sender who is told the present first password."""
    opened_at: int | None = None
    """When the recipient's first own password came in."""
    next_no: int = 1
    last_notice_at: int | None = None
    code_needed: bool = False
    lang: str = ""
    must_change: bool = False
    closed_at: int | None = None
    coded: bool = False
    """Of a reply box: a printed code opens it, the PDF's password does not."""


_COLUMNS = tuple(Box.__dataclass_fields__)
_INSERT = insert_sql("mailbox", _COLUMNS)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM mailbox "  # noqa: S608 - our own column names
_CHANGEABLE = frozenset(_COLUMNS) - {"id", "tenant", "kind", "partner_id", "created_at", "coded"}


def _from_row(row: Row) -> Box:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in _FLAGS:
        values[name] = bool(values[name])
    return Box(**values)


def add_box(tx: Tx, box: Box) -> bool:
    """Insert a box; False when the partner has an open mailbox, or the password a box, already: read that one."""
    sql = f"{_INSERT} ON CONFLICT DO NOTHING"
    return tx.run(sql, [getattr(box, name) for name in _COLUMNS]) == 1


def get_box(tx: Tx, tenant: str, box_id: str, *, lock: bool = False) -> Box:
    """Return a box; with `lock` nobody else changes it before this transaction ends. Raises NotFoundError."""
    locking = " FOR NO KEY UPDATE" if lock and tx.is_postgresql else ""
    row = tx.fetch_one(f"{_SELECT} WHERE tenant = ? AND id = ?{locking}", [tenant, box_id])
    if row is None:
        raise NotFoundError(f"mailbox {box_id}: there is none")
    return _from_row(row)


def find_open_mailbox(tx: Tx, tenant: str, partner_id: str) -> Box | None:
    """Return the partner's mailbox that is not closed."""
    row = tx.fetch_one(
        _SELECT + "WHERE tenant = ? AND partner_id = ? AND kind = 'mailbox' AND state <> 'closed'", [tenant, partner_id]
    )
    return None if row is None else _from_row(row)


def find_reply_boxes(tx: Tx, tenant: str, password_id: str) -> list[Box]:
    """Return the reply boxes of a PDF password, closed or not: one that it opens, one that a code opens, or both."""
    rows = tx.fetch_all(_SELECT + "WHERE tenant = ? AND password_id = ? ORDER BY coded", [tenant, password_id])
    return [_from_row(row) for row in rows]


def boxes_of_partner(tx: Tx, tenant: str, partner_id: str) -> list[Box]:
    """Return all boxes of a partner, newest first."""
    rows = tx.fetch_all(
        _SELECT + "WHERE tenant = ? AND partner_id = ? ORDER BY created_at DESC, id", [tenant, partner_id]
    )
    return [_from_row(row) for row in rows]


def list_boxes(
    tx: Tx, tenant: str, *, kind: str | None = None, state: str | None = None, after: str = "", limit: int = 100
) -> list[Box]:
    """Return boxes by id, from the one behind `after` on."""
    sql, parameters = _SELECT + "WHERE tenant = ? AND id > ?", [tenant, after]
    for name, value in (("kind", kind), ("state", state)):
        if value is not None:
            sql += f" AND {name} = ?"
            parameters.append(value)
    rows = tx.fetch_all(f"{sql} ORDER BY id LIMIT ?", [*parameters, limit])
    return [_from_row(row) for row in rows]


def change_box(tx: Tx, box: Box, changes: Mapping[str, Any]) -> None:
    """Write the named columns. Raises NotFoundError; KeyError for a column that never changes."""
    if unknown := set(changes) - _CHANGEABLE:
        raise KeyError(", ".join(sorted(unknown)))
    names = ", ".join(f"{name} = ?" for name in changes)
    sql = f"UPDATE mailbox SET {names} WHERE tenant = ? AND id = ?"  # noqa: S608 - checked names
    if not tx.run(sql, [*changes.values(), box.tenant, box.id]):
        raise NotFoundError(f"mailbox {box.id}: there is none")


def take_number(tx: Tx, tenant: str, box_id: str) -> int:
    """Return the number of the box's next message and count on; locks the box. Raises NotFoundError."""
    row = tx.fetch_one(
        "UPDATE mailbox SET next_no = next_no + 1 WHERE tenant = ? AND id = ? RETURNING next_no - 1", [tenant, box_id]
    )
    if row is None:
        raise NotFoundError(f"mailbox {box_id}: there is none")
    return int(row[0])


def note_notice(tx: Tx, tenant: str, box_id: str, before_ms: int) -> bool:
    """Count a notice as sent now, unless one was sent since `before_ms`; tell whether it may be sent."""
    return (
        tx.run(
            "UPDATE mailbox SET last_notice_at = ? WHERE tenant = ? AND id = ?"
            " AND (last_notice_at IS NULL OR last_notice_at < ?)",
            [tx.now_ms(), tenant, box_id, before_ms],
        )
        == 1
    )


def boxes_to_expire(tx: Tx, tenant: str, now_ms: int, limit: int = 100) -> list[Box]:
    """Return mailboxes whose first password is older than its time."""
    rows = tx.fetch_all(
        _SELECT + "WHERE tenant = ? AND kind = 'mailbox' AND state = 'first' AND first_expires_at <= ?"
        " ORDER BY first_expires_at LIMIT ?",
        [tenant, now_ms, limit],
    )
    return [_from_row(row) for row in rows]


def unconfirmed_mailboxes(tx: Tx, tenant: str, until_ms: int, limit: int = 100) -> list[Box]:
    """Return mailboxes in use whose reader made the newest keys and has no word of ours on them after `until_ms`."""
    rows = tx.fetch_all(
        _SELECT  # noqa: S608 - our own column names
        + "WHERE tenant = ? AND kind = 'mailbox' AND state = 'active'"
        " AND EXISTS (SELECT 1 FROM mailbox_generation g WHERE g.box = mailbox.id AND g.gen = mailbox.gen"
        " AND g.made_by = 'browser')"
        " AND NOT EXISTS (SELECT 1 FROM mailbox_message m WHERE m.box = mailbox.id AND m.gen = mailbox.gen"
        " AND m.kind = 'account' AND m.deleted_at IS NULL AND m.expires_at > ?) ORDER BY id LIMIT ?",
        [tenant, until_ms, limit],
    )
    return [_from_row(row) for row in rows]


def idle_reply_boxes(tx: Tx, tenant: str, before_ms: int, limit: int = 100) -> list[Box]:
    """Return open reply boxes made before a time that no PDF in force leads to: no ticket kept, no password in use."""
    rows = tx.fetch_all(
        _SELECT  # noqa: S608 - our own column names
        + "WHERE tenant = ? AND kind = 'reply' AND state <> 'closed' AND created_at < ?"
        " AND NOT EXISTS (SELECT 1 FROM mailbox_message m WHERE m.box = mailbox.id AND m.deleted_at IS NULL"
        " AND m.kind = 'ticket')"
        " AND NOT EXISTS (SELECT 1 FROM pair_password w WHERE w.id = mailbox.password_id AND w.kind = 'pair'"
        " AND w.retired_at IS NULL) ORDER BY created_at LIMIT ?",
        [tenant, before_ms, limit],
    )
    return [_from_row(row) for row in rows]
