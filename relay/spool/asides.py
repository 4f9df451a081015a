"""Copies whose mail the gateway itself keeps from leaving: shunted ones, and those that wait in the worker for hours.

Found for whoever tells the senders of it. Reads the queue's rows only, no content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.envelope import Side
from relay.core.lifecycle import State
from relay.store.base import Tx
from relay.store.models.copy import PERSON_STATES, WORKER_STATES
from relay.store.repositories.decisions import decode_decision
from relay.store.repositories.messages import PORTAL, SYSTEM

_ASIDE = State.SHUNTED.value
_SELECT = (
    "SELECT c.message_id, c.forward_path, m.reverse_path, d.json, m.received_at, c.state, c.id"
    " FROM copy c JOIN message m ON m.id = c.message_id LEFT JOIN decision d ON d.id = c.decision_id WHERE "
)
_HANDED_OVER = f" AND m.origin NOT IN ('{SYSTEM}', '{PORTAL}') AND m.side <> '{Side.OUTSIDE.value}'"
# One query for each partial index, and each with its very words, or SQLite reads every copy that is kept, each minute.
_SHUNTED = (
    f"{_SELECT}c.state IN {PERSON_STATES} AND c.state = '{_ASIDE}'"
    f" AND c.tenant = ? AND c.updated_at >= ? AND c.updated_at < ?{_HANDED_OVER}"
)
# The tenant as an expression, so that SQLite does not take the index that all copies are in.
_LATE = (
    f"{_SELECT}c.state IN {WORKER_STATES} AND c.delay_notified_at >= ? AND c.delay_notified_at < ?"
    f" AND c.tenant || '' = ?{_HANDED_OVER}"
)


@dataclass(frozen=True, slots=True)
class AsideCopy:
    """One copy that does not leave for now. Times in milliseconds."""

    message_id: str
    forward_path: str
    reverse_path: str
    sender: str
    """Own address that the stored decision names, "" where none does."""
    received_at: int
    is_shunted: bool
    """False: it waits and is tried again by itself."""


def copies_set_aside(tx: Tx, tenant: str, since_ms: int, until_ms: int) -> list[AsideCopy]:
    """Return the copies shunted, or noted as late in the worker, from `since_ms` to before `until_ms`, oldest first.

    Only of mail that the inside handed over: mails of our own, answers from the portal and mail of strangers have no
    sender who could be told.
    """
    rows = tx.fetch_all(_SHUNTED, [tenant, since_ms, until_ms])
    rows += tx.fetch_all(_LATE, [since_ms, until_ms, tenant])
    return [
        AsideCopy(
            row[0], row[1], row[2], decode_decision(row[3]).sender if row[3] else "", int(row[4]), row[5] == _ASIDE
        )
        for row in sorted(rows, key=lambda row: (int(row[4]), str(row[6])))
    ]


def concerned_addresses(tx: Tx, message_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return whom these mails concern, by id: whose pair the decisions name, the reverse-path, the recipients."""
    found: dict[str, tuple[str, ...]] = {}
    for message_id in dict.fromkeys(message_ids):
        rows = tx.fetch_all(
            "SELECT m.reverse_path, c.normal_address, d.json FROM message m JOIN copy c ON c.message_id = m.id"
            " LEFT JOIN decision d ON d.id = c.decision_id WHERE m.id = ? ORDER BY c.id LIMIT 100",
            [message_id],
        )
        senders = [decode_decision(row[2]).sender for row in rows if row[2]]
        paths = [str(row[0]).lower() for row in rows]
        found[message_id] = tuple(one for one in (*senders, *paths, *(row[1] for row in rows)) if "@" in one)
    return found
