"""Decisions: written once, before anything changes, and read back exactly."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from relay.core.decision import Decision, HeaderChange, Method, Reason
from relay.core.ids import new_id
from relay.store.base import Row, Tx, insert_sql
from relay.store.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision with the copy it was made for."""

    id: str
    tenant: str
    message_id: str
    copy_id: str
    decision: Decision
    created_at: int


_COLUMNS = ("id", "tenant", "message_id", "copy_id", "policy_version", "method", "reason", "json", "created_at")
_INSERT = insert_sql("decision", _COLUMNS)
_SELECT = "SELECT id, tenant, message_id, copy_id, json, created_at FROM decision "


def _from_row(row: Row) -> StoredDecision:
    decision_id, tenant, message_id, copy_id, text, created_at = row
    return StoredDecision(decision_id, tenant, message_id, copy_id, decode_decision(text), created_at)


def encode_decision(decision: Decision) -> str:
    """Return a decision as JSON text."""
    return json.dumps(asdict(decision), ensure_ascii=False, separators=(",", ":"))


def decode_decision(text: str) -> Decision:
    """Return the decision of a JSON text that `encode_decision` wrote; fields added since take their default."""
    values: dict[str, Any] = json.loads(text)
    values["method"] = Method(values["method"])
    values["reason"] = Reason(values["reason"])
    values["headers"] = tuple(HeaderChange(**change) for change in values.get("headers", ()))
    for name in ("rules", "forward_to", "subject_strip", "warnings"):
        values[name] = tuple(values.get(name, ()))
    known = Decision.__dataclass_fields__
    return Decision(**{name: value for name, value in values.items() if name in known})


def insert_decision(tx: Tx, tenant: str, message_id: str, copy_id: str, decision: Decision) -> str:
    """Store a decision and return its id. The caller settles the copy on it in the same transaction."""
    return insert_decisions(tx, tenant, message_id, [(copy_id, decision)])[0]


def insert_decisions(tx: Tx, tenant: str, message_id: str, decisions: Iterable[tuple[str, Decision]]) -> list[str]:
    """Store the decisions for several copies of one message; return their ids, in order."""
    now = tx.now_ms()
    rows = [
        (
            new_id(),
            tenant,
            message_id,
            copy_id,
            decision.policy_version,
            decision.method.value,
            decision.reason.value,
            encode_decision(decision),
            now,
        )
        for copy_id, decision in decisions
    ]
    tx.run_many(_INSERT, rows)
    return [row[0] for row in rows]


def get_decision(tx: Tx, decision_id: str) -> StoredDecision:
    """Return a stored decision. Raises NotFoundError."""
    found = fetch_decisions(tx, [decision_id])
    if decision_id not in found:
        raise NotFoundError(f"decision {decision_id}: there is none")
    return found[decision_id]


def fetch_decisions(tx: Tx, decision_ids: Iterable[str]) -> dict[str, StoredDecision]:
    """Return the decisions that exist, by id."""
    ids = list(decision_ids)
    if not ids:
        return {}
    rows = tx.fetch_all(_SELECT + f"WHERE id IN ({', '.join('?' * len(ids))})", ids)
    return {row[0]: _from_row(row) for row in rows}


def decisions_of(tx: Tx, message_id: str) -> list[StoredDecision]:
    """Return all decisions for a message, in the order in which they were made."""
    rows = tx.fetch_all(_SELECT + "WHERE message_id = ? ORDER BY created_at, id", [message_id])
    return [_from_row(row) for row in rows]
