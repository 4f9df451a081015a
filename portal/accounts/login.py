"""Login: compare SHA-256 LL1/av with the stored capsule's, start a session, hand out the capsule.

An unknown login does the same work on a dummy row and gets the same answer; counters are kept for it too. `auth` is
compared and dropped: never stored, never logged. Obeys sealed-mailbox 11, 12, 14 and portal.md 3.1, 3.2.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from sqlalchemy import Connection, select

from portal.context import Portal
from portal.security.errors import ApiError
from portal.store import sessions, throttle
from portal.store.boxes import (
    BoxRow,
    find_box_id,
    is_reconciling,
    load_box,
    lock_box,
    open_capsule_row,
)
from portal.store.models import DUMMY_BOX, token
from portal.store.reports import add_report
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.capsule import read_capsule
from relay.core.wire.sealed.stretch import check_value
from relay.log import Log

FIRST_TRIES = 10
"""Wrong tries in all that a first password allows (sealed-mailbox 11)."""
REPLY_TRIES = 10
"""Wrong tries that a reply box allows before it locks (sealed-mailbox 12)."""
_LOG = Log("portal.login")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `who` is a login id (mailbox) or the hash of a link's token (reply)."""

    kind: str
    who: str
    auth: bytes
    network: str
    device: str | None
    browser: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a right password gives."""

    box: BoxRow
    capsule: bytes
    session: sessions.NewSession


@dataclass(frozen=True, slots=True)
class _Target:
    box: BoxRow
    ticket: str | None
    is_known: bool


def hash_token(untrusted_token: str) -> str:
    """Return what a link's TOKEN, or a registration's ID, is kept by."""
    return encode_b64(hashlib.sha256(untrusted_token.encode("utf-8", "replace")).digest())


def counter_name(kind: str, box: BoxRow | None, who: str) -> str:
    """Return the name of an account's counter; a reply box has one for all its links."""
    if kind == "mailbox":
        return f"login:{who}"
    return f"reply:{box.id}" if box is not None else f"token:{who}"


def sign_in(portal: Portal, attempt: Attempt) -> SignedIn:
    """Try a password. Raises ApiError: 401 wrong, 423 locked (reply boxes), 429 wait, 503 reconciling."""
    target = _find_target(portal, attempt)
    capsule = open_capsule_row(portal.store, target.box) or b"{}"
    is_right = _compare(attempt, capsule, portal.clock.now_ms(), target)
    refusal: ApiError | None = None
    signed_in: SignedIn | None = None
    with portal.store.main.write() as connection:
        now = portal.clock.now_ms()
        name = counter_name(attempt.kind, target.box if target.is_known else None, attempt.who)
        account = f"device:{attempt.device}" if attempt.device else name
        # A known device waits for its own wrong tries alone, not for its neighbours' or an attacker's.
        wanted = [(account, throttle.ACCOUNT_TRIES)]
        if attempt.device:
            wanted.append((name, throttle.TOTAL_ONLY))
        else:
            wanted.insert(0, (f"net:{attempt.network}", throttle.NETWORK_TRIES))
        counters = throttle.touch_counters(connection, wanted, now)
        total = counters[-1].total
        locked = lock_box(connection, target.box.id, shared=True)
        refusal = _check_counters(target, counters, total, now)
        if refusal is None:
            # Between the comparison and now, a rekey or the relay may have replaced the capsule.
            is_same = locked is not None and locked.capsule == target.box.capsule and locked.state == target.box.state
            if is_right and is_same and not (target.box.state == "first" and total >= FIRST_TRIES):
                # A reply box locks after ten wrong tries in a row; a first password after ten in all.
                is_reply = target.box.kind == "reply"
                throttle.forgive(connection, [account, name] if is_reply else [account], is_new_capsule=is_reply)
                started = sessions.start_session(
                    connection, target.box.id, ticket=target.ticket, browser=attempt.browser, now=now
                )
                sessions.drop_oldest(connection, target.box.id)
                signed_in = SignedIn(target.box, capsule, started)
            else:
                throttle.count_wrong(connection, counters, now)
                refusal = _refuse(connection, target, attempt, total + 1, now)
    if signed_in is None:
        assert refusal is not None
        raise refusal
    _LOG.info("signed-in", box=target.box.id, kind=attempt.kind)
    return signed_in


def _find_target(portal: Portal, attempt: Attempt) -> _Target:
    with portal.store.main.read() as connection:
        if is_reconciling(connection):
            raise ApiError(503, "reconciling")
        ticket: str | None = None
        if attempt.kind == "mailbox":
            box_id = find_box_id(connection, attempt.who, "mailbox")
        else:
            box_id, ticket = _find_reply_box(connection, attempt.who, portal.clock.now_ms())
        found = load_box(connection, box_id if box_id is not None else DUMMY_BOX)
    assert found is not None
    return _Target(found, ticket, box_id is not None)


def _find_reply_box(connection: Connection, token_hash: str, now: int) -> tuple[str | None, str | None]:
    row = connection.execute(select(token).where(token.c.hash == token_hash)).one_or_none()
    if row is None or (row.expires is not None and row.expires <= now):
        return None, None
    found = load_box(connection, row.box)
    return (row.box, row.ticket) if found is not None and found.state == "active" else (None, None)


def _compare(attempt: Attempt, capsule: bytes, now: int, target: _Target) -> bool:
    try:
        av = read_capsule(capsule).av
    except SealedDataError:
        av = bytes(32)
    fits = hmac.compare_digest(check_value(attempt.auth), av)
    expires = target.box.first_expires if target.box.state == "first" else None
    return fits and target.is_known and (expires is None or now < expires)


def _check_counters(target: _Target, counters: list[throttle.Counter], total: int, now: int) -> ApiError | None:
    if target.is_known and target.box.kind == "reply" and total >= REPLY_TRIES:
        return ApiError(423, "locked")
    seconds = throttle.seconds_to_wait([one for one in counters if one.tries != throttle.TOTAL_ONLY], now)
    return ApiError(429, "wait", seconds=seconds) if seconds else None


def _refuse(connection: Connection, target: _Target, attempt: Attempt, total: int, now: int) -> ApiError:
    subject = target.box.id if target.is_known else attempt.who
    is_reply = target.is_known and target.box.kind == "reply"
    is_last = total >= (REPLY_TRIES if is_reply else FIRST_TRIES) and (is_reply or target.box.state == "first")
    kind = "locked" if is_last else "wrong"
    add_report(connection, kind, subject, is_known=target.is_known, count=total, now=now)
    if is_reply and is_last:
        return ApiError(423, "locked")
    return ApiError(401, "wrong", **({"tries_left": max(0, REPLY_TRIES - total)} if is_reply else {}))
