"""Cards, tokens, registrations, reports and the mark: for the relay (sealed-mailbox 15)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from portal.context import Portal
from portal.security.errors import ApiError
from portal.store.boxes import is_reconciling
from portal.store.models import card, mark, registration, token
from portal.store.reports import drop_reports, take_reports
from relay.core.clock import MINUTE
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.jsontext import format_time

OLD_MARK = 10 * MINUTE


@dataclass(frozen=True, slots=True)
class CardRecord:
    """A card's octets and the roots' signatures over them."""

    card: bytes
    sigs: list[dict[str, str]]


def put_card(portal: Portal, serial: int, record: CardRecord, digest: bytes) -> int:
    """Store a card: 201, 200 again. Other octets: 409; the same card with other signatures (a new root) is replaced."""
    values = {"card": record.card, "sigs": json.dumps(record.sigs), "digest": digest}
    with portal.store.main.write() as connection:
        stored = connection.execute(select(card).where(card.c.serial == serial).with_for_update()).one_or_none()
        if stored is None:
            connection.execute(insert(card), {"serial": serial, **values})
        elif bytes(stored.card) != record.card:
            raise ApiError(409, "changed")
        else:
            connection.execute(update(card).where(card.c.serial == serial).values(**values))
    if stored is None or bytes(stored.digest) != digest:
        portal.audit.note("card-pushed", serial=serial, sha256=encode_b64(digest))
    return 201 if stored is None else 200


def put_token(portal: Portal, hash_: str, values: dict[str, Any], digest: bytes) -> int:
    """Store a reply link's hash: 201, 200 again, 409 for another."""
    with portal.store.main.write() as connection:
        return _put_once(connection, token, hash_, values, digest)


def put_registration(portal: Portal, hash_: str, expires: int | None, digest: bytes) -> int:
    """Store a registration link's hash: 201, 200 again, 409 for another."""
    with portal.store.main.write() as connection:
        return _put_once(connection, registration, hash_, {"expires": expires}, digest)


def _put_once(connection: Connection, table: Table, hash_: str, values: dict[str, Any], digest: bytes) -> int:
    stored = connection.execute(select(table.c.digest).where(table.c.hash == hash_)).scalar()
    if stored is None:
        connection.execute(insert(table), {"hash": hash_, "digest": digest, **values})
        return 201
    if bytes(stored) != digest:
        raise ApiError(409, "changed")
    return 200


def hand_out_reports(portal: Portal, limit: int) -> list[dict[str, Any]]:
    """Return unsigned hints; they stay until they are acknowledged."""
    with portal.store.main.write() as connection:
        reports = take_reports(connection, limit)
    return [
        {"seq": one.seq, "kind": one.kind, "box": one.box, "time": format_time(one.time), "count": one.count}
        | ({} if one.gen is None else {"gen": one.gen})
        for one in reports
    ]


def acknowledge_reports(portal: Portal, seq: int) -> None:
    """Drop the hints up to and with this number."""
    with portal.store.main.write() as connection:
        drop_reports(connection, seq)


def read_mark(portal: Portal) -> dict[str, Any]:
    """Return the mark, and whether the portal waits for a comparison."""
    with portal.store.main.read() as connection:
        row = connection.execute(select(mark).where(mark.c.id == 1)).one()
    return {"mark": row.number, "time": row.time, "waiting": bool(row.waiting)}


def write_mark(portal: Portal, number: int, time: str, *, is_reconciled: bool) -> None:
    """Write the mark; `is_reconciled` opens a portal that waits. Raises ApiError 409 for a lower one."""
    with portal.store.main.write() as connection:
        row = connection.execute(select(mark).where(mark.c.id == 1).with_for_update()).one()
        if row.number is not None and number < row.number:
            raise ApiError(409, "mark", mark=row.number)
        waiting = row.waiting and not is_reconciled
        connection.execute(
            update(mark)
            .where(mark.c.id == 1)
            .values(number=number, time=time, written=portal.clock.now_ms(), waiting=int(waiting))
        )
        is_opened = bool(row.waiting) and not waiting
    if is_opened:
        portal.audit.note("reconciled", mark=number)


def check_mark(portal: Portal) -> bool:
    """At a process's start: if the mark is older than 10 minutes, take no login until the relay has compared.

    Returns whether the portal waits. Kept in the database, so that a process that starts later waits as well.
    """
    with portal.store.main.write() as connection:
        old = portal.clock.now_ms() - OLD_MARK
        connection.execute(update(mark).where(mark.c.id == 1, mark.c.written < old).values(waiting=1))
        return is_reconciling(connection)
