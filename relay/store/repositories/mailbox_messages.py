"""Messages in boxes: sealed manifests, with what the inside must know of them: whom a reply goes to, how long kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from relay.store.base import Row, Tx, insert_sql
from relay.store.errors import NotFoundError

MAIL = "mail"
TICKET = "ticket"
RECEIPT = "receipt"
ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part as the portal knows it: its number and how many chunks it has."""

    i: int
    chunks: int


@dataclass(frozen=True, slots=True)
class BoxMessage:
    """One row of `mailbox_message`. Times in milliseconds."""

    box: str
    id: str
    tenant: str
    copy_id: str | None
    """The copy that it delivers; None for what the gateway says itself."""
    message_id: str | None
    """The spool's message."""
    no: int
    gen: int
    kind: str
    """`mail`, `ticket`, `receipt`, `account`."""
    card: int
    sealed: bytes
    parts: tuple[StoredPart, ...]
    thread: str
    sender: str
    """Normal address of the inside sender: where `to: sender` goes."""
    sender_name: str
    to_addresses: tuple[str, ...]
    """Of the header, as written there; never Bcc."""
    cc_addresses: tuple[str, ...]
    header_message_id: str
    """With angle brackets, "" for none."""
    references_ids: tuple[str, ...]
    receipt: bool
    """The sender asked to be told of reading."""
    created_at: int
    expires_at: int
    pushed_at: int | None = None
    read_at: int | None = None
    deleted_at: int | None = None
    """Recalled, expired, or deleted by the reader: sealed bytes and chunks are gone."""
    files: bool | None = None
    """Of a ticket: whether it says that its answer may have files; None where nobody knows."""


_MOST_IDS = 50
_COLUMNS = tuple(BoxMessage.__dataclass_fields__)
_LISTS = ("to_addresses", "cc_addresses", "references_ids")
_INSERT = insert_sql("mailbox_message", _COLUMNS)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM mailbox_message "  # noqa: S608 - our own column names


def _from_row(row: Row) -> BoxMessage:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["sealed"] = bytes(values["sealed"])
    values["parts"] = tuple(StoredPart(one["i"], one["chunks"]) for one in json.loads(values["parts"]))
    values["receipt"] = bool(values["receipt"])
    values["files"] = None if values["files"] is None else bool(values["files"])
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name]))
    return BoxMessage(**values)


def _to_row(message: BoxMessage) -> list[object]:
    row = []
    for name in _COLUMNS:
        value = getattr(message, name)
        if name == "parts":
            value = json.dumps([{"i": part.i, "chunks": part.chunks} for part in value])
        elif name in _LISTS:
            value = json.dumps(list(value))
        row.append(value)
    return row


def add_box_message(tx: Tx, message: BoxMessage) -> None:
    """Store a sealed message. Raises ConflictError for an id that is there."""
    tx.run(_INSERT, _to_row(message))


def get_box_message(tx: Tx, tenant: str, box_id: str, message_id: str) -> BoxMessage:
    """Return one message of a box. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + "WHERE box = ? AND id = ? AND tenant = ?", [box_id, message_id, tenant])
    if row is None:
        raise NotFoundError(f"mailbox {box_id}: no message {message_id}")
    return _from_row(row)


def messages_of_box(tx: Tx, tenant: str, box_id: str, *, is_kept: bool = False) -> list[BoxMessage]:
    """Return a box's messages by number; with `is_kept` those only that were not deleted."""
    sql = _SELECT + "WHERE box = ? AND tenant = ?" + (" AND deleted_at IS NULL" if is_kept else "")
    return [_from_row(row) for row in tx.fetch_all(sql + " ORDER BY no", [box_id, tenant])]


def messages_of_copies(tx: Tx, tenant: str, copy_ids: Sequence[str]) -> dict[str, BoxMessage]:
    """Return by copy id what was made for copies."""
    if not copy_ids:
        return {}
    marks = ", ".join("?" * len(copy_ids))
    rows = tx.fetch_all(_SELECT + f"WHERE tenant = ? AND copy_id IN ({marks}) ORDER BY no", [tenant, *copy_ids])
    return {message.copy_id or "": message for message in map(_from_row, rows)}


