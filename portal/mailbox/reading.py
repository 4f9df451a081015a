"""Reading: the list of sealed manifests, single chunks of them or of own parts, and the Sent list."""

from __future__ import annotations

from typing import Any

from portal.context import Portal
from portal.store.boxes import BoxRow
from portal.store.chunks import ChunkName, read_chunk
from portal.store.messages import MESSAGE, list_messages
from portal.store.outbox import SENT, list_sent, show_parts
from relay.core.clock import DAY
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.jsontext import format_time

MOST_MESSAGES = 200


def page_of_messages(portal: Portal, box: BoxRow, before: int, limit: int) -> dict[str, Any]:
    """Return one page, newest first; `more` tells whether older ones follow. Shredded rows are left out."""
    with portal.store.main.read() as connection:
        rows = list_messages(connection, box.id, before, limit + 1, portal.clock.now_ms())
    page = rows[:limit]
    keys = portal.store.rows.find(row.sealed.row_key for row in page)
    messages = []
    for row in page:
        sealed = portal.store.rows.open_with(keys, MESSAGE, box.id, row.id, row.sealed)
        if sealed is not None:
            messages.append(
                {
                    "id": row.id,
                    "no": row.no,
                    "gen": row.gen,
                    "card": row.card,
                    "expires": format_time(row.expires) if row.expires is not None else None,
                    "seen": row.is_seen,
                    "sealed": encode_b64(sealed),
                    "parts": show_parts(row.parts),
                }
            )
    return {"messages": messages, "more": len(rows) > limit}


def page_of_sent(portal: Portal, box: BoxRow, before: int, limit: int) -> dict[str, Any]:
    """Return one page of what was sent, newest first. `until`: when the copy goes, null before it was acknowledged."""
    with portal.store.main.read() as connection:
        rows = list_sent(connection, box.id, before, limit + 1)
    page = rows[:limit]
    keys = portal.store.rows.find(row.own.row_key for row in page)
    kept = portal.settings.limits.sent_days * DAY
    sent = []
    for row in page:
        own = portal.store.rows.open_with(keys, SENT, box.id, row.id, row.own)
        if own is not None:
            sent.append(
                {
                    "id": row.id,
                    "seq": row.seq,
                    "gen": row.gen,
                    "card": row.card,
                    "time": format_time(row.at),
                    "until": format_time(row.acked + kept) if row.acked is not None else None,
                    "state": row.state,
                    "self": encode_b64(own),
                    "parts": show_parts(row.parts),
                }
            )
    return {"sent": sent, "more": len(rows) > limit}


def read_box_chunk(portal: Portal, box: BoxRow, id_: str, i: int, n: int) -> bytes | None:
    """Return a chunk of a message or of an own part, or None."""
    with portal.store.main.read() as connection:
        found = read_chunk(connection, ChunkName(box.id, "down", id_, i, n))
        return found if found is not None else read_chunk(connection, ChunkName(box.id, "up", id_, i, n))
