"""Sealed chunks: `down` from the relay, `up` from the browser. Octets as they came; a stored one never changes.

They open nothing and are not sealed again. One chunk is at most 1 MiB and 28 octets, so no view holds more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select

from portal.store.boxes import change_used
from portal.store.models import chunk
from portal.store.outbox import Parts

SEAL_OCTETS = 28
"""Nonce and tag of each chunk."""
CHUNK_LIMIT = 1024 * 1024 + SEAL_OCTETS
MAX_PARTS = 100
MAX_CHUNKS = 2048
"""Of one part: 2 GB, the hard limit of a message (sealed-mailbox 17)."""
PART_NUMBERS = 10_000
"""A part that was begun anew after a reload has a new number."""

Side = Literal["down", "up"]


@dataclass(frozen=True, slots=True)
class ChunkName:
    """Where a chunk belongs."""

    box: str
    side: Side
    id: str
    i: int
    n: int


def find_chunk_digest(connection: Connection, name: ChunkName) -> bytes | None:
    """Return SHA-256 of a stored chunk, or None."""
    query = select(chunk.c.sha256).where(
        chunk.c.box == name.box,
        chunk.c.side == name.side,
        chunk.c.id == name.id,
        chunk.c.i == name.i,
        chunk.c.n == name.n,
    )
    found = connection.execute(query).scalar()
    return bytes(found) if found is not None else None


def add_chunk(connection: Connection, name: ChunkName, data: bytes, now: int) -> None:
    """Store a chunk that is not there yet, under the box row's lock, and count it."""
    connection.execute(
        insert(chunk),
        {
            "box": name.box,
            "side": name.side,
            "id": name.id,
            "i": name.i,
            "n": name.n,
            "size": len(data),
            "sha256": hashlib.sha256(data).digest(),
            "stored": now,
            "data": data,
        },
    )
    change_used(connection, name.box, len(data))


def read_chunk(connection: Connection, name: ChunkName) -> bytes | None:
    """Return a chunk's octets, or None."""
    query = select(chunk.c.data).where(
        chunk.c.box == name.box,
        chunk.c.side == name.side,
        chunk.c.id == name.id,
        chunk.c.i == name.i,
        chunk.c.n == name.n,
    )
    found = connection.execute(query).scalar()
    return bytes(found) if found is not None else None


def list_chunks(connection: Connection, box: str, side: Side, id_: str) -> dict[int, list[int]]:
    """Return which chunks of an id are here, by part."""
    query = (
        select(chunk.c.i, chunk.c.n)
        .where(chunk.c.box == box, chunk.c.side == side, chunk.c.id == id_)
        .order_by(chunk.c.i, chunk.c.n)
    )
    found: dict[int, list[int]] = {}
    for i, n in connection.execute(query):
        found.setdefault(i, []).append(n)
    return found


def list_missing(connection: Connection, box: str, side: Side, id_: str, parts: Parts) -> list[tuple[int, int]]:
    """Return which chunks of these parts are not here; at most a thousand are named."""
    here = list_chunks(connection, box, side, id_)
    missing: list[tuple[int, int]] = []
    for i, count in parts:
        held = set(here.get(i, ()))
        missing.extend((i, n) for n in range(count) if n not in held)
    return missing[:1000]


def measure(connection: Connection, box: str, side: Side, id_: str, parts: Parts | None = None) -> int:
    """Return the octets of all chunks of an id; with `parts` of these parts alone."""
    query = select(func.coalesce(func.sum(chunk.c.size), 0)).where(
        chunk.c.box == box, chunk.c.side == side, chunk.c.id == id_
    )
    if parts is not None:
        query = query.where(chunk.c.i.in_([i for i, _ in parts]))
    return int(connection.execute(query).scalar_one())


def drop_chunks(connection: Connection, box: str, side: Side, id_: str, *, keep: Parts | None = None) -> None:
    """Delete the chunks of an id, except those that `keep` names, and count them off."""
    kept = dict(keep or ())
    here = list_chunks(connection, box, side, id_)
    of_id = (chunk.c.box == box, chunk.c.side == side, chunk.c.id == id_)
    for i in here:
        of_part = (*of_id, chunk.c.i == i, chunk.c.n >= kept.get(i, 0))
        size = connection.execute(select(func.coalesce(func.sum(chunk.c.size), 0)).where(*of_part)).scalar_one()
        if size:
            connection.execute(delete(chunk).where(*of_part))
            change_used(connection, box, -int(size))


def drop_all_chunks(connection: Connection, box: str) -> None:
    """Delete every chunk of a box."""
    connection.execute(delete(chunk).where(chunk.c.box == box))


def is_sensible(parts: Iterable[tuple[int, int]]) -> bool:
    """Tell whether part numbers are distinct and within limits."""
    found = list(parts)
    return (
        len(found) <= MAX_PARTS
        and len({i for i, _ in found}) == len(found)
        and all(0 <= i < PART_NUMBERS and 1 <= count <= MAX_CHUNKS for i, count in found)
    )
