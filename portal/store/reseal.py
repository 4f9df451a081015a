"""After a change of the pepper: every row that the old one sealed is sealed under the new one and a new row key.

Runs beside the portal, row by row: a row that changes meanwhile is left, it is new already. Can be stopped and started
again. Once it says that nothing is left, the old pepper may go (sealed-mailbox 14).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, func, select, update

from portal.store.base import Store
from portal.store.boxes import CAPSULE, CAPSULE_BLOCK, load_box, open_capsule_row, pad_capsule
from portal.store.drafts import DRAFT
from portal.store.messages import MESSAGE
from portal.store.models import box, draft, message, outbox
from portal.store.outbox import OUTBOX, SENT
from portal.store.rowkeys import SealedRow

_AT_ONCE = 200
ROW_SEAL_OCTETS = 28
"""Nonce and tag of a sealed row."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Where one kind of sealed value lies; `id` is None where a box has one of them."""

    label: str
    table: Table
    box: Column[Any]
    id: Column[Any] | None
    row_key: Column[Any]
    sealed: Column[Any]


_ALL = (
    _Sealed(CAPSULE, box, box.c.id, None, box.c.capsule_key, box.c.capsule),
    _Sealed(MESSAGE, message, message.c.box, message.c.id, message.c.row_key, message.c.sealed),
    _Sealed(DRAFT, draft, draft.c.box, draft.c.id, draft.c.row_key, draft.c.sealed),
    _Sealed(OUTBOX, outbox, outbox.c.box, outbox.c.id, outbox.c.row_key, outbox.c.sealed),
    _Sealed(SENT, outbox, outbox.c.box, outbox.c.id, outbox.c.self_row_key, outbox.c.self_sealed),
)


def reseal_rows(store: Store) -> int:
    """Re-seal what the old pepper sealed; return how many rows."""
    return sum(_reseal_kind(store, kind) for kind in _ALL)


def _reseal_kind(store: Store, kind: _Sealed) -> int:
    done = 0
    last = ""
    columns = [kind.box, kind.row_key, kind.sealed, *([kind.id] if kind.id is not None else [])]
    while True:
        with store.main.read() as connection:
            query = select(*columns).where(kind.row_key > last).order_by(kind.row_key).limit(_AT_ONCE)
            rows = connection.execute(query).all()
        if not rows:
            return done
        last = rows[-1][1]
        keys = store.rows.find(row[1] for row in rows)
        for row in rows:
            sealed = SealedRow(row[1], bytes(row[2]))
            id_ = row[3] if kind.id is not None else ""
            if store.rows.is_old(keys, kind.label, row[0], id_, sealed):
                plaintext = store.rows.open_with(keys, kind.label, row[0], id_, sealed)
                assert plaintext is not None
                done += _replace(store, kind, sealed, store.rows.seal(kind.label, row[0], id_, plaintext))


def pad_capsules(store: Store, limit: int = _AT_ONCE) -> int:
    """Fill up capsules that an older version stored as they came (CAPSULE_BLOCK), about `limit` of them; return how
    many. Those that no key opens stay as they are and keep none behind them waiting."""
    is_short = func.length(box.c.capsule) % CAPSULE_BLOCK != ROW_SEAL_OCTETS
    short = select(box.c.id).where(box.c.capsule.is_not(None), is_short).order_by(box.c.id).limit(limit)
    done = 0
    last: str | None = None
    while done < limit:
        with store.main.read() as connection:
            # The row of nobody has the empty id, so the first one is behind nothing.
            query = short if last is None else short.where(box.c.id > last)
            found = [load_box(connection, id_) for id_ in connection.execute(query).scalars().all()]
        if not found:
            break
        for row in found:
            assert row is not None
            last = row.id
            octets = open_capsule_row(store, row)
            if row.capsule is not None and octets is not None:
                new = store.rows.seal(CAPSULE, row.id, "", pad_capsule(octets))
                done += _replace(store, _ALL[0], row.capsule, new)
    return done


def _replace(store: Store, kind: _Sealed, old: SealedRow, new: SealedRow) -> int:
    with store.main.write() as connection:
        changed = connection.execute(
            update(kind.table)
            .where(kind.row_key == old.row_key)
            .values({kind.row_key: new.row_key, kind.sealed: new.sealed})
        ).rowcount
    store.rows.shred([old.row_key if changed else new.row_key])
    return changed
