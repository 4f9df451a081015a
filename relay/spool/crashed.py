"""Freeing the copies of a job that died with its process: the lease ends now, the crash stays counted."""

from __future__ import annotations

from collections.abc import Iterable

from relay.store.base import Database
from relay.store.repositories.copies import StoredCopy


def free_crashed(db: Database, copies: Iterable[StoredCopy]) -> None:
    """End the leases of these copies only, where their fence has not moved on. Raises StorageError."""
    with db.transaction() as tx:
        tx.run_many(
            "UPDATE copy SET owner = '', lease_until = 0, updated_at = ? WHERE id = ? AND fence = ?",
            [(tx.now_ms(), copy.id, copy.fence) for copy in copies],
        )
