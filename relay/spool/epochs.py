"""Moving waiting mail to a new epoch's key, so that the old epoch can be destroyed."""

from __future__ import annotations

from relay.core.ports import Actor, Event, Grant, KeyStore, WrappedMailKey
from relay.store.base import Database, EventDetail

REWRAP_PURPOSE = "rewrap"
"""keyd's word for this use of an epoch's key."""


def count_keys(db: Database, epoch: str) -> int:
    """Return how many message keys are wrapped under an epoch; 0 means it can be destroyed without losing mail."""
    with db.reading() as tx:
        row = tx.fetch_one("SELECT count(*) FROM mail_key WHERE epoch = ?", [epoch])
    assert row is not None
    return int(row[0])


def rewrap_waiting(db: Database, keystore: KeyStore, epoch: str, actor: Actor, *, batch: int = 100) -> int:
    """Re-wrap the keys of all waiting mail under `epoch` to the newest one; return how many.

    No transaction is held over a call of the key store. smtpd may go on sealing to the old epoch for a moment: call
    again until `count_keys` is 0. Raises KeyStoreError, StorageError; what was done stays done.
    """
    if keystore.spool_public_key().epoch == epoch:
        raise ValueError("there is no newer epoch to move to")
    count = 0
    while True:
        with db.reading() as tx:
            rows = tx.fetch_all(
                "SELECT message_id, tenant, suite, data FROM mail_key WHERE epoch = ? LIMIT ?", [epoch, batch]
            )
        if not rows:
            return count
        moved: list[tuple[str, str, WrappedMailKey]] = []
        for message_id, tenant, suite, data in rows:
            wrapped = WrappedMailKey(epoch=epoch, suite=int(suite), data=bytes(data))
            grant = Grant(purpose=REWRAP_PURPOSE, subject=message_id, actor=str(actor))
            moved.append((message_id, tenant, keystore.rewrap_mail_key(message_id, wrapped, grant)))
        with db.transaction() as tx:
            count += tx.run_many(
                "UPDATE mail_key SET epoch = ?, suite = ?, data = ? WHERE message_id = ? AND epoch = ?",
                [(new.epoch, new.suite, new.data, message_id, epoch) for message_id, _, new in moved],
            )
            for tenant in sorted({tenant for _, tenant, _ in moved}):
                detail: dict[str, EventDetail] = {
                    "from": epoch,
                    "to": moved[0][2].epoch,
                    "messages": sum(1 for _, of, _ in moved if of == tenant),
                }
                tx.append_event(Event("epoch.rewrapped", actor, tenant, detail=detail))
