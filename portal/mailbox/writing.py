"""Drafts by compare-and-swap, chunks once and for all, sending in one transaction (sealed-mailbox 9, 10, 14).

Everything here happens under the box row's lock, and only while mail may be given out: not under a first password, nor
where a new one is due. Sending alone also waits while the relay has frozen the box for a reset, and before a restored
portal was reconciled: then drafts and chunks are still kept, since they reach nobody but their own reader.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, update

from portal.context import Portal
from portal.security.errors import ApiError
from portal.store.boxes import BoxRow, is_reconciling, lock_box
from portal.store.chunks import (
    SEAL_OCTETS,
    ChunkName,
    add_chunk,
    drop_chunks,
    find_chunk_digest,
    list_chunks,
    list_missing,
    measure,
)
from portal.store.drafts import DRAFT, MAX_DRAFTS, DraftRow, drop_draft, find_draft, list_drafts, put_draft
from portal.store.messages import drop_message, find_message, mark_seen
from portal.store.models import box as box_table
from portal.store.outbox import OUTBOX, SENT, Entry, Parts, append_entry, find_entry
from relay.core.clock import HOUR
from relay.core.wire.pae import encode_b64

ITEMS_PER_HOUR = 200
KINDS = ("reply", "read", "deleted", "damaged", "close")
_SPARE = 2
"""A part that begins anew after a reload is uploaded under another number while the first lies there."""


@dataclass(frozen=True, slots=True)
class Item:
    """What the browser sends. `kind` and `re` are for our own book-keeping; the relay trusts the sealed ones alone."""

    id: str
    gen: int
    card: int
    sealed: bytes
    own: bytes | None
    parts: Parts
    kind: str
    re: str | None

    def digest(self) -> bytes:
        """Return what tells two items under one id apart."""
        fields: list[Any] = [self.gen, self.card, encode_b64(self.sealed), self.own and encode_b64(self.own)]
        fields += [[list(part) for part in self.parts], self.kind, self.re]
        return hashlib.sha256(json.dumps(fields).encode()).digest()


def lock_for_writing(connection: Connection, box_id: str, *, by_server: bool = False) -> BoxRow:
    """Lock a box that may be written; `by_server`: in server mode. Raises ApiError."""
    row = lock_box(connection, box_id)
    if row is None or not (row.may_read_by_server if by_server else row.may_read):
        raise ApiError(401, "signed-out")
    return row


# --- drafts -----------------------------------------------------------------------------------------------------------


def all_drafts(portal: Portal, box: BoxRow) -> list[dict[str, Any]]:
    """Return every draft of a box."""
    with portal.store.main.read() as connection:
        rows = list_drafts(connection, box.id)
    keys = portal.store.rows.find(row.sealed.row_key for row in rows)
    found = ((row, portal.store.rows.open_with(keys, DRAFT, box.id, row.id, row.sealed)) for row in rows)
    return [{"id": row.id, "rev": row.rev, "sealed": encode_b64(sealed)} for row, sealed in found if sealed is not None]


def one_draft(portal: Portal, box: BoxRow, draft_id: str) -> dict[str, Any]:
    """Return a draft and which chunks are here; one of which only chunks are here has rev 0. Raises ApiError 404."""
    with portal.store.main.read() as connection:
        row = find_draft(connection, box.id, draft_id)
        here = list_chunks(connection, box.id, "up", draft_id)
    sealed = portal.store.rows.open(DRAFT, box.id, draft_id, row.sealed) if row is not None else None
    if sealed is None and not here:
        raise ApiError(404, "unknown")
    return {
        "id": draft_id,
        "rev": row.rev if row is not None and sealed is not None else 0,
        "sealed": encode_b64(sealed) if sealed is not None else None,
        "parts": [{"i": i, "chunks": chunks} for i, chunks in here.items()],
    }


def save_draft(portal: Portal, box: BoxRow, draft_id: str, rev: int, sealed: bytes) -> int:
    """Replace revision `rev` (0: none yet) and return the new one. Raises ApiError 409 changed, 507 quota."""
    row = portal.store.rows.seal(DRAFT, box.id, draft_id, sealed)
    refusal: ApiError | None = None
    old: str | None = None
    with portal.store.main.write() as connection:
        locked = lock_for_writing(connection, box.id)
        stored = find_draft(connection, box.id, draft_id)
        current = stored.rev if stored else 0
        more = len(row.sealed) - (len(stored.sealed.sealed) if stored else 0)
        if find_entry(connection, box.id, draft_id) is not None or current != rev:
            refusal = ApiError(409, "changed", rev=current)
        elif stored is None and len(list_drafts(connection, box.id)) >= MAX_DRAFTS:
            refusal = ApiError(507, "quota")
        elif more > 0 and locked.used + more > portal.settings.limits.box:
            # A full mailbox still takes a draft that does not grow.
            refusal = ApiError(507, "quota")
        else:
            put_draft(connection, box.id, DraftRow(draft_id, rev + 1, row), portal.clock.now_ms())
            old = stored.sealed.row_key if stored else None
    if refusal is None:
        portal.store.rows.shred([old])
        return rev + 1
    # The answer to the very same draft may have been lost.
    is_same = (
        stored is not None
        and current == rev + 1
        and portal.store.rows.open(DRAFT, box.id, draft_id, stored.sealed) == sealed
    )
    portal.store.rows.shred([row.row_key])
    if is_same:
        return current
    raise refusal


def delete_draft(portal: Portal, box: BoxRow, draft_id: str, *, by_server: bool = False) -> None:
    """Delete a draft and its chunks; what was sent stays."""
    with portal.store.main.write() as connection:
        lock_for_writing(connection, box.id, by_server=by_server)
        old = drop_draft(connection, box.id, draft_id)
        if find_entry(connection, box.id, draft_id) is None:
            drop_chunks(connection, box.id, "up", draft_id)
    portal.store.rows.shred([old])


def save_chunk(portal: Portal, box: BoxRow, name: ChunkName, data: bytes, *, by_server: bool = False) -> int:
    """Store a chunk: 201 new, 200 here already. Raises ApiError 409 other octets, 413, 507 quota."""
    digest = hashlib.sha256(data).digest()
    limits = portal.settings.limits
    with portal.store.main.write() as connection:
        row = lock_for_writing(connection, box.id, by_server=by_server)
        stored = find_chunk_digest(connection, name)
        if stored is not None:
            if stored != digest:
                raise ApiError(409, "changed")
            return 200
        if find_entry(connection, box.id, name.id) is not None:
            # It was sent: its parts are what they are.
            raise ApiError(409, "changed")
        if measure(connection, box.id, "up", name.id) + len(data) > _SPARE * limits.message:
            raise ApiError(413, "size")
        if row.used + len(data) > limits.box:
            raise ApiError(507, "quota")
        add_chunk(connection, name, data, portal.clock.now_ms())
    return 201


# --- sending ----------------------------------------------------------------------------------------------------------


def send_item(portal: Portal, box: BoxRow, item: Item, *, by_server: bool = False) -> tuple[int, int]:
    """Append an item; return status (201 new, 200 again) and seq. Raises ApiError 409, 429, 503."""
    digest = item.digest()
    values = [(OUTBOX, box.id, item.id, item.sealed)]
    if item.own is not None:
        values.append((SENT, box.id, item.id, item.own))
    rows = portal.store.rows.seal_all(values)
    entry = Entry("item", item.id, item.gen, item.card, rows[0], rows[1] if len(rows) > 1 else None, item.parts, digest)
    with portal.store.main.write() as connection:
        outcome = _append(portal, connection, box.id, item, entry, by_server=by_server)
    if isinstance(outcome, ApiError):
        portal.store.rows.shred(row.row_key for row in rows)
        raise outcome
    status, seq, shredded = outcome
    portal.store.rows.shred(shredded if status == 201 else [row.row_key for row in rows])
    return status, seq


def _append(
    portal: Portal, connection: Connection, box_id: str, item: Item, entry: Entry, *, by_server: bool
) -> ApiError | tuple[int, int, list[str | None]]:
    row = lock_for_writing(connection, box_id, by_server=by_server)
    stored = find_entry(connection, box_id, item.id)
    if stored is not None:
        return (200, stored.seq, []) if stored.digest == entry.digest else ApiError(409, "changed")
    if row.is_frozen or is_reconciling(connection):
        return ApiError(503, "reconciling")
    if row.gen != item.gen:
        return ApiError(409, "generation")
    missing = list_missing(connection, box_id, "up", item.id, item.parts)
    if missing:
        return ApiError(409, "missing", missing=missing)
    most = portal.settings.limits.message + SEAL_OCTETS * sum(count for _, count in item.parts)
    if measure(connection, box_id, "up", item.id, item.parts) > most:
        return ApiError(413, "size")
    now = portal.clock.now_ms()
    hour = now // HOUR
    count = connection.execute(
        update(box_table)
        .where(box_table.c.id == box_id)
        .values(hour=hour, hour_items=_next_count(hour))
        .returning(box_table.c.hour_items)
    ).scalar_one()
    if count > ITEMS_PER_HOUR:
        return ApiError(429, "wait", seconds=(HOUR - now % HOUR) // 1000 + 1)
    seq = append_entry(connection, row, entry, now)
    shredded: list[str | None] = [drop_draft(connection, box_id, item.id)]
    drop_chunks(connection, box_id, "up", item.id, keep=item.parts)
    if item.re is not None and item.kind == "read":
        mark_seen(connection, box_id, item.re)
    if item.re is not None and item.kind == "deleted" and find_message(connection, box_id, item.re) is not None:
        shredded.append(drop_message(connection, box_id, item.re))
    return 201, seq, shredded


def _next_count(hour: int) -> Any:
    return case((box_table.c.hour == hour, box_table.c.hour_items + 1), else_=1)
