"""Copies that wait for their partner to register: found, let go on, given up. No claim: nobody works on them.

A copy that was let go on is decided already; the new decision is stored with it, so the trace tells why.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.decision import Decision
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.spool.operations import move_copy
from relay.store.base import EventDetail, Tx
from relay.store.repositories.copies import SELECT_COPIES, StoredCopy, copy_from_row
from relay.store.repositories.decisions import fetch_decisions, insert_decision

_IN_ONE_QUERY = 500


@dataclass(frozen=True, slots=True)
class WaitingCopy:
    """A copy with the decision that made it wait."""

    copy: StoredCopy
    decision: Decision

    @property
    def sender(self) -> str:
        """Return the inside address whose mail it is."""
        return self.decision.sender


def copies_awaiting(tx: Tx, tenant: str, normal_address: str, *, lock: bool = True) -> list[WaitingCopy]:
    """Return all copies to an address that wait for its registration, oldest first; with `lock` held by `tx`."""
    locking = " FOR UPDATE OF c" if lock and tx.is_postgresql else ""
    rows = tx.fetch_all(
        SELECT_COPIES + "WHERE c.tenant = ? AND c.state = 'awaiting_registration' AND c.normal_address = ?"
        f" ORDER BY c.updated_at, c.id{locking}",
        [tenant, normal_address],
    )
    copies = [copy_from_row(row) for row in rows]
    decisions = {}
    for start in range(0, len(copies), _IN_ONE_QUERY):
        some = copies[start : start + _IN_ONE_QUERY]
        decisions.update(fetch_decisions(tx, [one.decision_id for one in some if one.decision_id]))
    return [WaitingCopy(one, decisions[one.decision_id].decision) for one in copies if one.decision_id in decisions]


def resume_copy(tx: Tx, waiting: WaitingCopy, decision: Decision, actor: Actor) -> None:
    """Let a copy go on by a new decision: the worker protects it next."""
    copy = waiting.copy
    decision_id = insert_decision(tx, copy.tenant, copy.message_id, copy.id, decision)
    detail: dict[str, EventDetail] = {"decision": decision_id, "method": decision.method.value}
    move_copy(tx, copy, State.DECIDED, actor, detail, restart=True)
    tx.run("UPDATE copy SET decision_id = ? WHERE id = ?", [decision_id, copy.id])


def give_up_copy(tx: Tx, waiting: WaitingCopy, actor: Actor, *, status: str, text: str) -> None:
    """End a copy as failed; whoever calls tells its sender."""
    copy, now = waiting.copy, tx.now_ms()
    move_copy(tx, copy, State.FAILED, actor, {"status": status, "text": text})
    tx.run("UPDATE copy SET last_status = ?, last_text = ? WHERE id = ?", [status, text, copy.id])
    tx.run(
        "INSERT INTO finished (message_id, tenant, at) VALUES (?, ?, ?)"
        " ON CONFLICT (message_id) DO UPDATE SET at = excluded.at",
        [copy.message_id, copy.tenant, now],
    )
