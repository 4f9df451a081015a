"""Claims: leases on due copies, with owner, heartbeat and fence (relay design 2.2).

`attempts` and `crashes` rise in the claim's own transaction, so that mail which kills its worker still counts; the time
of the next attempt is stored before the attempt. The third claim that nobody settled shunts the message.
What is leased is claimed by nobody else until the lease ends; the fence number then refuses the late writer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from relay.spool.values import Delivery, Work
from relay.store.base import Database, Tx
from relay.store.repositories.copies import StoredCopy

LEASE_MS = 5 * 60 * 1000
MAX_CRASHES = 3


def claim_work(db: Database, owner: str, limit: int, *, lease_ms: int = LEASE_MS) -> list[Work]:
    """Lease up to `limit` messages that have copies due in states received, decided or protected, oldest first.

    A message whose last claim was never settled comes alone in its list, so that it can be worked in a process of its
    own; after three such claims it is shunted with an event instead. Raises StorageError.
    """
    raise NotImplementedError


def claim_delivery(
    db: Database, owner: str, limit: int, skip_hops: Collection[str] = (), *, lease_ms: int = LEASE_MS
) -> list[Delivery]:
    """Lease up to `limit` copies due in states queued or deferred, grouped by message, variant and hop.

    Hops in `skip_hops` are left alone; the others share the limit, each in the order of next_at. Raises StorageError.
    """
    raise NotImplementedError


def extend(db: Database, owner: str, copies: Iterable[StoredCopy], *, lease_ms: int = LEASE_MS) -> frozenset[str]:
    """Extend the leases of these copies; return the ids of those still held. The heartbeat, at a third of the lease."""
    raise NotImplementedError


def give_back(tx: Tx, copies: Iterable[StoredCopy], *, retry_at: int | None = None) -> None:
    """Return copies that were not tried at all: no attempt and no crash counted. Due at once or at `retry_at`."""
    raise NotImplementedError


def clean_stop(db: Database, owner: str) -> int:
    """Give back all leases of an owner that stops in good order, counting no crash; return how many copies."""
    raise NotImplementedError


def release_owner(db: Database, owner: str) -> int:
    """Free all leases of a dead owner at once; the crash stays counted. Return how many copies."""
    raise NotImplementedError


def release_owners(db: Database, prefix: str) -> int:
    """As release_owner, for every owner whose name starts with `prefix` ("node1/"): after a node's restart."""
    raise NotImplementedError
