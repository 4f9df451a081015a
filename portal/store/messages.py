"""Sealed messages of a box, newest first by `no`. A page costs the same with ten messages and with ten thousand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from portal.store.chunks import drop_chunks
from portal.store.models import message
from portal.store.outbox import Parts, decode_parts, encode_parts
from portal.store.rowkeys import SealedRow

MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as stored."""

    box: str
    id: str
    no: int
    gen: int
    card: int
    expires: int | None
    sealed: SealedRow
    parts: Parts
    digest: bytes
    is_seen: bool


def _to_message(row: Row[Any]) -> MessageRow:
    return MessageRow(
        row.box,
        row.id,
        row.no,
        row.gen,
        row.card,
        row.expires,
        SealedRow(row.row_key, bytes(row.sealed)),
        decode_parts(row.parts),
        bytes(row.digest),
        bool(row.seen),
    )


def find_message(connection: Connection, box: str, message_id: str) -> MessageRow | None:
    """Return one message, or None."""
    query = select(message).where(message.c.box == box, message.c.id == message_id)
    row = connection.execute(query).one_or_none()
    return _to_message(row) if row is not None else None


def list_messages(connection: Connection, box: str, before: int, limit: int, now: int) -> list[MessageRow]:
    """Return the newest messages below a number that have not expired."""
    query = (
        select(message)
        .where(message.c.box == box, message.c.no < before, (message.c.expires.is_(None)) | (message.c.expires > now))
        .order_by(message.c.no.desc())
        .limit(limit)
    )
    return [_to_message(row) for row in connection.execute(query)]


def add_message(connection: Connection, row: MessageRow, now: int) -> None:
    """Insert a message whose chunks are all here."""
    connection.execute(
        insert(message),
        {
            "box": row.box,
            "id": row.id,
            "no": row.no,
            "gen": row.gen,
            "card": row.card,
            "expires": row.expires,
            "row_key": row.sealed.row_key,
            "sealed": row.sealed.sealed,
            "parts": encode_parts(row.parts),
            "digest": row.digest,
            "stored": now,
        },
    )


def mark_seen(connection: Connection, box: str, message_id: str) -> None:
    """Note that the reader's browser said `read`."""
    connection.execute(update(message).where(message.c.box == box, message.c.id == message_id).values(seen=1))


def drop_message(connection: Connection, box: str, message_id: str) -> str | None:
    """Delete a message and its chunks; return the row key to shred once this is committed."""
    where = (message.c.box == box, message.c.id == message_id)
    name = connection.execute(select(message.c.row_key).where(*where)).scalar()
    if name is not None:
        connection.execute(delete(message).where(*where))
    drop_chunks(connection, box, "down", message_id)
    return name
