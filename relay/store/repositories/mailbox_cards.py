"""The organisation's cards, all of them: old mail is verified by its own card (sealed-mailbox 6)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.store.base import Tx
from relay.store.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class StoredCard:
    """One row of `mailbox_card`. Times in milliseconds. Field order is the column order."""

    tenant: str
    serial: int
    record: str
    """JSON {"card": b64, "sigs": [{"root", "sig"}]}, as keyd gave it."""
    made_at: int
    superseded_at: int | None = None


_SELECT = "SELECT tenant, serial, record, made_at, superseded_at FROM mailbox_card "


def save_card(tx: Tx, tenant: str, serial: int, record: str) -> None:
    """Store a card, or its record with more signatures; the ones before it are superseded from now on."""
    now = tx.now_ms()
    tx.run(
        "INSERT INTO mailbox_card (tenant, serial, record, made_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (tenant, serial) DO UPDATE SET record = excluded.record",
        [tenant, serial, record, now],
    )
    tx.run(
        "UPDATE mailbox_card SET superseded_at = ? WHERE tenant = ? AND serial < ? AND superseded_at IS NULL",
        [now, tenant, serial],
    )


def newest_card(tx: Tx, tenant: str) -> StoredCard | None:
    """Return the card in use; None before the ceremony."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? ORDER BY serial DESC LIMIT 1", [tenant])
    return None if row is None else StoredCard(*row)


def get_card(tx: Tx, tenant: str, serial: int) -> StoredCard:
    """Return one card. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND serial = ?", [tenant, serial])
    if row is None:
        raise NotFoundError(f"card {serial}: there is none")
    return StoredCard(*row)


def list_cards(tx: Tx, tenant: str) -> list[StoredCard]:
    """Return all cards, oldest first."""
    return [StoredCard(*row) for row in tx.fetch_all(_SELECT + "WHERE tenant = ? ORDER BY serial", [tenant])]
