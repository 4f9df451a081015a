"""Codes that open a reply box instead of the PDF's password, sealed by keyd (sealed-mailbox 12)."""

from __future__ import annotations

from relay.core.ports import SealedBlob
from relay.store.base import Tx, insert_sql

_INSERT = insert_sql("reply_code", ("box", "tenant", "key_id", "mechanism", "format", "data"))


def add_reply_code(tx: Tx, tenant: str, box_id: str, blob: SealedBlob) -> None:
    """Store the code of a new box."""
    tx.run(_INSERT, [box_id, tenant, blob.key_id, blob.mechanism, blob.format, blob.data])


def find_reply_code(tx: Tx, tenant: str, box_id: str) -> SealedBlob | None:
    """Return a box's sealed code, None where the PDF's password opens it."""
    row = tx.fetch_one(
        "SELECT key_id, mechanism, format, data FROM reply_code WHERE tenant = ? AND box = ?", [tenant, box_id]
    )
    if row is None:
        return None
    return SealedBlob(key_id=row[0], mechanism=row[1], format=int(row[2]), data=bytes(row[3]))


def forget_reply_code(tx: Tx, tenant: str, box_id: str) -> None:
    """Destroy the code of a box that is closed."""
    tx.run("DELETE FROM reply_code WHERE tenant = ? AND box = ?", [tenant, box_id])
