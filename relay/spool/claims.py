"""Claims: leases on due copies, with owner, heartbeat and fence (relay design 2.2).

`attempts` and `crashes` rise in the claim's own transaction, so that mail which kills its worker still counts; the time
of the next attempt is stored before the attempt. The third claim that nobody settled shunts the message.
What is leased is claimed by nobody else until the lease ends; the fence number then refuses the late writer.
All queries run over partial indexes in the order of next_at: a claim costs the same with 100 and 100,000 waiting rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay.core.clock import HOUR, MINUTE
from relay.core.errors import LeaseLostError
from relay.core.lifecycle import FOR_DELIVER, FOR_WORKER, State
from relay.core.ports import Actor, Event, WrappedMailKey
from relay.spool.backoff import DELAY_NOTICE_MS, GIVE_UP_MS, next_delay_ms
from relay.spool.values import Delivery, Work
from relay.store.base import Database, EventDetail, Tx
from relay.store.models.copy import DELIVER_STATES, WORKER_STATES
from relay.store.repositories.copies import SELECT_COPIES, StoredCopy, copy_from_row
from relay.store.repositories.messages import fetch_keys, fetch_messages
from relay.store.repositories.variants import fetch_variants, original_of

LEASE_MS = 5 * MINUTE
MAX_CRASHES = 3
_MAX_FALLS = 10
_FALLS_MS = HOUR
"""After so many attempts and this time a mail that was in hand whenever its host fell is taken for the cause of that.
Both: at the head of the queue a mail is in hand at every fall of a bad hour, often before its work has begun."""
PORTAL_HOP = "portal"
"""The hop of copies for a mailbox of the portal: `letterlock link` hands them over, deliver never claims one."""
_ACTOR = Actor("system", "claims")
_DUE = "c.next_at <= ? AND c.lease_until <= ?"
_COPIES_A_MESSAGE = 4
"""How many copies to look at for each message wanted; a message with more takes all its due copies along anyway."""


def claim_work(db: Database, owner: str, limit: int, *, lease_ms: int = LEASE_MS) -> list[Work]:
    """Lease up to `limit` messages that have copies due in states received, decided or protected, oldest first.

    A message whose last claim was never settled comes alone in its list, so that it can be worked in a process of its
    own; after three such claims it is shunted with an event instead. Raises StorageError.
    """
    if not _is_anything_due(db, WORKER_STATES):
        return []
    with db.transaction() as tx:
        now = tx.now_ms()
        chosen = _choose_messages(tx, limit, now)
        messages, keys = fetch_messages(tx, chosen), fetch_keys(tx, chosen)
        copies = _shunt_hopeless(tx, _lock_due_copies(tx, chosen, now), keys)
        until = now + lease_ms
        groups: dict[str, list[StoredCopy]] = {}
        for copy in _lease(tx, owner, [(copy, until) for copy in copies], until):
            groups.setdefault(copy.message_id, []).append(copy)
        return [
            Work(messages[message_id], keys[message_id], tuple(groups[message_id]), owner, now, until)
            for message_id in chosen
            if message_id in groups
        ]


def claim_delivery(
    db: Database, owner: str, limit: int, skip_hops: Collection[str] = (), *, lease_ms: int = LEASE_MS
) -> list[Delivery]:
    """Lease up to `limit` copies due in states queued or deferred, grouped by message, variant and hop.

    Hops in `skip_hops` are left alone, and always the portal's; the others share the limit, each in the order of
    next_at. Raises StorageError.
    """
    if not _is_anything_due(db, DELIVER_STATES, f" AND c.hop <> '{PORTAL_HOP}'"):
        return []
    with db.transaction() as tx:
        now = tx.now_ms()
        copies = _choose_deliveries(tx, limit, {PORTAL_HOP, *skip_hops}, now)
        ids = {copy.message_id for copy in copies}
        messages, keys = fetch_messages(tx, ids), fetch_keys(tx, ids)
        copies = _shunt_hopeless(tx, copies, keys)
        variants = fetch_variants(tx, messages)
        until = now + lease_ms
        # The time of the next attempt is stored before this one.
        due = [(copy, now + next_delay_ms(copy.attempts + 1)) for copy in copies]
        groups: dict[tuple[str, int, str], list[StoredCopy]] = {}
        for copy in _lease(tx, owner, due, until):
            groups.setdefault((copy.message_id, copy.variant or 0, copy.hop), []).append(copy)
        return [
            Delivery(
                messages[message_id],
                keys[message_id],
                variants[message_id, variant],
                hop,
                tuple(group),
                owner,
                now,
                until,
            )
            for (message_id, variant, hop), group in groups.items()
        ]


def lease_portal_copy(tx: Tx, owner: str, copy_id: str, *, lease_ms: int = LEASE_MS) -> Delivery | None:
    """Lease one copy for its push to the portal, as part of `tx`; None when it may not be pushed (any more).

    That is one which is held, dropped, decided another way or not there. A third claim that nobody settled shunts it.
    Raises LeaseLostError while somebody else has it.
    """
    row = tx.fetch_one(SELECT_COPIES + f"WHERE c.id = ?{_locking(tx, 'FOR UPDATE OF c')}", [copy_id])
    if row is None:
        known = tx.fetch_one("SELECT 1 FROM copy WHERE id = ?", [copy_id])
        if known is not None:
            raise LeaseLostError(f"copy {copy_id} is being looked at by somebody else")
        return None
    copy, now = copy_from_row(row), tx.now_ms()
    if copy.state not in FOR_DELIVER or copy.hop != PORTAL_HOP:
        return None
    if copy.lease_until > now:
        raise LeaseLostError(f"copy {copy_id} is being worked on by {copy.owner}")
    messages, keys = fetch_messages(tx, [copy.message_id]), fetch_keys(tx, [copy.message_id])
    if not _shunt_hopeless(tx, [copy], keys):
        return None
    until = now + lease_ms
    leased = tuple(_lease(tx, owner, [(copy, now + next_delay_ms(copy.attempts + 1))], until))
    message = messages[copy.message_id]
    return Delivery(message, keys[message.id], original_of(message), PORTAL_HOP, leased, owner, now, until)


def late_portal_copies(tx: Tx, tenant: str, limit: int) -> list[str]:
    """Return copies for the portal whose sender is to be told of a delay, or that are to be given up, oldest first."""
    now = tx.now_ms()
    rows = tx.fetch_all(
        f"SELECT c.id FROM copy c WHERE c.state IN {DELIVER_STATES} AND c.hop = ? AND c.tenant = ?"  # noqa: S608
        " AND c.lease_until <= ? AND (c.first_queued_at <= ? OR c.first_queued_at <= ? AND c.delay_notified_at IS NULL)"
        " ORDER BY c.first_queued_at LIMIT ?",
        [PORTAL_HOP, tenant, now, now - GIVE_UP_MS, now - DELAY_NOTICE_MS, limit],
    )
    return [row[0] for row in rows]


def extend(db: Database, owner: str, copies: Iterable[StoredCopy], *, lease_ms: int = LEASE_MS) -> frozenset[str]:
    """Extend the leases of these copies; return the ids of those still held. The heartbeat, at a third of the lease."""
    fences = {copy.id: copy.fence for copy in copies}
    if not fences:
        return frozenset()
    with db.transaction() as tx:
        rows = tx.fetch_all(
            "UPDATE copy SET lease_until = ? WHERE owner = ?"  # noqa: S608
            f" AND id IN ({', '.join('?' * len(fences))}) RETURNING id, fence",
            [tx.now_ms() + lease_ms, owner, *fences],
        )
        return frozenset(row[0] for row in rows if fences[row[0]] == int(row[1]))


def give_back(tx: Tx, copies: Iterable[StoredCopy], *, retry_at: int | None = None) -> None:
    """Return copies that were not tried at all: no attempt and no crash counted. Due at once or at `retry_at`.

    A copy that somebody else holds by now is left alone.
    """
    now = tx.now_ms()
    due = now if retry_at is None else retry_at
    tx.run_many(
        "UPDATE copy SET owner = '', lease_until = 0, fence = fence + 1, attempts = attempts - 1,"
        " crashes = crashes - 1, next_at = ?, updated_at = ? WHERE id = ? AND fence = ?",
        [(due, now, copy.id, copy.fence) for copy in copies],
    )


def clean_stop(db: Database, owner: str) -> int:
    """Give back all leases of an owner that stops in good order, counting no crash; return how many copies."""
    with db.transaction() as tx:
        now = tx.now_ms()
        return tx.run(
            "UPDATE copy SET owner = '', lease_until = 0, fence = fence + 1, attempts = attempts - 1,"
            " crashes = crashes - 1, next_at = ?, updated_at = ? WHERE owner = ? AND owner <> ''",
            [now, now, owner],
        )


def release_copies(db: Database, copies: Iterable[StoredCopy]) -> None:
    """Free the leases of a job that died alone: due at once, the crash stays counted.

    A copy that somebody else holds by now is left alone.
    """
    with db.transaction() as tx:
        now = tx.now_ms()
        tx.run_many(
            "UPDATE copy SET owner = '', lease_until = 0, fence = fence + 1, next_at = ?, updated_at = ?"
            " WHERE id = ? AND fence = ?",
            [(now, now, copy.id, copy.fence) for copy in copies],
        )


def release_owner(db: Database, owner: str, *, host_fell: bool = False) -> int:
    """Free all leases of a dead owner at once; return how many copies.

    The crash stays counted, unless the whole host fell (power cut, restart of everything): that was not the mail's
    doing. After ten attempts and an hour it counts all the same, since a mail may bring down a whole container.
    """
    return _release(db, "owner = ?", [owner], host_fell=host_fell)


def release_owners(db: Database, prefix: str, *, host_fell: bool = False) -> int:
    """As release_owner, for every owner whose name starts with `prefix` ("node1/"): after a node's restart."""
    return _release(db, "substr(owner, 1, ?) = ?", [len(prefix), prefix], host_fell=host_fell)


