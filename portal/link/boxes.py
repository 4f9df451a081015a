"""What the relay does to boxes: push a capsule, end, look at what is held (sealed-mailbox 11, 15).

A push names the capsule that it replaces. It is refused while entries wait or while another capsule is here, so that a
password that a reader has just chosen is never overwritten unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from portal.accounts.login import counter_name
from portal.accounts.rekey import SIGNATURE_OCTETS, digest_capsule
from portal.context import Portal
from portal.security.errors import ApiError
from portal.store import sessions, throttle
from portal.store.boxes import CAPSULE, BoxRow, count_waiting, load_box, lock_box, open_capsule_row, pad_capsule
from portal.store.chunks import drop_all_chunks
from portal.store.models import DUMMY_BOX, SPENT, box, card, draft, lease, message, outbox, token
from portal.store.outbox import OUTBOX, list_rekeys
from portal.store.rowkeys import SealedRow
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.capsule import Capsule

ENDS = ("sessions", "freeze", "thaw", "expire", "close")


@dataclass(frozen=True, slots=True)
class BoxHead:
    """What the relay pushes."""

    login_id: str
    base: str | None
    capsule: Capsule
    state: str
    first_expires: int | None
    must_change: bool
    lang: str


def put_box(portal: Portal, box_id: str, head: BoxHead) -> int:
    """Store a capsule: 201, or 200 when it is here already. Raises ApiError 409 capsule, 409 login."""
    sha = digest_capsule(head.capsule.octets)
    with portal.store.main.read() as connection:
        before = load_box(connection, box_id)
    # After a restore the row may be there and its key not: then nothing is held.
    is_shut = before is not None and before.capsule is not None and open_capsule_row(portal.store, before) is None
    row = portal.store.rows.seal(CAPSULE, box_id, "", pad_capsule(head.capsule.octets))
    with portal.store.main.write() as connection:
        outcome = _put(portal, connection, box_id, head, sha=sha, row=row, shut=before if is_shut else None)
    if isinstance(outcome, ApiError):
        portal.store.rows.shred([row.row_key])
        raise outcome
    status, shredded = outcome
    portal.store.rows.shred([shredded if status == 201 else row.row_key])
    if status == 201:
        portal.audit.note("box-pushed", box=box_id, gen=head.capsule.gen, state=head.state)
    return status


def _put(
    portal: Portal,
    connection: Connection,
    box_id: str,
    head: BoxHead,
    *,
    sha: str,
    row: SealedRow,
    shut: BoxRow | None,
) -> ApiError | tuple[int, str | None]:
    now = portal.clock.now_ms()
    # Counters are locked before boxes, here as at a login.
    counters = _lock_counters(connection, box_id, head, now)
    held = lock_box(connection, box_id)
    owner = connection.execute(select(box.c.id).where(box.c.login_id == head.login_id)).scalar()
    if owner is not None and owner != box_id:
        return ApiError(409, "login")
    if held is not None and held.state == "closed":
        return ApiError(409, "closed")
    values = {
        "login_id": head.login_id,
        "kind": head.capsule.kind,
        "state": head.state,
        "frozen": 0,
        "form": head.capsule.form,
        "lang": head.lang,
        "must_change": int(head.must_change),
        "first_expires": head.first_expires,
    }
    is_shut = held is not None and shut is not None and held.capsule == shut.capsule
    is_same = held is not None and held.capsule_sha == sha and held.capsule is not None and not is_shut
    if held is not None and is_same:
        # The relay does not know of it: a password typed in server mode stays spent.
        is_spent = held.is_spent and not head.must_change
        if is_spent:
            values["must_change"] = SPENT
        connection.execute(update(box).where(box.c.id == box_id).values(**values))
        due = held.must_change and not held.is_spent
        if (held.state, due, held.login_id) != (head.state, head.must_change, head.login_id):
            sessions.end_sessions(connection, box_id)
        throttle.forgive(connection, counters, is_new_capsule=True)
        return 200, None
    waiting = count_waiting(connection, box_id)
    here = held.capsule_sha if held is not None else None
    if waiting or (here not in (sha, head.base) and not (is_shut and head.base is None)):
        return ApiError(409, "capsule", sha256=here, waiting=waiting)
    values |= {
        "gen": head.capsule.gen,
        "capsule_sha": sha,
        "capsule_key": row.row_key,
        "capsule": row.sealed,
    }
    if held is None:
        connection.execute(insert(box), {"id": box_id, "created": now, **values})
    else:
        connection.execute(update(box).where(box.c.id == box_id).values(**values))
    sessions.end_sessions(connection, box_id)
    throttle.forgive(connection, counters, is_new_capsule=True)
    return 201, held.capsule.row_key if held is not None and held.capsule is not None else None


def _lock_counters(connection: Connection, box_id: str, head: BoxHead, now: int) -> list[str]:
    """Lock the counters that a push sets to nothing; return their names."""
    if head.capsule.kind == "reply":
        return throttle.lock_links(connection, box_id, now)
    name = counter_name(head.login_id)
    throttle.touch_counters(connection, [(name, throttle.ACCOUNT_TRIES)], now)
    return [name]


def describe_box(portal: Portal, box_id: str, since: int) -> dict[str, Any]:
    """Return what is held of a box, with the rekeys to generations above `since`. Raises ApiError 404."""
    with portal.store.main.read() as connection:
        row = load_box(connection, box_id)
        rekeys = list_rekeys(connection, box_id, since)
        waiting = count_waiting(connection, box_id)
    if row is None or row.is_dummy:
        raise ApiError(404, "unknown")
    keys = portal.store.rows.find(entry.sealed.row_key for entry in rekeys)
    found = []
    for entry in rekeys:
        octets = portal.store.rows.open_with(keys, OUTBOX, box_id, entry.id, entry.sealed)
        if octets is not None:
            found.append({"gen": entry.gen} | show_rekey(octets))
    return {"gen": row.gen, "sha256": row.capsule_sha, "state": row.state, "waiting": waiting, "rekeys": found}


def show_rekey(octets: bytes) -> dict[str, str]:
    """Return signature and capsule of a stored rekey."""
    return {"capsule": encode_b64(octets[SIGNATURE_OCTETS:]), "sig": encode_b64(octets[:SIGNATURE_OCTETS])}


def end_box(portal: Portal, box_id: str, what: str) -> None:
    """End sessions, writes, the password or the box. An unknown box has ended. Raises ApiError 409."""
    shredded: list[str | None] = []
    with portal.store.main.write() as connection:
        row = lock_box(connection, box_id)
        if row is None or row.is_dummy:
            return
        if what in ("freeze", "thaw"):
            connection.execute(update(box).where(box.c.id == box_id).values(frozen=int(what == "freeze")))
            return
        if what == "expire" and (row.state != "first" or count_waiting(connection, box_id)):
            # A rekey came in: the first password did its work in time.
            if row.state == "expired":
                return
            raise ApiError(409, "capsule", sha256=row.capsule_sha, waiting=count_waiting(connection, box_id))
        sessions.end_sessions(connection, box_id)
        if what == "expire":
            shredded = _drop_capsule(connection, row, "expired")
        elif what == "close":
            shredded = [
                *_drop_capsule(connection, row, "closed"),
                *_drop_contents(connection, box_id, portal.clock.now_ms()),
            ]
    portal.store.rows.shred(shredded)
    portal.audit.note("box-ended", box=box_id, what=what)


def _drop_capsule(connection: Connection, row: BoxRow, state: str) -> list[str | None]:
    values: dict[str, Any] = {"state": state, "capsule": None, "capsule_key": None}
    if state == "closed":
        # The name is free for a new box; this one never comes back.
        values |= {"login_id": None, "used": 0}
    connection.execute(update(box).where(box.c.id == row.id).values(**values))
    return [row.capsule.row_key if row.capsule is not None else None]


def _drop_contents(connection: Connection, box_id: str, now: int) -> list[str | None]:
    shredded: list[str | None] = []
    for table, columns in (
        (message, [message.c.row_key]),
        (draft, [draft.c.row_key]),
        (outbox, [outbox.c.row_key, outbox.c.self_row_key]),
    ):
        for found in connection.execute(select(*columns).where(table.c.box == box_id)):
            shredded.extend(found)
        connection.execute(delete(table).where(table.c.box == box_id))
    drop_all_chunks(connection, box_id)
    # The page behind a link of a closed box says that it is closed.
    ended = or_(token.c.expires.is_(None), token.c.expires > now)
    connection.execute(update(token).where(token.c.box == box_id, ended).values(expires=now))
    connection.execute(delete(lease).where(lease.c.box == box_id))
    return shredded


def inventory_page(portal: Portal, after: str, limit: int) -> dict[str, Any]:
    """Return what is held: boxes by id, each with its messages; cards and tokens on the first page.

    A row whose row key is gone, as after a restore, is not held: its digest is null, its message is left out.
    """
    with portal.store.main.read() as connection:
        query = (
            select(box.c.id, box.c.gen, box.c.capsule_sha, box.c.capsule_key, box.c.state)
            .where(box.c.id > after, box.c.id != DUMMY_BOX)
            .order_by(box.c.id)
            .limit(limit + 1)
        )
        rows = connection.execute(query).all()
        held = rows[:limit]
        of_held = message.c.box.in_([row.id for row in held])
        messages = connection.execute(
            select(message.c.box, message.c.id, message.c.row_key).where(of_held).order_by(message.c.box, message.c.no)
        ).all()
        page: dict[str, Any] = {"more": len(rows) > limit}
        if not after:
            page["cards"] = list(connection.execute(select(card.c.serial).order_by(card.c.serial)).scalars())
            page["tokens"] = list(connection.execute(select(token.c.hash).order_by(token.c.hash)).scalars())
    names = [row.row_key for row in messages] + [row.capsule_key for row in held if row.capsule_key]
    keys = portal.store.rows.find(names)
    by_box: dict[str, list[str]] = {row.id: [] for row in held}
    for found in messages:
        if found.row_key in keys:
            by_box[found.box].append(found.id)
    page["boxes"] = [
        {
            "box": row.id,
            "gen": row.gen,
            "sha256": row.capsule_sha if row.capsule_key is None or row.capsule_key in keys else None,
            "state": row.state,
            "messages": by_box[row.id],
        }
        for row in held
    ]
    return page
