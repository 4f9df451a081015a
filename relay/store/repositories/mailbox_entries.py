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
class SeenEntry:
    """An entry that was noted."""

    box: str
    outer_id: str
    at: int


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


def count_quarantine(tx: Tx, tenant: str, since_ms: int, most: int) -> int:
    """Return how many entries were refused since a time, counted up to `most`."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM mailbox_quarantine WHERE tenant = ? AND at >= ? LIMIT ?) newest"
    row = tx.fetch_one(sql, [tenant, since_ms, most])
    return 0 if row is None else int(row[0])


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


def entries_of_kind(tx: Tx, tenant: str, kind: str, until_ms: int, limit: int) -> list[SeenEntry]:
    """Return entries of one kind that were noted until a time, oldest first."""
    rows = tx.fetch_all(
        "SELECT box, outer_id, at FROM mailbox_seen WHERE tenant = ? AND kind = ? AND at <= ? ORDER BY at LIMIT ?",
        [tenant, kind, until_ms, limit],
    )
    return [SeenEntry(*row) for row in rows]


def forget_entry(tx: Tx, tenant: str, box_id: str, outer_id: str) -> bool:
    """Forget one entry; False when there is none."""
    sql = "DELETE FROM mailbox_seen WHERE box = ? AND outer_id = ? AND tenant = ?"
    return tx.run(sql, [box_id, outer_id, tenant]) == 1


def forget_seen(tx: Tx, tenant: str, before_ms: int, limit: int) -> int:
    """Forget up to `limit` entries noted before a time whose coming again changes nothing; return how many.

    Answers and rekeys stay while they could be taken again: until a newer generation was accepted.
    """
    return tx.run(
        "DELETE FROM mailbox_seen WHERE (box, outer_id) IN (SELECT s.box, s.outer_id FROM mailbox_seen s"
        " WHERE s.tenant = ? AND s.at < ? AND (s.kind NOT IN ('reply', 'rekey') OR EXISTS"
        " (SELECT 1 FROM mailbox b JOIN mailbox_generation g ON g.box = b.id AND g.gen = b.gen"
        " WHERE b.id = s.box AND g.accepted_at > s.at)) ORDER BY s.at LIMIT ?)",
        [tenant, before_ms, limit],
    )


def forget_quarantine(tx: Tx, tenant: str, before_ms: int, most: int, limit: int) -> int:
    """Forget up to `limit` refused entries that are older than a time or more than the newest `most`."""
    return tx.run(
        "DELETE FROM mailbox_quarantine WHERE id IN (SELECT id FROM mailbox_quarantine WHERE tenant = ? AND"
        " (at < ? OR id IN (SELECT id FROM mailbox_quarantine WHERE tenant = ? ORDER BY at DESC, id LIMIT ? OFFSET ?))"
        " LIMIT ?)",
        [tenant, before_ms, tenant, limit, most, limit],
    )


def forget_entries(tx: Tx, tenant: str, box_id: str) -> int:
    """Forget what was seen of a closed box and what of it was refused; return how many entries were seen."""
    tx.run("DELETE FROM mailbox_quarantine WHERE box = ? AND tenant = ?", [box_id, tenant])
    return tx.run("DELETE FROM mailbox_seen WHERE box = ? AND tenant = ?", [box_id, tenant])
