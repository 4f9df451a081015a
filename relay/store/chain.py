"""How an event is framed and hashed, and how a process's chain grows.

hash = SHA-256 over PAE(label, all fields, prev_hash). Events of a transaction are numbered at its end, under the
chain's lock, which is held until the commit is over: so a rolled-back transaction leaves no gap and no fork. Another
process with the same chain name shows as a conflict; the head is then read again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.core.ports import Event
from relay.core.wire.pae import encode_pae
from relay.store.errors import ConflictError

if TYPE_CHECKING:
    from relay.store.base import Tx

GENESIS = "0" * 64
"""`prev_hash` of a chain's first event."""
_LABEL = "letterlock/event"
_INSERT = (
    "INSERT INTO event (chain, seq, tenant, at, actor, kind, message_id, copy_id, detail, prev_hash, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_MAX_RELOADS = 20


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the log. `at` in milliseconds, `detail` the JSON text that was hashed."""

    chain: str
    seq: int
    tenant: str
    at: int
    actor: str
    kind: str
    message_id: str | None
    copy_id: str | None
    detail: str
    prev_hash: str
    hash: str


_HASHED = tuple(StoredEvent.__dataclass_fields__)[:-1]


def event_from_row(row: Sequence[Any]) -> StoredEvent:
    """Return the value of a row with the columns in the order of StoredEvent."""
    return StoredEvent(*row)


def hash_fields(fields: Sequence[Any]) -> str:
    """Return the hash, hexadecimal, of the fields of StoredEvent up to and with `prev_hash`."""
    chain, seq, tenant, at, actor, kind, message_id, copy_id, detail, prev_hash = fields
    # A missing id and an empty one frame differently: "-" against "=" before the text.
    message = "-" if message_id is None else f"={message_id}"
    copy = "-" if copy_id is None else f"={copy_id}"
    framed = encode_pae(_LABEL, chain, seq, tenant, str(at), actor, kind, message, copy, detail, prev_hash)
    return hashlib.sha256(framed).hexdigest()


def event_hash(event: StoredEvent) -> str:
    """Return the hash that a stored event ought to have."""
    return hash_fields([getattr(event, name) for name in _HASHED])


class ChainHead:
    """The end of this process's chain: what the next event is linked to. `lock` is held from numbering to commit."""

    def __init__(self, chain: str) -> None:
        self.chain = chain
        self.lock = threading.Lock()
        self.seq = 0
        self.hash = GENESIS
        self.known = False

    def load(self, tx: Tx) -> None:
        """Read the head from the database."""
        row = tx.fetch_one("SELECT seq, hash FROM event WHERE chain = ? ORDER BY seq DESC LIMIT 1", [self.chain])
        self.seq, self.hash = (0, GENESIS) if row is None else (int(row[0]), str(row[1]))
        self.known = True


def flush_events(tx: Tx, head: ChainHead, events: Sequence[tuple[int, Event]]) -> tuple[int, str]:
    """Write a transaction's events behind the head; return the head as it is once the transaction has committed.

    The caller holds `head.lock`. Raises ConflictError when others keep writing to the same chain.
    """
    if not head.known:
        head.load(tx)
    for _ in range(_MAX_RELOADS):
        rows, seq, digest = _link(head, events)
        # The first row alone decides: once it is in, nobody else can take the numbers behind it.
        if tx.run(_INSERT + " ON CONFLICT DO NOTHING", rows[0]) == 1:
            tx.insert_many(_INSERT, rows[1:])
            return seq, digest
        head.load(tx)
    raise ConflictError(f"chain {head.chain}: another process writes under the same name")


def _link(head: ChainHead, events: Sequence[tuple[int, Event]]) -> tuple[list[tuple[Any, ...]], int, str]:
    rows: list[tuple[Any, ...]] = []
    seq, before = head.seq, head.hash
    for at, event in events:
        seq += 1
        detail = _ENCODE(dict(event.detail))
        ids = (event.message_id, event.copy_id)
        fields = (head.chain, seq, event.tenant, at, str(event.actor), event.kind, *ids, detail, before)
        before = hash_fields(fields)
        rows.append((*fields, before))
    return rows, seq, before
