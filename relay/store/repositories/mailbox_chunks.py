"""Sealed chunks of messages in boxes: written once, ahead of the commit that makes their message exist."""

from __future__ import annotations

from collections.abc import Sequence

from relay.store.base import Tx, insert_sql
from relay.store.errors import NotFoundError

_INSERT = insert_sql("mailbox_chunk", ("box", "id", "i", "n", "tenant", "data"))


def add_chunks(tx: Tx, tenant: str, box_id: str, message_id: str, chunks: Sequence[tuple[int, int, bytes]]) -> None:
    """Store sealed chunks: part number, chunk number, octets. Raises ConflictError for one that is there."""
    tx.run_many(_INSERT, [(box_id, message_id, i, n, tenant, data) for i, n, data in chunks])


def read_chunk(tx: Tx, tenant: str, box_id: str, message_id: str, place: tuple[int, int]) -> bytes:
    """Return one sealed chunk; `place`: part and chunk number. Raises NotFoundError."""
    row = tx.fetch_one(
        "SELECT data FROM mailbox_chunk WHERE box = ? AND id = ? AND i = ? AND n = ? AND tenant = ?",
        [box_id, message_id, *place, tenant],
    )
    if row is None:
        raise NotFoundError(f"mailbox {box_id}: message {message_id} has no chunk {place}")
    return bytes(row[0])


def list_chunks(tx: Tx, tenant: str, box_id: str, message_id: str) -> list[tuple[int, int]]:
    """Return part and chunk numbers of a message, in order."""
    rows = tx.fetch_all(
        "SELECT i, n FROM mailbox_chunk WHERE box = ? AND id = ? AND tenant = ? ORDER BY i, n",
        [box_id, message_id, tenant],
    )
    return [(int(row[0]), int(row[1])) for row in rows]


def sweep_chunks(tx: Tx, tenant: str, box_id: str, message_id: str) -> int:
    """Delete chunks that no message came to need; return how many."""
    return tx.run(
        "DELETE FROM mailbox_chunk WHERE box = ? AND id = ? AND tenant = ? AND NOT EXISTS"
        " (SELECT 1 FROM mailbox_message m WHERE m.box = mailbox_chunk.box AND m.id = mailbox_chunk.id)",
        [box_id, message_id, tenant],
    )
