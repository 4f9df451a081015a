"""The outbox as the relay pulls it: long poll, lease of one puller a box, acknowledgement after the inside commit."""

from __future__ import annotations

import time
from typing import Any

from portal.context import Portal
from portal.link.boxes import show_rekey
from portal.security.errors import ApiError
from portal.store.chunks import ChunkName, read_chunk
from portal.store.models import DUMMY_BOX
from portal.store.outbox import OUTBOX, StoredEntry, acknowledge, has_waiting, lease_entries, reoffer, show_parts
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.jsontext import format_time

MOST_WAIT = 60
MOST_ENTRIES = 200
_LOOK_EVERY = 0.15
"""Seconds between two looks: one indexed query, and at most so much later an answer arrives inside."""


def pull_entries(portal: Portal, puller: str, wait: float, limit: int) -> list[dict[str, Any]]:
    """Return waiting entries; none after `wait` seconds without one."""
    end = time.monotonic() + wait
    while True:
        with portal.store.main.read() as connection:
            waiting = has_waiting(connection, puller, portal.clock.now_ms())
        if waiting:
            with portal.store.main.write() as connection:
                entries = lease_entries(connection, puller, limit, portal.clock.now_ms())
            if entries:
                return _show(portal, entries)
        left = end - time.monotonic()
        if left <= 0:
            return []
        time.sleep(min(_LOOK_EVERY, left))


def _show(portal: Portal, entries: list[StoredEntry]) -> list[dict[str, Any]]:
    keys = portal.store.rows.find(entry.sealed.row_key for entry in entries)
    shown = []
    for entry in entries:
        octets = portal.store.rows.open_with(keys, OUTBOX, entry.box, entry.id, entry.sealed)
        common: dict[str, Any] = {"kind": entry.kind, "seq": entry.seq, "id": entry.id}
        # A row that was restored without its key cannot be given; the relay refuses what is empty, and goes on.
        sealed = octets or b""
        if entry.kind == "join":
            shown.append(common | {"card": entry.card, "sealed": encode_b64(sealed)})
        elif entry.kind == "rekey":
            shown.append(common | {"box": entry.box, "gen": entry.gen} | show_rekey(sealed))
        else:
            shown.append(
                common
                | {
                    "box": entry.box,
                    "gen": entry.gen,
                    "card": entry.card,
                    "sealed": encode_b64(sealed),
                    "parts": show_parts(entry.parts),
                }
            )
    return shown


def read_item_chunk(portal: Portal, box_id: str, id_: str, i: int, n: int) -> bytes:
    """Return a chunk of an item. Raises ApiError 404."""
    with portal.store.main.read() as connection:
        data = read_chunk(connection, ChunkName(box_id, "up", id_, i, n))
    if data is None:
        raise ApiError(404, "unknown")
    return data


def acknowledge_entries(portal: Portal, acks: list[tuple[str | None, str, str]]) -> None:
    """Note what became of entries (box or None, id, taken or refused), in one commit."""
    with portal.store.main.write() as connection:
        for box_id, entry_id, result in acks:
            acknowledge(connection, box_id or DUMMY_BOX, entry_id, result, portal.clock.now_ms())


def reoffer_entries(portal: Portal, since: int) -> None:
    """Offer again what was acknowledged since then: the link's key was stolen."""
    with portal.store.main.write() as connection:
        reoffer(connection, since)
    portal.audit.note("reoffered", since=format_time(since))
