"""What came in from boxes: entries seen before, and those refused (sealed-mailbox 16)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.ids import new_id
from relay.store.base import Row, Tx, insert_sql
from relay.store.errors import NotFoundError

_SEEN = insert_sql("mailbox_seen", ("box", "outer_id", "tenant", "kind", "result", "at"), ignore_conflicts=True)
_COLUMNS = ("id", "tenant", "box", "outer_id", "kind", "code", "data", "at")
_REFUSED = insert_sql("mailbox_quarantine", _COLUMNS)


@dataclass(frozen=True, slots=True)
class QuarantinedEntry:
    """A refused entry as it came. Field order is the column order."""

    id: str
    tenant: str
    box: str
    outer_id: str
    kind: str
    code: str
    """One of sealed-mailbox 17."""
    data: bytes
    at: int


def _from_row(row: Row) -> QuarantinedEntry:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["data"] = bytes(values["data"])
    return QuarantinedEntry(**values)


def find_seen(tx: Tx, tenant: str, box_id: str, outer_id: str) -> str | None:
    """Return how an entry ended that was seen before (`taken`, `refused`), None for a new one."""
    row = tx.fetch_one(
        "SELECT result FROM mailbox_seen WHERE box = ? AND outer_id = ? AND tenant = ?", [box_id, outer_id, tenant]
    )
    return None if row is None else str(row[0])


def note_entry(tx: Tx, tenant: str, box_id: str, outer_id: str, *, kind: str, result: str) -> bool:
    """Note an entry with its result; False when it was noted before. In the commit that does what it says."""
    return tx.run(_SEEN, [box_id, outer_id, tenant, kind, result, tx.now_ms()]) == 1


def quarantine_entry(tx: Tx, tenant: str, box_id: str, outer_id: str, *, kind: str, code: str, data: bytes) -> str:
    """Keep a refused entry; return its id."""
    entry_id = new_id()
    tx.run(_REFUSED, [entry_id, tenant, box_id, outer_id, kind, code, data, tx.now_ms()])
    return entry_id


def list_quarantine(tx: Tx, tenant: str, *, limit: int = 100) -> list[QuarantinedEntry]:
    """Return refused entries, newest first."""
    rows = tx.fetch_all(
        f"SELECT {', '.join(_COLUMNS)} FROM mailbox_quarantine WHERE tenant = ? ORDER BY at DESC, id LIMIT ?",  # noqa: S608
        [tenant, limit],
    )
    return [_from_row(row) for row in rows]


def get_quarantined(tx: Tx, tenant: str, entry_id: str) -> QuarantinedEntry:
    """Return one refused entry. Raises NotFoundError."""
    row = tx.fetch_one(
        f"SELECT {', '.join(_COLUMNS)} FROM mailbox_quarantine WHERE tenant = ? AND id = ?",  # noqa: S608
        [tenant, entry_id],
    )
    if row is None:
        raise NotFoundError(f"refused entry {entry_id}: there is none")
    return _from_row(row)


def forget_entries(tx: Tx, tenant: str, box_id: str) -> int:
    """Forget what was seen of a closed box and what of it was refused; return how many entries were seen."""
    tx.run("DELETE FROM mailbox_quarantine WHERE box = ? AND tenant = ?", [box_id, tenant])
    return tx.run("DELETE FROM mailbox_seen WHERE box = ? AND tenant = ?", [box_id, tenant])
