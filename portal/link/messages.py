"""What the relay pushes into boxes: chunks, then the message that makes them visible; and what it takes back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import select

from portal.context import Portal
from portal.security.errors import ApiError
from portal.store.boxes import lock_box
from portal.store.chunks import ChunkName, add_chunk, find_chunk_digest, list_chunks, list_missing
from portal.store.messages import MESSAGE, MessageRow, add_message, drop_message, find_message
from portal.store.models import message as message_table
from portal.store.outbox import Parts


@dataclass(frozen=True, slots=True)
class MessageHead:
    """A sealed message without its chunks."""

    no: int
    gen: int
    card: int
    expires: int | None
    sealed: bytes
    parts: Parts
    digest: bytes


def put_chunk(portal: Portal, name: ChunkName, data: bytes) -> int:
    """Store a chunk: 201, 200 here already. Raises ApiError 404 unknown box, 409 other octets."""
    with portal.store.main.write() as connection:
        row = lock_box(connection, name.box)
        if row is None or row.is_dummy or row.state == "closed":
            raise ApiError(404, "unknown")
        stored = find_chunk_digest(connection, name)
        if stored is not None:
            if stored != hashlib.sha256(data).digest():
                raise ApiError(409, "changed")
            return 200
        add_chunk(connection, name, data, portal.clock.now_ms())
    return 201


def list_held(portal: Portal, box_id: str, message_id: str) -> dict[int, list[int]]:
    """Return which chunks of a message are here, so that a push goes on where it stopped."""
    with portal.store.main.read() as connection:
        return list_chunks(connection, box_id, "down", message_id)


def put_message(portal: Portal, box_id: str, message_id: str, head: MessageHead) -> int:
    """Make a message visible: 201, or 200 the same again. Raises ApiError 404, 409 missing, 409 changed."""
    row = portal.store.rows.seal(MESSAGE, box_id, message_id, head.sealed)
    new = MessageRow(
        box_id, message_id, head.no, head.gen, head.card, head.expires, row, head.parts, head.digest, is_seen=False
    )
    shredded: str | None = row.row_key
    refusal: ApiError | None = None
    with portal.store.main.read() as connection:
        before = find_message(connection, box_id, message_id)
    is_shut = before is not None and not portal.store.rows.find([before.sealed.row_key])
    with portal.store.main.write() as connection:
        locked = lock_box(connection, box_id)
        stored = find_message(connection, box_id, message_id)
        status = 201
        if locked is None or locked.is_dummy or locked.state == "closed":
            refusal = ApiError(404, "unknown")
        elif stored is not None and not is_shut:
            status = 200
            refusal = ApiError(409, "changed") if stored.digest != head.digest else None
        elif missing := list_missing(connection, box_id, "down", message_id, head.parts):
            refusal = ApiError(409, "missing", missing=missing)
        else:
            if stored is not None:
                # Restored without its row key: the same message takes its own place.
                connection.execute(
                    message_table.delete().where(message_table.c.box == box_id, message_table.c.id == message_id)
                )
            add_message(connection, new, portal.clock.now_ms())
            shredded = None
    portal.store.rows.shred([shredded])
    if refusal is not None:
        raise refusal
    return status


def delete_message(portal: Portal, box_id: str, message_id: str) -> None:
    """Delete a message, its chunks and its row key; one that is not there is deleted too."""
    with portal.store.main.write() as connection:
        lock_box(connection, box_id)
        name = drop_message(connection, box_id, message_id)
    portal.store.rows.shred([name])


def sweep_expired(portal: Portal, limit: int = 200) -> int:
    """Delete messages whose time is over; return how many. The relay deletes them too, this is for when it is away."""
    with portal.store.main.read() as connection:
        query = select(message_table.c.box, message_table.c.id).where(message_table.c.expires <= portal.clock.now_ms())
        rows = connection.execute(query.limit(limit)).all()
    for row in rows:
        delete_message(portal, row.box, row.id)
    return len(rows)
