"""Variants: the other forms of a message's content."""

from __future__ import annotations

from dataclasses import dataclass

from relay.store.base import Tx
from relay.store.errors import NotFoundError

ORIGINAL = 0


@dataclass(frozen=True, slots=True)
class StoredVariant:
    """One form of a message. Number 0, the mail as received, has no row and is derived from the message."""

    message_id: str
    number: int
    kind: str
    reverse_path: str
    """The one to deliver this variant with."""
    size: int
    """Octets altogether, the part taken from the original included."""
    body_offset: int | None


def get_variant(tx: Tx, message_id: str, number: int) -> StoredVariant:
    """Return a variant. Raises NotFoundError."""
    if number == ORIGINAL:
        row = tx.fetch_one("SELECT reverse_path, size FROM message WHERE id = ?", [message_id])
        if row is not None:
            return StoredVariant(message_id, ORIGINAL, "original", row[0], int(row[1]), None)
    else:
        row = tx.fetch_one(
            "SELECT kind, reverse_path, size, body_offset FROM variant WHERE message_id = ? AND number = ?",
            [message_id, number],
        )
        if row is not None:
            return StoredVariant(message_id, number, row[0], row[1], int(row[2]), row[3])
    raise NotFoundError(f"message {message_id}: no variant {number}")


def variants_of(tx: Tx, message_id: str) -> list[StoredVariant]:
    """Return the variants of a message, without the original."""
    rows = tx.fetch_all(
        "SELECT message_id, number, kind, reverse_path, size, body_offset FROM variant"
        " WHERE message_id = ? ORDER BY number",
        [message_id],
    )
    return [StoredVariant(*row) for row in rows]
