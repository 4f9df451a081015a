"""What a person may do with waiting mail. Each call takes an actor and writes an event; nothing here sends anything.

A copy that is being worked on is left alone (CopyBusyError): what is on the wire cannot be held any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.core.decision import Decision
from relay.core.lifecycle import FINAL, FOR_DELIVER, FOR_WORKER, State, is_step
from relay.core.ports import Actor, Event
from relay.spool.errors import CopyBusyError, LifecycleError
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import NotFoundError
from relay.store.models.copy import state_list
from relay.store.repositories.copies import SELECT_COPIES, StoredCopy, copies_of, copy_from_row
from relay.store.repositories.decisions import get_decision, insert_decision
from relay.store.repositories.messages import StoredMessage, fetch_messages, get_message

_WAITING = frozenset(State) - FINAL
_STOPPED = frozenset({State.HELD, State.SHUNTED, State.AWAITING_REGISTRATION})


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One copy with its message."""

    message: StoredMessage
    copy: StoredCopy
    is_leased: bool
    """Somebody works on it right now."""


def list_queue(
    db: Database,
    tenant: str,
    *,
    states: frozenset[State] | None = None,
    address: str | None = None,
    limit: int = 100,
) -> list[QueueEntry]:
    """Return waiting copies, those first that are due first: all that are not final, or those in `states`.

    With `address` (normal form) only those of one recipient.
    """
    wanted = _WAITING if states is None else states
    if not wanted:
        return []
    sql = SELECT_COPIES + f"WHERE c.tenant = ? AND c.state IN {state_list(frozenset(wanted))}"
    parameters: list[Any] = [tenant]
    if address is not None:
        sql += " AND c.normal_address = ?"
        parameters.append(address)
    with db.reading() as tx:
        rows = tx.fetch_all(sql + " ORDER BY c.next_at, c.id LIMIT ?", [*parameters, limit])
        return _entries(tx, [copy_from_row(row) for row in rows])


def count_queue(db: Database, tenant: str | None = None) -> dict[State, int]:
    """Return the number of copies in each state that is not final (for health and metrics)."""
    counts = dict.fromkeys(sorted(_WAITING), 0)
    where, parameters = ("", []) if tenant is None else (" AND tenant = ?", [tenant])
    with db.reading() as tx:
        # Group by group, so that each query runs over the partial index of its states.
        for states in (FOR_WORKER, FOR_DELIVER, _STOPPED):
            rows = tx.fetch_all(
                f"SELECT state, count(*) FROM copy WHERE state IN {state_list(states)}{where} GROUP BY state",  # noqa: S608
                parameters,
            )
            counts.update((State(row[0]), int(row[1])) for row in rows)
    return counts


def show_message(db: Database, tenant: str, message_id: str) -> list[QueueEntry]:
    """Return all copies of a message, final ones too. Raises NotFoundError."""
    with db.reading() as tx:
        get_message(tx, tenant, message_id)
        return _entries(tx, copies_of(tx, message_id))


def hold(db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor, reason: str) -> int:
    """Hold copies; return how many. Raises CopyBusyError, LifecycleError, NotFoundError; then nothing changed."""
    with db.transaction() as tx:
        copies = _lock_idle(tx, tenant, copy_ids)
        for copy in copies:
            move_copy(tx, copy, State.HELD, actor, {"by": "person", "why": reason})
        return len(copies)


def release(
    db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor, *, decision: Decision | None = None
) -> int:
    """Let held or shunted copies go on: back to `received`, where they are decided anew. Raises as hold does.

    With `decision`, a person's own, that one is stored for each copy and the copy goes on from `decided`.
    """
    with db.transaction() as tx:
        copies = _lock_idle(tx, tenant, copy_ids)
        for copy in copies:
            if copy.state not in _STOPPED:
                raise LifecycleError(f"copy {copy.id} is not held but {copy.state}")
            if decision is None and copy.state is not State.AWAITING_REGISTRATION:
                move_copy(tx, copy, State.RECEIVED, actor, {"by": "person"}, restart=True)
                continue
            chosen = insert_decision(tx, tenant, copy.message_id, copy.id, decision or _without_waiting(tx, copy))
            detail: dict[str, EventDetail] = {"by": "person", "decision": chosen}
            move_copy(tx, copy, State.DECIDED, actor, detail, restart=True)
            tx.run("UPDATE copy SET decision_id = ? WHERE id = ?", [chosen, copy.id])
        return len(copies)


def _without_waiting(tx: Tx, copy: StoredCopy) -> Decision:
    """The decision of a copy that waits for a registration, as it is where nobody has to register."""
    stored = get_decision(tx, copy.decision_id or "").decision
    return replace(stored, options={name: value for name, value in stored.options.items() if name != "registration"})


