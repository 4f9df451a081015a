"""Links by which a partner chooses a password before mail leaves: one open at a time for a partner (sealed-mailbox 12).

The secret T of a link lies here as keyd sealed it. Who waits for a link is no row of its own: all copies to the partner
that stand in `awaiting_registration`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.core.ports import SealedBlob
from relay.store.base import Row, Tx, insert_sql
from relay.store.errors import NotFoundError

OPEN = "open"
TAKEN = "taken"
REFUSED = "refused"
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ParkedMail:
    """A mail of ours with the link, sealed in the spool, that has not left yet."""

    due_at: int
    """Milliseconds; 0 for the notice, which waits until the portal knows the link."""
    message_id: str


@dataclass(frozen=True, slots=True)
class StoredJoin:
    """One link. Times in milliseconds."""

    id: str
    tenant: str
    partner_id: str
    sender: str
    """Normal address of the inside sender whose mail caused it; the partner's notice names him."""
    sender_name: str
    state: str
    """`open`, `taken`, `refused` (another link took its place), `expired`."""
    want: str
    """`mailbox` or `pdf` once taken, else ""."""
    secret: SealedBlob = field(repr=False)
    mails: tuple[ParkedMail, ...]
    """Those that still wait: the notice, then the reminders."""
    reminders: int
    renewed: int
    began_at: int
    created_at: int
    expires_at: int
    ended_at: int | None = None


_COLUMNS = (
    "id",
    "tenant",
    "partner_id",
    "sender",
    "sender_name",
    "state",
    "want",
    "key_id",
    "mechanism",
    "format",
    "data",
    "mails",
    "reminders",
    "renewed",
    "began_at",
    "created_at",
    "expires_at",
    "ended_at",
)
_INSERT = insert_sql("mailbox_join", _COLUMNS, ignore_conflicts=True)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM mailbox_join "  # noqa: S608 - our own column names
_CHANGEABLE = frozenset({"state", "want", "mails", "reminders", "ended_at"})


def _from_row(row: Row) -> StoredJoin:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["secret"] = SealedBlob(
        key_id=values.pop("key_id"),
        mechanism=values.pop("mechanism"),
        format=values.pop("format"),
        data=bytes(values.pop("data")),
    )
    values["mails"] = tuple(ParkedMail(int(due), str(one)) for due, one in json.loads(values["mails"]))
    return StoredJoin(**values)


def _write_mails(mails: Sequence[ParkedMail]) -> str:
    return json.dumps([[one.due_at, one.message_id] for one in mails])


def _locking(tx: Tx, lock: bool) -> str:
    return " FOR UPDATE" if lock and tx.is_postgresql else ""


def add_join(tx: Tx, join: StoredJoin) -> bool:
    """Store a new link; False when the partner has an open one: use that."""
    secret = join.secret
    values = {name: getattr(join, name) for name in _COLUMNS if hasattr(join, name)}
    values |= {"key_id": secret.key_id, "mechanism": secret.mechanism, "format": secret.format, "data": secret.data}
    values["mails"] = _write_mails(join.mails)
    return tx.run(_INSERT, [values[name] for name in _COLUMNS]) == 1


def get_join(tx: Tx, tenant: str, join_id: str, *, lock: bool = False) -> StoredJoin:
    """Return a link; with `lock` nobody else changes it before this transaction ends. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + f"WHERE tenant = ? AND id = ?{_locking(tx, lock)}", [tenant, join_id])
    if row is None:
        raise NotFoundError("there is no such registration link")
    return _from_row(row)


def find_open_join(tx: Tx, tenant: str, partner_id: str, *, lock: bool = False) -> StoredJoin | None:
    """Return the partner's open link, if there is one."""
    row = tx.fetch_one(
        _SELECT + f"WHERE tenant = ? AND partner_id = ? AND state = 'open'{_locking(tx, lock)}", [tenant, partner_id]
    )
    return None if row is None else _from_row(row)


def open_joins(tx: Tx, tenant: str, *, page: int = 500) -> Iterator[StoredJoin]:
    """Yield all open links by id."""
    after = ""
    while True:
        rows = tx.fetch_all(
            _SELECT + "WHERE tenant = ? AND state = 'open' AND id > ? ORDER BY id LIMIT ?", [tenant, after, page]
        )
        yield from map(_from_row, rows)
        if len(rows) < page:
            return
        after = rows[-1][0]


def change_join(tx: Tx, join: StoredJoin, changes: Mapping[str, Any]) -> None:
    """Write the named columns; the caller holds the row. Raises KeyError for a column that never changes."""
    if unknown := set(changes) - _CHANGEABLE:
        raise KeyError(", ".join(sorted(unknown)))
    values = [_write_mails(value) if name == "mails" else value for name, value in changes.items()]
    names = ", ".join(f"{name} = ?" for name in changes)
    tx.run(f"UPDATE mailbox_join SET {names} WHERE tenant = ? AND id = ?", [*values, join.tenant, join.id])  # noqa: S608


def forget_joins(tx: Tx, tenant: str, before_ms: int) -> int:
    """Delete links that ended before a time; return how many."""
    return tx.run("DELETE FROM mailbox_join WHERE tenant = ? AND state <> 'open' AND ended_at < ?", [tenant, before_ms])
