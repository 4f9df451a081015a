"""Clearing up what came in: refused entries and ids of entries seen before have an age, and refused ones a number.

An id may go once the same entry coming again would do nothing: read and deleted do the same again, an answer or a rekey
of an older generation is refused by its number (sealed-mailbox 16). An answer under the present generation is known for
as long as that lasts: nobody may hand it over a second time.
"""

from __future__ import annotations

from relay.core.clock import DAY
from relay.store.base import Database, Tx
from relay.store.repositories.mailbox_entries import forget_quarantine, forget_seen

KEEP_MS = 90 * DAY
MOST_REFUSED = 2000
"""Refused entries that are kept, the newest. How many may come between two sweeps: relay.mailbox.incoming."""
_AT_ONCE = 1000


def sweep_entries(database: Database, tenant: str) -> int:
    """Forget what is over; return how many rows. Raises StorageError."""
    with database.reading() as tx:
        before = tx.now_ms() - KEEP_MS
    count = 0
    for forget in (_forget_seen, _forget_refused):
        gone = _AT_ONCE
        while gone == _AT_ONCE:
            with database.transaction() as tx:
                gone = forget(tx, tenant, before)
            count += gone
    return count


def _forget_seen(tx: Tx, tenant: str, before: int) -> int:
    return forget_seen(tx, tenant, before, _AT_ONCE)


def _forget_refused(tx: Tx, tenant: str, before: int) -> int:
    return forget_quarantine(tx, tenant, before, MOST_REFUSED, _AT_ONCE)