def _release(db: Database, where: str, parameters: Sequence[Any], *, host_fell: bool) -> int:
    # Due at once: three crashes in a row end in a shunt, so this cannot become a hot loop.
    with db.transaction() as tx:
        now = tx.now_ms()
        forgiven = (
            f" crashes = CASE WHEN attempts < {_MAX_FALLS} OR {now - _FALLS_MS} <"  # noqa: S608
            " (SELECT m.received_at FROM message m WHERE m.id = copy.message_id) THEN crashes - 1 ELSE crashes END,"
        )
        return tx.run(
            "UPDATE copy SET owner = '', lease_until = 0, fence = fence + 1,"  # noqa: S608
            f"{forgiven if host_fell else ''} next_at = ?, updated_at = ? WHERE {where} AND owner <> ''",
            [now, now, *parameters],
        )


def _is_anything_due(db: Database, states: str, more: str = "") -> bool:
    # On SQLite an idle poll must not take the writers' lock.
    if db.dialect != "sqlite":
        return True
    with db.reading() as tx:
        now = tx.now_ms()
        sql = f"SELECT 1 FROM copy c WHERE c.state IN {states} AND {_DUE}{more} LIMIT 1"  # noqa: S608
        return tx.fetch_one(sql, [now, now]) is not None


def _locking(tx: Tx, clause: str) -> str:
    return f" {clause} SKIP LOCKED" if tx.is_postgresql else ""