def retry(db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor) -> int:
    """Make waiting copies due at once; return how many. Raises as hold does."""
    with db.transaction() as tx:
        copies = _lock_idle(tx, tenant, copy_ids)
        now = tx.now_ms()
        for copy in copies:
            if copy.state not in FOR_WORKER | FOR_DELIVER:
                raise LifecycleError(f"copy {copy.id} is {copy.state}: release it")
            tx.run("UPDATE copy SET next_at = ?, updated_at = ? WHERE id = ?", [now, now, copy.id])
            # One for a mailbox goes when its row for the portal does, and when what stands before that has gone.
            tx.run(
                "UPDATE portal_push SET next_at = ? WHERE state = 'waiting' AND lease_until <= ?"
                " AND box IN (SELECT box FROM portal_push WHERE copy_id = ? AND state = 'waiting')",
                [now, now, copy.id],
            )
            tx.append_event(Event("copy.retried", actor, tenant, copy.message_id, copy.id, {"by": "person"}))
        return len(copies)


def drop(db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor, reason: str) -> int:
    """Discard copies for good, without a report to the sender; return how many. Raises as hold does."""
    with db.transaction() as tx:
        copies = _lock_idle(tx, tenant, copy_ids)
        now = tx.now_ms()
        for copy in copies:
            detail: dict[str, EventDetail] = {"by": "person", "why": reason}
            # core.lifecycle knows no step from the queue to discarded: what moves is held first.
            if not is_step(copy.state, State.DISCARDED):
                move_copy(tx, copy, State.HELD, actor, detail)
                _check_step(copy.id, State.HELD, State.DISCARDED)
            tx.run("UPDATE copy SET state = 'discarded', updated_at = ? WHERE id = ?", [now, copy.id])
            tx.append_event(Event("copy.discarded", actor, tenant, copy.message_id, copy.id, detail))
            tx.run(
                "INSERT INTO finished (message_id, tenant, at) VALUES (?, ?, ?)"
                " ON CONFLICT (message_id) DO UPDATE SET at = excluded.at",
                [copy.message_id, tenant, now],
            )
        return len(copies)


def _entries(tx: Tx, copies: Sequence[StoredCopy]) -> list[QueueEntry]:
    now = tx.now_ms()
    ids = list({copy.message_id for copy in copies})
    messages: dict[str, StoredMessage] = {}
    for start in range(0, len(ids), 500):
        messages.update(fetch_messages(tx, ids[start : start + 500]))
    return [QueueEntry(messages[copy.message_id], copy, copy.owner != "" and copy.lease_until > now) for copy in copies]


def _lock_idle(tx: Tx, tenant: str, copy_ids: Sequence[str]) -> list[StoredCopy]:
    ids = list(dict.fromkeys(copy_ids))
    locking = " FOR UPDATE OF c" if tx.is_postgresql else ""
    copies: list[StoredCopy] = []
    for copy_id in sorted(ids):
        row = tx.fetch_one(SELECT_COPIES + f"WHERE c.id = ? AND c.tenant = ?{locking}", [copy_id, tenant])
        if row is None:
            raise NotFoundError(f"copy {copy_id}: there is none")
        copy = copy_from_row(row)
        if copy.owner and copy.lease_until > tx.now_ms():
            raise CopyBusyError(f"copy {copy_id} is being worked on by {copy.owner}")
        copies.append(copy)
    return copies


def _check_step(copy_id: str, before: State, after: State) -> None:
    if not is_step(before, after):
        raise LifecycleError(f"copy {copy_id}: no step from {before} to {after}")


def move_copy(
    tx: Tx, copy: StoredCopy, state: State, actor: Actor, detail: dict[str, EventDetail], *, restart: bool = False
) -> None:
    """Move a copy that nobody works on and that the caller holds; writes the event. Raises LifecycleError.

    `restart` forgets what was tried. A final state needs the row in `finished` besides.
    """
    _check_step(copy.id, copy.state, state)
    now = tx.now_ms()
    # A restart forgets what was tried: time in the queue and variant begin anew.
    restarted = ", variant = NULL, first_queued_at = NULL, delay_notified_at = NULL" if restart else ""
    tx.run(
        "UPDATE copy SET state = ?, owner = '', lease_until = 0, fence = fence + 1, attempts = 0, crashes = 0,"  # noqa: S608
        f" next_at = ?, updated_at = ?{restarted} WHERE id = ?",
        [state.value, now, now, copy.id],
    )
    kind = f"copy.{state.value}"
    tx.append_event(Event(kind, actor, copy.tenant, copy.message_id, copy.id, {"before": copy.state.value, **detail}))
