"""What puts the queue right again: orphans, dead leases, finished mail, old traces.

Run by the scheduler; all idempotent. Content and keys of a message go as soon as all its copies are final; rows that
tell its story stay until the retention job takes them.
"""

from __future__ import annotations

from relay.store.base import Database


def sweep_orphans(db: Database, limit: int = 200) -> int:
    """Delete contents that were written ahead and whose commit never came; return how many."""
    raise NotImplementedError


def sweep_leases(db: Database, limit: int = 1000) -> int:
    """Clear leases that ran out, so that the list shows who really works; return how many copies."""
    raise NotImplementedError


def shred_finished(db: Database, limit: int = 500) -> int:
    """Delete keys, chunks and variants of messages whose copies are all final; return how many messages."""
    raise NotImplementedError


def forget_finished(db: Database, tenant: str, before_ms: int, limit: int = 500) -> int:
    """Retention: delete message, copies and decisions of shredded mail received before `before_ms`; return how many."""
    raise NotImplementedError


def forget_seen(db: Database, limit: int = 5000) -> int:
    """Drop what came in more than 48 hours ago from the table of retries; return how many rows."""
    raise NotImplementedError