def find_answered(tx: Tx, tenant: str, box_id: str, header_message_ids: Sequence[str]) -> tuple[str, str] | None:
    """Return id and thread of the newest mail in a box that has one of these Message-IDs (RFC 5322 3.6.4)."""
    wanted = [one for one in header_message_ids if one][-_MOST_IDS:]
    if not wanted:
        return None
    row = tx.fetch_one(
        "SELECT id, thread FROM mailbox_message WHERE box = ? AND tenant = ? AND kind = 'mail'"  # noqa: S608
        f" AND header_message_id IN ({', '.join('?' * len(wanted))}) ORDER BY no DESC LIMIT 1",
        [box_id, tenant, *wanted],
    )
    return None if row is None else (str(row[0]), str(row[1]))


def senders_of_box(tx: Tx, tenant: str, box_id: str, *, is_kept: bool = True) -> frozenset[str]:
    """Return the inside senders whose mail lies (or, without `is_kept`, ever lay) in a box."""
    sql = "SELECT DISTINCT sender FROM mailbox_message WHERE box = ? AND tenant = ? AND kind = 'mail'"
    rows = tx.fetch_all(sql + (" AND deleted_at IS NULL" if is_kept else ""), [box_id, tenant])
    return frozenset(row[0] for row in rows)


def generations_with_mail(tx: Tx, tenant: str, box_id: str) -> frozenset[int]:
    """Return the generations that kept messages of a box are sealed to."""
    sql = "SELECT DISTINCT gen FROM mailbox_message WHERE box = ? AND tenant = ? AND deleted_at IS NULL"
    return frozenset(int(row[0]) for row in tx.fetch_all(sql, [box_id, tenant]))


def last_sender(tx: Tx, tenant: str, box_id: str) -> str | None:
    """Return the inside sender who wrote to a box last, kept or not."""
    row = tx.fetch_one(
        "SELECT sender FROM mailbox_message WHERE box = ? AND tenant = ? AND kind = 'mail' ORDER BY no DESC LIMIT 1",
        [box_id, tenant],
    )
    return None if row is None else str(row[0])


def account_words(tx: Tx, tenant: str, box_id: str) -> list[BoxMessage]:
    """Return the words on generations that a box still holds."""
    sql = _SELECT + "WHERE box = ? AND tenant = ? AND kind = 'account' AND deleted_at IS NULL ORDER BY no"
    return [_from_row(row) for row in tx.fetch_all(sql, [box_id, tenant])]


def mark_message_pushed(tx: Tx, tenant: str, box_id: str, message_id: str) -> bool:
    """Note that the portal shows a message; False when that was noted before."""
    return _mark(tx, "pushed_at", tenant, box_id, message_id)


def mark_message_read(tx: Tx, tenant: str, box_id: str, message_id: str) -> bool:
    """Note the signed word that a message was read; False when that was noted before."""
    return _mark(tx, "read_at", tenant, box_id, message_id)


def drop_message(tx: Tx, tenant: str, box_id: str, message_id: str) -> bool:
    """Destroy a message's sealed bytes and chunks, keep what tells of it; False when that was done before."""
    if not _mark(tx, "deleted_at", tenant, box_id, message_id):
        return False
    tx.run(
        "UPDATE mailbox_message SET sealed = ? WHERE box = ? AND id = ? AND tenant = ?",
        [b"", box_id, message_id, tenant],
    )
    tx.run("DELETE FROM mailbox_chunk WHERE box = ? AND id = ? AND tenant = ?", [box_id, message_id, tenant])
    return True


def messages_to_expire(tx: Tx, tenant: str, now_ms: int, limit: int = 100) -> list[BoxMessage]:
    """Return messages that are kept longer than their time."""
    rows = tx.fetch_all(
        _SELECT + "WHERE deleted_at IS NULL AND expires_at <= ? AND tenant = ? ORDER BY expires_at LIMIT ?",
        [now_ms, tenant, limit],
    )
    return [_from_row(row) for row in rows]


def _mark(tx: Tx, column: str, tenant: str, box_id: str, message_id: str) -> bool:
    # The column is one of ours, never a caller's.
    sql = f"UPDATE mailbox_message SET {column} = ? WHERE box = ? AND id = ? AND tenant = ? AND {column} IS NULL"  # noqa: S608
    return tx.run(sql, [tx.now_ms(), box_id, message_id, tenant]) == 1
