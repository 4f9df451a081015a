"""The outbox: items, rekeys and registrations for the relay, one ordered stream a box (sealed-mailbox 14, 15).

An entry is appended under its box row's lock, so that positions rise with seq within a box. It stays until the relay
acknowledges it; acknowledged ones are kept for Sent and for being offered again after a theft of the link's key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, text, update

from portal.store.boxes import BoxRow
from portal.store.models import box, lease, outbox
from portal.store.rowkeys import SealedRow
from relay.core.clock import MINUTE

OUTBOX = "outbox"
SENT = "sent"
LEASE = 2 * MINUTE
_PER_BOX = 20

_TAKE_LEASE = text(
    "INSERT INTO lease (box, puller, until, offered) VALUES (:box, :puller, :until, :offered) "
    "ON CONFLICT (box) DO UPDATE SET puller = excluded.puller, until = excluded.until, offered = excluded.offered "
    "WHERE lease.until <= :now OR lease.puller = excluded.puller RETURNING box"
)

Parts = Sequence[tuple[int, int]]
"""Part numbers, each with its count of chunks."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is appended; sealed values already sealed for the row."""

    kind: str
    id: str
    gen: int
    card: int
    sealed: SealedRow
    own: SealedRow | None
    parts: Parts
    digest: bytes


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as stored."""

    position: int
    box: str
    seq: int
    kind: str
    id: str
    gen: int
    card: int
    sealed: SealedRow
    own: SealedRow | None
    parts: Parts
    digest: bytes
    state: str
    at: int


@dataclass(frozen=True, slots=True)
class EntryHead:
    """What tells whether an entry is there already. Without what was sealed: the web process cannot read that."""

    kind: str
    seq: int
    digest: bytes
    at: int


@dataclass(frozen=True, slots=True)
class SentEntry:
    """What Sent shows of an entry."""

    id: str
    seq: int
    gen: int
    card: int
    own: SealedRow
    parts: Parts
    state: str
    at: int
    acked: int | None


def encode_parts(parts: Parts) -> str:
    """Return parts as they stand in a column."""
    return json.dumps([[i, chunks] for i, chunks in parts], separators=(",", ":"))


def decode_parts(column: str) -> Parts:
    """Return parts from a column."""
    return [(i, chunks) for i, chunks in json.loads(column)]


def show_parts(parts: Parts) -> list[dict[str, int]]:
    """Return parts as both APIs write them."""
    return [{"i": i, "chunks": chunks} for i, chunks in parts]


def _to_entry(row: Row[Any]) -> StoredEntry:
    own = SealedRow(row.self_row_key, bytes(row.self_sealed)) if row.self_sealed is not None else None
    return StoredEntry(
        row.position,
        row.box,
        row.seq,
        row.kind,
        row.id,
        row.gen,
        row.card,
        SealedRow(row.row_key, bytes(row.sealed)),
        own,
        decode_parts(row.parts),
        bytes(row.digest),
        row.state,
        row.at,
    )


def append_entry(connection: Connection, locked: BoxRow, entry: Entry, now: int) -> int:
    """Append to a box whose row this transaction has locked; return its seq."""
    seq = locked.next_seq
    connection.execute(
        insert(outbox),
        {
            "box": locked.id,
            "seq": seq,
            "kind": entry.kind,
            "id": entry.id,
            "gen": entry.gen,
            "card": entry.card,
            "row_key": entry.sealed.row_key,
            "sealed": entry.sealed.sealed,
            "self_row_key": entry.own.row_key if entry.own else None,
            "self_sealed": entry.own.sealed if entry.own else None,
            "parts": encode_parts(entry.parts),
            "digest": entry.digest,
            "state": "waiting",
            "at": now,
        },
    )
    connection.execute(update(box).where(box.c.id == locked.id).values(next_seq=seq + 1))
    return seq


def find_entry(connection: Connection, box_id: str, entry_id: str) -> EntryHead | None:
    """Return what is known of one entry, or None."""
    columns = (outbox.c.kind, outbox.c.seq, outbox.c.digest, outbox.c.at)
    row = connection.execute(select(*columns).where(outbox.c.box == box_id, outbox.c.id == entry_id)).one_or_none()
    return EntryHead(row.kind, row.seq, bytes(row.digest), row.at) if row is not None else None


def has_waiting(connection: Connection, puller: str, now: int) -> bool:
    """Tell whether anything waits for this puller."""
    query = select(outbox.c.position).outerjoin(lease, lease.c.box == outbox.c.box)
    return connection.execute(query.where(*_is_free(puller, now)).limit(1)).first() is not None


def _is_free(puller: str, now: int) -> tuple[ColumnElement[bool], ...]:
    return (
        outbox.c.state == "waiting",
        or_(lease.c.box.is_(None), lease.c.until <= now, lease.c.puller == puller),
    )


def lease_entries(connection: Connection, puller: str, limit: int, now: int) -> list[StoredEntry]:
    """Return waiting entries, within a box by seq, and lease their boxes to this puller.

    Boxes that were handed out longest ago come first, so that one whose entries the relay cannot take does not hold up
    the others; of one box at most 20 entries are given at a time.
    """
    first = func.min(outbox.c.position)
    query = (
        select(outbox.c.box)
        .outerjoin(lease, lease.c.box == outbox.c.box)
        .where(*_is_free(puller, now))
        .group_by(outbox.c.box, lease.c.offered)
        .order_by(func.coalesce(lease.c.offered, 0), first)
        .limit(limit)
    )
    found: list[StoredEntry] = []
    for box_id in connection.execute(query).scalars().all():
        room = min(limit - len(found), _PER_BOX)
        if room <= 0:
            break
        if not _take_lease(connection, box_id, puller, now):
            continue
        rows = connection.execute(
            select(outbox)
            .where(outbox.c.box == box_id, outbox.c.state == "waiting")
            .order_by(outbox.c.position)
            .limit(room)
        )
        found.extend(map(_to_entry, rows))
    return found


def _take_lease(connection: Connection, box_id: str, puller: str, now: int) -> bool:
    changed = connection.execute(
        _TAKE_LEASE, {"box": box_id, "puller": puller, "until": now + LEASE, "offered": now, "now": now}
    )
    return changed.first() is not None


def acknowledge(connection: Connection, box_id: str, entry_id: str, state: str, now: int) -> None:
    """Note what became of an entry; once nothing of its box waits, its lease ends. Again is the same."""
    connection.execute(
        update(outbox)
        .where(outbox.c.box == box_id, outbox.c.id == entry_id, outbox.c.state == "waiting")
        .values(state=state, acked=now)
    )
    still = select(outbox.c.position).where(outbox.c.box == box_id, outbox.c.state == "waiting").limit(1)
    if connection.execute(still).first() is None:
        connection.execute(delete(lease).where(lease.c.box == box_id))


def reoffer(connection: Connection, since: int) -> None:
    """Offer again what was acknowledged since then."""
    connection.execute(
        update(outbox).where(outbox.c.state != "waiting", outbox.c.acked >= since).values(state="waiting", acked=None)
    )


def list_sent(connection: Connection, box_id: str, before: int, limit: int) -> list[SentEntry]:
    """Return what Sent shows, newest first, below a seq."""
    named = (outbox.c.id, outbox.c.seq, outbox.c.gen, outbox.c.card, outbox.c.self_row_key, outbox.c.self_sealed)
    query = (
        select(*named, outbox.c.parts, outbox.c.state, outbox.c.at, outbox.c.acked)
        .where(outbox.c.box == box_id, outbox.c.self_sealed.is_not(None), outbox.c.seq < before)
        .order_by(outbox.c.seq.desc())
        .limit(limit)
    )
    return [
        SentEntry(
            row.id,
            row.seq,
            row.gen,
            row.card,
            SealedRow(row.self_row_key, bytes(row.self_sealed)),
            decode_parts(row.parts),
            row.state,
            row.at,
            row.acked,
        )
        for row in connection.execute(query)
    ]


def list_rekeys(connection: Connection, box_id: str, since: int) -> list[StoredEntry]:
    """Return the kept rekeys to generations above `since`, oldest first.

    One that waits is not among them: the relay takes it in its turn, behind the items that lie before it.
    """
    query = (
        select(outbox)
        .where(outbox.c.box == box_id, outbox.c.kind == "rekey", outbox.c.gen > since, outbox.c.state != "waiting")
        .order_by(outbox.c.seq)
    )
    return [_to_entry(row) for row in connection.execute(query)]