def _choose_messages(tx: Tx, limit: int, now: int) -> list[str]:
    rows = tx.fetch_all(
        "SELECT c.message_id, c.crashes FROM copy c"  # noqa: S608
        f" WHERE c.state IN {WORKER_STATES} AND {_DUE} ORDER BY c.next_at LIMIT ?{_locking(tx, 'FOR UPDATE')}",
        [now, now, limit * _COPIES_A_MESSAGE],
    )
    chosen = _leave_suspects_alone(rows, lambda row: row[0], lambda row: int(row[1]))
    ids = list(dict.fromkeys(row[0] for row in chosen))[:limit]
    if not ids or not tx.is_postgresql:
        return ids
    # One node takes a message with all its copies: the message's row is the lock that says which. Without KEY, so that
    # inserts which refer to the message need not wait; with SKIP LOCKED throughout, so that nobody waits for anybody.
    marks = ", ".join("?" * len(ids))
    locked = tx.fetch_all(f"SELECT id FROM message WHERE id IN ({marks}) FOR NO KEY UPDATE SKIP LOCKED", ids)  # noqa: S608
    taken = {row[0] for row in locked}
    return [message_id for message_id in ids if message_id in taken]


def _leave_suspects_alone(
    rows: Sequence[Any], message_of: Callable[[Any], str], crashes_of: Callable[[Any], int]
) -> list[Any]:
    """Return either the first message alone, when an earlier claim of it was never settled, or those without such."""
    if not rows:
        return []
    suspects = {message_of(row) for row in rows if crashes_of(row) > 0}
    first = message_of(rows[0])
    if first in suspects:
        return [row for row in rows if message_of(row) == first]
    return [row for row in rows if message_of(row) not in suspects]


