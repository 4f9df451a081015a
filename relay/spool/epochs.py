"""Moving waiting mail to a new epoch's key, so that the old epoch can be destroyed."""

from __future__ import annotations

from relay.core.ports import Actor, KeyStore
from relay.store.base import Database


def count_keys(db: Database, epoch: str) -> int:
    """Return how many message keys are wrapped under an epoch; 0 means it can be destroyed without losing mail."""
    raise NotImplementedError


def rewrap_waiting(db: Database, keystore: KeyStore, epoch: str, actor: Actor, *, batch: int = 100) -> int:
    """Re-wrap the keys of all waiting mail under `epoch` to the newest one; return how many.

    No transaction is held over a call of the key store. smtpd may go on sealing to the old epoch for a moment: call
    again until `count_keys` is 0. Raises KeyStoreError, StorageError; what was done stays done.
    """
    raise NotImplementedError
