"""What intake writes in one transaction: many arrivals together, and the chunks that go ahead of large ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from relay.core.clock import SECOND
from relay.core.envelope import Recipient
from relay.core.ports import Actor, Event, WrappedMailKey
from relay.spool.buffer import ChunkRow
from relay.spool.content import drop_ahead
from relay.spool.errors import ContentMissingError
from relay.spool.intake_ids import new_arrival_id
from relay.store.base import EventDetail, Tx
from relay.store.repositories.copies import INSERT_COPY, new_copy_row
from relay.store.repositories.messages import INSERT_CHUNK, StoredMessage, insert_messages
from relay.store.repositories.seen import note_seen, seen_digest
from relay.store.repositories.variants import ORIGINAL

AHEAD_LEASE_MS = 40 * SECOND
"""Chunks written ahead by a process that died are orphans after this; a living one extends it every 10 s."""
_SMALL_CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """A complete message; `received_at` is set by the transaction."""

    message: StoredMessage
    recipients: tuple[Recipient, ...]
    key: WrappedMailKey
    chunks: tuple[ChunkRow, ...]
    is_ahead: bool
    """Whether chunks were written ahead, which must all be there still."""
    header_message_id: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """Chunks of a message that is not complete yet."""

    message_id: str
    tenant: str
    chunks: tuple[ChunkRow, ...]
    is_first: bool


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete what was written ahead for a message."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Keep alive what was written ahead for these messages."""

    message_ids: tuple[str, ...]


IntakeItem: TypeAlias = Arrival | Ahead | Drop | Heartbeat


def weigh_item(item: IntakeItem) -> int:
    """Return the octets of an item's chunks."""
    return sum(len(row[4]) for row in item.chunks) if isinstance(item, Ahead | Arrival) else 0


def write_batch(tx: Tx, items: Sequence[IntakeItem]) -> Sequence[None]:
    """Write a batch; the batch function of intake's GroupCommitWriter."""
    arrivals = [item for item in items if isinstance(item, Arrival)]
    for item in items:
        if isinstance(item, Ahead):
            _begin_or_extend(tx, item)
        elif isinstance(item, Drop):
            drop_ahead(tx, item.message_id, ORIGINAL)
        elif isinstance(item, Heartbeat):
            _extend(tx, item.message_ids)
        elif item.is_ahead:
            _end_ahead(tx, item.message.id)
    _insert_chunks(tx, [row for item in items if isinstance(item, Ahead | Arrival) for row in item.chunks])
    if arrivals:
        _write_arrivals(tx, arrivals)
    return [None] * len(items)


def _insert_chunks(tx: Tx, rows: Sequence[ChunkRow]) -> None:
    # The driver copies what it inserts in one step.
    tx.insert_many(INSERT_CHUNK, [row for row in rows if len(row[4]) <= _SMALL_CHUNK])
    tx.run_many(INSERT_CHUNK, [row for row in rows if len(row[4]) > _SMALL_CHUNK])


def _begin_or_extend(tx: Tx, ahead: Ahead) -> None:
    if ahead.is_first:
        tx.run(
            "INSERT INTO incoming (message_id, variant, tenant, owner, lease_until) VALUES (?, ?, ?, ?, ?)",
            [ahead.message_id, ORIGINAL, ahead.tenant, tx.database.process, tx.now_ms() + AHEAD_LEASE_MS],
        )
    elif not _extend(tx, (ahead.message_id,)):
        raise ContentMissingError(f"message {ahead.message_id}: what was written ahead was swept")


def _extend(tx: Tx, message_ids: Sequence[str]) -> int:
    until = tx.now_ms() + AHEAD_LEASE_MS
    return tx.run_many(
        "UPDATE incoming SET lease_until = ? WHERE message_id = ? AND variant = ?",
        [(until, message_id, ORIGINAL) for message_id in message_ids],
    )


def _end_ahead(tx: Tx, message_id: str) -> None:
    if not tx.run("DELETE FROM incoming WHERE message_id = ? AND variant = ?", [message_id, ORIGINAL]):
        raise ContentMissingError(f"message {message_id}: what was written ahead was swept")


def _write_arrivals(tx: Tx, arrivals: Sequence[Arrival]) -> None:
    now = tx.now_ms()
    messages = [arrival.message for arrival in arrivals]
    insert_messages(tx, messages, [arrival.key for arrival in arrivals], received_at=now)
    tx.insert_many(
        INSERT_COPY,
        [
            new_copy_row(message.id, message.tenant, recipient, now, copy_id=new_arrival_id())
            for message, arrival in zip(messages, arrivals, strict=True)
            for recipient in arrival.recipients
        ],
    )
    retries = _flag_retries(tx, arrivals)
    for message, arrival in zip(messages, arrivals, strict=True):
        detail: dict[str, EventDetail] = {
            "listener": message.listener,
            "side": message.side.value,
            "client": message.client_ip,
            "size": message.size,
            "recipients": len(arrival.recipients),
        }
        if message.id in retries:
            detail["retry_of"] = retries[message.id]
        actor = Actor("peer", message.client_ip) if message.login is None else Actor("user", message.login)
        tx.append_event(Event("message.received", actor, message.tenant, message.id, detail=detail))


def _flag_retries(tx: Tx, arrivals: Sequence[Arrival]) -> dict[str, list[str]]:
    """Return, by message id, the earlier messages that one looks like."""
    tenant = arrivals[0].message.tenant
    known: dict[str, str] = {}
    for arrival in arrivals:
        for recipient in arrival.recipients:
            digest = seen_digest(
                arrival.message.reverse_path, arrival.header_message_id, arrival.message.sha256, recipient.forward_path
            )
            known.setdefault(digest, arrival.message.id)
    earlier = note_seen(tx, tenant, list(known.items()))
    flagged: dict[str, set[str]] = {}
    for digest, before in earlier.items():
        flagged.setdefault(known[digest], set()).add(before)
    return {message_id: sorted(before) for message_id, before in flagged.items()}
