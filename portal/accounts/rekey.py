"""A new password: the browser's new capsule takes the old one's place (sealed-mailbox 8, 11).

One transaction with the box row locked: `auth` right, signature by the stored generation, box and kind equal,
generation one higher, suite not below; swap, end all sessions and start the caller's anew, append to the outbox. The
same octets again are answered as before, with the ended session or without one.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from sqlalchemy import Connection, update

from portal.accounts.login import counter_name
from portal.context import Portal
from portal.security.errors import ApiError
from portal.store import sessions, throttle
from portal.store.boxes import (
    CAPSULE,
    OPEN_STATES,
    BoxRow,
    is_reconciling,
    load_box,
    lock_box,
    open_capsule_row,
    pad_capsule,
)
from portal.store.models import SPENT, box
from portal.store.outbox import OUTBOX, Entry, append_entry, find_entry
from portal.store.reports import add_report
from portal.store.rowkeys import SealedRow
from relay.core.clock import MINUTE
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.capsule import Capsule, read_capsule
from relay.core.wire.sealed.rekey import verify_rekey
from relay.core.wire.sealed.stretch import check_value
from relay.log import Log

SIGNATURE_OCTETS = 64
_REPEATS = 10 * MINUTE
"""How long a browser that lost the answer still gets a session for sending the same octets."""
_LOG = Log("portal.rekey")


@dataclass(frozen=True, slots=True)
class Rekey:
    """What the browser sent."""

    capsule: bytes
    sig: bytes
    auth: bytes
    browser: str
    is_spent: bool = False
    """The new password was typed in server mode: the next login by a browser chooses another one."""


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """The box's new generation, and the session that goes on; None when this was done before."""

    gen: int
    state: str
    session: sessions.NewSession | None


def digest_capsule(octets: bytes) -> str:
    """Return what a capsule is named by between relay and portal: b64 of SHA-256."""
    return encode_b64(hashlib.sha256(octets).digest())


def rekey_box(portal: Portal, current: sessions.SessionRow, rekey: Rekey) -> Rekeyed:
    """Replace the capsule. Raises ApiError: 400, 401 wrong, 409 changed, 429 wait, 503 reconciling."""
    new = _read_new(portal, current.box, rekey)
    digest = digest_capsule(rekey.capsule)
    with portal.store.main.read() as connection:
        before = load_box(connection, current.box)
    if before is None or before.kind != "mailbox":
        raise ApiError(409, "changed")
    if before.capsule_sha == digest:
        return Rekeyed(before.gen, before.state, None)
    old_octets = open_capsule_row(portal.store, before)
    if old_octets is None:
        raise ApiError(409, "changed")
    old = read_capsule(old_octets, kind="mailbox")
    if new.gen != old.gen + 1 or new.suite < old.suite:
        raise ApiError(409, "changed")
    try:
        verify_rekey(old.sign, rekey.capsule, rekey.sig)
    except SealedDataError as error:
        raise ApiError(400, "bad-request") from error
    rows = portal.store.rows.seal_all(
        [(CAPSULE, new.box, "", pad_capsule(rekey.capsule)), (OUTBOX, new.box, new.id, rekey.sig + rekey.capsule)]
    )
    # A commit whose outcome is not known shreds nothing: the sweep finds keys without a row.
    with portal.store.main.write() as connection:
        outcome = _swap(portal, connection, current, rekey, before=before, capsules=(new, old), rows=rows)
    if isinstance(outcome, Rekeyed) and outcome.session is not None:
        portal.store.rows.shred([before.capsule.row_key if before.capsule else None])
    else:
        portal.store.rows.shred([row.row_key for row in rows])
    if isinstance(outcome, ApiError):
        raise outcome
    _LOG.info("rekeyed", box=new.box, gen=outcome.gen)
    if outcome.session is not None:
        portal.audit.note("rekeyed", box=new.box, gen=outcome.gen)
    return outcome


