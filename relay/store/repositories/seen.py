"""What came in lately, to flag (never drop) a client's retry after a lost 250 (relay design 2.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from relay.core.clock import HOUR
from relay.core.wire.pae import encode_pae
from relay.store.base import Tx, insert_sql

KEEP_MS = 48 * HOUR
_INSERT = insert_sql("seen", ("tenant", "digest", "message_id", "at"), ignore_conflicts=True)


def seen_digest(reverse_path: str, header_message_id: str, content_sha256: str, forward_path: str) -> str:
    """Return the digest under which one recipient's mail is known; `content_sha256` without our own Received line."""
    framed = encode_pae("letterlock/seen", reverse_path, header_message_id, content_sha256, forward_path)
    return hashlib.sha256(framed).hexdigest()[:32]


def note_seen(tx: Tx, tenant: str, entries: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Note pairs of digest and message id; return, by digest, the earlier message of those that were known already."""
    now = tx.now_ms()
    earlier: dict[str, str] = {}
    for start in range(0, len(entries), 400):
        digests = [digest for digest, _ in entries[start : start + 400]]
        marks = ", ".join("?" * len(digests))
        rows = tx.fetch_all(
            f"SELECT digest, message_id FROM seen WHERE tenant = ? AND at > ? AND digest IN ({marks})",  # noqa: S608
            [tenant, now - KEEP_MS, *digests],
        )
        earlier.update((row[0], row[1]) for row in rows)
    # Sorted, so that two nodes which insert the same rows wait for each other and do not deadlock.
    tx.insert_many(_INSERT, [(tenant, digest, message_id, now) for digest, message_id in sorted(entries)])
    return earlier