def _lock_due_copies(tx: Tx, message_ids: Sequence[str], now: int) -> list[StoredCopy]:
    if not message_ids:
        return []
    # What is due is picked out here: as a condition it would tempt a planner to walk through everything that is due.
    rows = tx.fetch_all(
        SELECT_COPIES + f"WHERE c.message_id IN ({', '.join('?' * len(message_ids))})"
        f" ORDER BY c.id{_locking(tx, 'FOR UPDATE OF c')}",
        message_ids,
    )
    copies = [copy_from_row(row) for row in rows]
    return [copy for copy in copies if copy.state in FOR_WORKER and max(copy.next_at, copy.lease_until) <= now]


def _choose_deliveries(tx: Tx, limit: int, skip_hops: Collection[str], now: int) -> list[StoredCopy]:
    hops = [hop for hop in _due_hops(tx, now) if hop not in skip_hops]
    found: list[StoredCopy] = []
    for place, hop in enumerate(hops):
        share = -(-(limit - len(found)) // (len(hops) - place))
        rows = tx.fetch_all(
            SELECT_COPIES + f"WHERE c.state IN {DELIVER_STATES} AND c.hop = ? AND {_DUE}"
            f" ORDER BY c.next_at LIMIT ?{_locking(tx, 'FOR UPDATE OF c')}",
            [hop, now, now, share],
        )
        found += [copy_from_row(row) for row in rows]
    found.sort(key=lambda copy: copy.next_at)
    return _leave_suspects_alone(found, lambda copy: copy.message_id, lambda copy: copy.crashes)


def _due_hops(tx: Tx, now: int) -> list[str]:
    """Return the hops that have something due, the one that waits longest first, by jumps over the index."""
    states = DELIVER_STATES
    rows = tx.fetch_all(
        f"WITH RECURSIVE h(hop) AS (SELECT min(hop) FROM copy WHERE state IN {states}"  # noqa: S608
        f" UNION ALL SELECT (SELECT min(c.hop) FROM copy c WHERE c.state IN {states} AND c.hop > h.hop)"
        " FROM h WHERE h.hop IS NOT NULL)"
        " SELECT h.hop,"
        f" (SELECT min(c.next_at) FROM copy c WHERE c.state IN {states} AND c.hop = h.hop)"
        " FROM h WHERE h.hop IS NOT NULL"
    )
    due = sorted((int(next_at), str(hop)) for hop, next_at in rows if int(next_at) <= now)
    return [hop for _, hop in due]


def _shunt_hopeless(tx: Tx, copies: Sequence[StoredCopy], keys: Mapping[str, WrappedMailKey]) -> list[StoredCopy]:
    """Shunt the copies that three claims in a row did not settle, or whose mail has no key; return the others."""
    crashed = [copy for copy in copies if copy.crashes >= MAX_CRASHES]
    keyless = [copy for copy in copies if copy.crashes < MAX_CRASHES and copy.message_id not in keys]
    _shunt(tx, crashed, "three attempts in a row were never finished")
    _shunt(tx, keyless, "the key of this mail is gone")
    return [copy for copy in copies if copy.crashes < MAX_CRASHES and copy.message_id in keys]


def _shunt(tx: Tx, copies: Sequence[StoredCopy], why: str) -> None:
    now = tx.now_ms()
    tx.run_many(
        "UPDATE copy SET state = ?, owner = '', lease_until = 0, fence = fence + 1, last_status = ?, last_text = ?,"
        " updated_at = ? WHERE id = ?",
        [(State.SHUNTED.value, "4.3.0", why, now, copy.id) for copy in copies],
    )
    for copy in copies:
        detail: dict[str, EventDetail] = {"before": copy.state.value, "crashes": copy.crashes, "why": why}
        tx.append_event(Event("copy.shunted", _ACTOR, copy.tenant, copy.message_id, copy.id, detail))


def _lease(tx: Tx, owner: str, due: Sequence[tuple[StoredCopy, int]], until: int) -> list[StoredCopy]:
    """Lease copies, each with the time of its next attempt, and return them as they are now."""
    now = tx.now_ms()
    tx.run_many(
        "UPDATE copy SET owner = ?, lease_until = ?, fence = fence + 1, attempts = attempts + 1,"
        " crashes = crashes + 1, next_at = ?, updated_at = ? WHERE id = ?",
        [(owner, until, retry_at, now, copy.id) for copy, retry_at in due],
    )
    return [
        replace(
            copy,
            owner=owner,
            lease_until=until,
            next_at=retry_at,
            fence=copy.fence + 1,
            attempts=copy.attempts + 1,
            crashes=copy.crashes + 1,
        )
        for copy, retry_at in due
    ]
