"""The append-only log: append, read, anchor, verify.

Each writing process has a chain of its own ("node1/smtpd"); each event holds the hash of the one before. An anchor
event records the heads of all chains, so that cutting off a chain's end, or a whole chain, shows as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from relay.core.ports import Actor, Event
from relay.store.base import Database, Tx
from relay.store.chain import GENESIS, StoredEvent, event_from_row, event_hash

ANCHOR_KIND = "audit.anchor"
_SELECT = "SELECT chain, seq, tenant, at, actor, kind, message_id, copy_id, detail, prev_hash, hash FROM event "


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in the log."""

    chain: str
    seq: int
    problem: str


def append(tx: Tx, event: Event) -> None:
    """Add an event to this process's chain; it exists exactly if the transaction commits. Same as tx.append_event."""
    tx.append_event(event)


def events_of(tx: Tx, message_id: str) -> list[StoredEvent]:
    """Return one mail's events in the order of time (letterlock trace)."""
    rows = tx.fetch_all(_SELECT + "WHERE message_id = ? ORDER BY at, chain, seq", [message_id])
    return [event_from_row(row) for row in rows]


def recent_events(
    tx: Tx, tenant: str, *, since_ms: int = 0, kinds: tuple[str, ...] = (), limit: int = 200
) -> list[StoredEvent]:
    """Return a tenant's newest events, newest first; of these kinds, if given."""
    sql = _SELECT + "WHERE tenant = ? AND at >= ?"
    parameters: list[Any] = [tenant, since_ms]
    if kinds:
        sql += f" AND kind IN ({', '.join('?' * len(kinds))})"
        parameters += kinds
    return [event_from_row(row) for row in tx.fetch_all(sql + " ORDER BY at DESC LIMIT ?", [*parameters, limit])]


def general_events(
    tx: Tx, tenant: str, kinds: tuple[str, ...], *, since_ms: int = 0, limit: int = 200
) -> list[StoredEvent]:
    """Return the newest events of these kinds that are about no message, newest first; cheap in a long log."""
    sql = _SELECT + f"WHERE message_id IS NULL AND tenant = ? AND kind IN ({', '.join('?' * len(kinds))}) AND at >= ?"
    rows = tx.fetch_all(sql + " ORDER BY at DESC, seq DESC LIMIT ?", [tenant, *kinds, since_ms, limit])
    return [event_from_row(row) for row in rows]


def events_between(
    tx: Tx, tenant: str, kinds: tuple[str, ...], *, since_ms: int, until_ms: int, limit: int
) -> list[StoredEvent]:
    """Return a tenant's events of these kinds from `since_ms` to before `until_ms`, oldest first."""
    sql = _SELECT + f"WHERE tenant = ? AND at >= ? AND at < ? AND kind IN ({', '.join('?' * len(kinds))})"
    rows = tx.fetch_all(sql + " ORDER BY at, chain, seq LIMIT ?", [tenant, since_ms, until_ms, *kinds, limit])
    return [event_from_row(row) for row in rows]


def chain_heads(tx: Tx) -> list[tuple[str, int, str]]:
    """Return chain, last sequence number and its hash, for all chains."""
    rows = tx.fetch_all(
        "SELECT e.chain, e.seq, e.hash FROM event e JOIN"
        " (SELECT chain, max(seq) AS seq FROM event GROUP BY chain) h ON h.chain = e.chain AND h.seq = e.seq"
        " ORDER BY e.chain"
    )
    return [(str(row[0]), int(row[1]), str(row[2])) for row in rows]


def write_anchor(tx: Tx, tenant: str, actor: Actor) -> int:
    """Append an anchor event with the heads of all chains; return how many. For the scheduler, every few minutes."""
    heads = [f"{chain} {seq} {digest}" for chain, seq, digest in chain_heads(tx)]
    tx.append_event(Event(ANCHOR_KIND, actor, tenant, detail={"heads": heads}))
    return len(heads)


def verify(db: Database) -> list[Finding]:
    """Check all chains and anchors; return what is wrong, nothing when all is well. Reads in one view of the data.

    Needs memory for the anchored heads only.
    """
    findings: list[Finding] = []
    anchored: dict[tuple[str, int], set[str]] = {}
    with db.reading(snapshot=True) as tx:
        for chain in (row[0] for row in tx.fetch_all("SELECT DISTINCT chain FROM event ORDER BY chain")):
            findings += _verify_chain(tx, str(chain), anchored)
        findings += _verify_anchors(tx, anchored)
    return findings


def _verify_chain(tx: Tx, chain: str, anchored: dict[tuple[str, int], set[str]]) -> list[Finding]:
    findings: list[Finding] = []
    expected, before = 1, GENESIS
    while True:
        rows = tx.fetch_all(_SELECT + "WHERE chain = ? AND seq >= ? ORDER BY seq LIMIT 2000", [chain, expected])
        if not rows:
            return findings
        for row in rows:
            event = event_from_row(row)
            if event.seq != expected:
                findings.append(Finding(chain, expected, f"missing up to {event.seq - 1}"))
                before = event.prev_hash
            if event.prev_hash != before:
                findings.append(Finding(chain, event.seq, "does not follow the event before it"))
            if event_hash(event) != event.hash:
                findings.append(Finding(chain, event.seq, "was changed after it was written"))
            expected, before = event.seq + 1, event.hash
            if event.kind == ANCHOR_KIND:
                _collect_anchor(event, anchored)


def _collect_anchor(event: StoredEvent, anchored: dict[tuple[str, int], set[str]]) -> None:
    heads = json.loads(event.detail).get("heads", [])
    for head in heads:
        chain, seq, digest = str(head).rsplit(" ", 2)
        anchored.setdefault((chain, int(seq)), set()).add(digest)


def _verify_anchors(tx: Tx, anchored: dict[tuple[str, int], set[str]]) -> list[Finding]:
    findings = []
    for (chain, seq), digests in sorted(anchored.items()):
        row = tx.fetch_one("SELECT hash FROM event WHERE chain = ? AND seq = ?", [chain, seq])
        if row is None:
            findings.append(Finding(chain, seq, "an anchor names this event, but it is gone"))
        elif digests != {str(row[0])}:
            findings.append(Finding(chain, seq, "differs from what an anchor recorded"))
    return findings