def find_repeated(portal: Portal, rekey: Rekey) -> Rekeyed | None:
    """Return what was said to these very octets before, or None. Needs no session: the first answer ended the caller's.

    Capsule and signature must both be the ones that the box took last; who has not made or taken them learns nothing.
    A request repeated at once gets a new session, as the lost answer had one; later it is only told that it is so.
    """
    new = read_capsule(rekey.capsule, kind="mailbox")
    payload = _digest_payload(rekey)
    with portal.store.main.read() as connection:
        row = load_box(connection, new.box)
        entry = find_entry(connection, new.box, new.id)
        is_shut = is_reconciling(connection)
    is_same = row is not None and row.state in OPEN_STATES and row.capsule_sha == digest_capsule(rekey.capsule)
    if row is None or not is_same or entry is None or entry.kind != "rekey":
        return None
    now = portal.clock.now_ms()
    if not hmac.compare_digest(entry.digest, payload):
        return None
    if is_shut or now - entry.at >= _REPEATS:
        return Rekeyed(row.gen, row.state, None)
    with portal.store.main.write() as connection:
        locked = lock_box(connection, row.id, shared=True)
        if locked is None or locked.capsule_sha != row.capsule_sha or locked.state != row.state:
            return None
        started = sessions.start_session(
            connection, row.id, ticket=None, browser=rekey.browser, now=now, since=entry.at
        )
        sessions.drop_oldest(connection, row.id)
    return Rekeyed(row.gen, row.state, started)


def _digest_payload(rekey: Rekey) -> bytes:
    return hashlib.sha256(rekey.sig + rekey.capsule).digest()


def _read_new(portal: Portal, box_id: str, rekey: Rekey) -> Capsule:
    new = read_capsule(rekey.capsule, kind="mailbox")
    if new.by != "browser" or new.portal != portal.portal_id or new.box != box_id:
        raise ApiError(400, "bad-request")
    if len(rekey.sig) != SIGNATURE_OCTETS:
        raise ApiError(400, "bad-request")
    return new


def _swap(
    portal: Portal,
    connection: Connection,
    current: sessions.SessionRow,
    rekey: Rekey,
    *,
    before: BoxRow,
    capsules: tuple[Capsule, Capsule],
    rows: list[SealedRow],
) -> Rekeyed | ApiError:
    # Errors that leave something behind (a counted try) are returned, so that the transaction commits.
    new, old = capsules
    now = portal.clock.now_ms()
    if is_reconciling(connection):
        return ApiError(503, "reconciling")
    assert before.login_id is not None
    # Who comes here has a session: what strangers try at the login, or from his network, makes him wait for nothing.
    # The login's counter is locked all the same, before the box as everywhere, since a new password sets it to nothing.
    counted = [(f"rekey:{new.box}", throttle.ACCOUNT_TRIES), (counter_name(before.login_id), throttle.TOTAL_ONLY)]
    own, of_login = counters = throttle.touch_counters(connection, counted, now)
    seconds = throttle.seconds_to_wait([own], now)
    if seconds:
        return ApiError(429, "wait", seconds=seconds)
    row = lock_box(connection, new.box)
    digest = digest_capsule(rekey.capsule)
    if row is not None and row.capsule_sha == digest:
        return Rekeyed(row.gen, row.state, None)
    if row is None or row.capsule != before.capsule or row.state not in ("first", "active"):
        return ApiError(409, "changed")
    if row.is_frozen:
        return ApiError(503, "reconciling")
    if not hmac.compare_digest(check_value(rekey.auth), old.av):
        throttle.count_wrong(connection, counters, now)
        add_report(connection, "wrong", new.box, is_known=True, count=of_login.total + 1, now=now, gen=row.gen)
        return ApiError(401, "wrong")
    throttle.forgive(connection, [name for name, _ in counted], is_new_capsule=True)
    connection.execute(
        update(box)
        .where(box.c.id == new.box)
        .values(
            gen=new.gen,
            state="active",
            must_change=SPENT if rekey.is_spent else 0,
            first_expires=None,
            capsule_sha=digest,
            capsule_key=rows[0].row_key,
            capsule=rows[0].sealed,
        )
    )
    append_entry(connection, row, Entry("rekey", new.id, new.gen, 0, rows[1], None, [], _digest_payload(rekey)), now)
    sessions.end_sessions(connection, new.box)
    started = sessions.start_session(
        connection, new.box, ticket=None, browser=rekey.browser, now=now, since=current.since
    )
    return Rekeyed(new.gen, "active", started)
