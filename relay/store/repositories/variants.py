"""Variants: the other forms of a message's content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.store.base import Tx
from relay.store.errors import NotFoundError
from relay.store.repositories.messages import StoredMessage

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


def original_of(message: StoredMessage) -> StoredVariant:
    """Return number 0, the mail as received."""
    return StoredVariant(message.id, ORIGINAL, "original", message.reverse_path, message.size, None)


def fetch_variants(tx: Tx, messages: Mapping[str, StoredMessage]) -> dict[tuple[str, int], StoredVariant]:
    """Return all variants of these messages, the originals too, by message id and number."""
    found = {(message.id, ORIGINAL): original_of(message) for message in messages.values()}
    if messages:
        marks = ", ".join("?" * len(messages))
        rows = tx.fetch_all(
            "SELECT message_id, number, kind, reverse_path, size, body_offset FROM variant"  # noqa: S608
            f" WHERE message_id IN ({marks})",
            list(messages),
        )
        found.update(((row[0], int(row[1])), StoredVariant(*row)) for row in rows)
    return found


def variants_of(tx: Tx, message_id: str) -> list[StoredVariant]:
    """Return the variants of a message, without the original."""
    rows = tx.fetch_all(
        "SELECT message_id, number, kind, reverse_path, size, body_offset FROM variant"
        " WHERE message_id = ? ORDER BY number",
        [message_id],
    )
    return [StoredVariant(*row) for row in rows]
