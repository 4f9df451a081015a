"""Login: compare SHA-256 LL1/av with the stored capsule's, start a session, hand out the capsule.

An unknown login does the same work on a dummy row and gets the same answer; counters are kept for it too. `auth` is
compared and dropped: never stored, never logged. Obeys sealed-mailbox 11, 12, 14 and portal.md 3.1, 3.2.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from relay.core.clock import DAY, SECOND
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed.capsule import read_capsule
from relay.core.wire.sealed.stretch import check_value
from relay.log import Log

FIRST_TRIES = 10
"""Wrong tries in all that a first password allows (sealed-mailbox 11)."""
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
class _Refused:
    """What is said of a try; `shuts_link`: it was one too many for a reply link."""

    error: ApiError
    shuts_link: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    box: BoxRow
    ticket: str | None
    is_known: bool


def hash_token(untrusted_token: str) -> str:
    """Return what a link's TOKEN, or a registration's ID, is kept by."""
    return encode_b64(hashlib.sha256(untrusted_token.encode("utf-8", "replace")).digest())


def counter_name(login_id: str) -> str:
    """Return the name of a mailbox's counter."""
    return f"login:{login_id}"


def sign_in(portal: Portal, attempt: Attempt) -> SignedIn:
    """Try a password. Raises ApiError: 401 wrong, 423 locked (reply boxes), 429 wait, 503 reconciling."""
    target = _find_target(portal, attempt)
    capsule = open_capsule_row(portal.store, target.box)
    is_right = _compare(attempt, capsule or b"{}", portal.clock.now_ms(), target)
    with portal.store.main.write() as connection:
        outcome = _decide(portal, connection, attempt, target, capsule, is_right=is_right)
    if outcome is None:
        return sign_in(portal, attempt)
    if isinstance(outcome, _Refused):
        if outcome.shuts_link:
            # The answer says so, too. That a first password is void is nothing that time or a file may tell.
            portal.audit.note("locked", box=target.box.id, kind=attempt.kind)
        raise outcome.error
    _LOG.info("signed-in", box=target.box.id, kind=attempt.kind)
    portal.audit.note("signed-in", box=target.box.id, kind=attempt.kind, gen=target.box.gen)
    return outcome


def _decide(
    portal: Portal, connection: Connection, attempt: Attempt, target: _Target, capsule: bytes | None, *, is_right: bool
) -> SignedIn | _Refused | None:
    """Count the try, or start the session; None where nothing could be compared and all is to be read anew."""
    now = portal.clock.now_ms()
    own, others = _name_counters(target, attempt, now)
    counters = throttle.touch_counters(connection, [*own, *others], now)
    locked = lock_box(connection, target.box.id, shared=True)
    refusal = _check_counters(counters, now)
    if refusal is not None:
        return _Refused(refusal)
    # Since the comparison a rekey or the relay may have replaced the capsule. The same one in another row, as a new
    # pepper or the sweep leaves it, is the same password; if its old key went before it was opened, read it again.
    is_same = locked is not None and _name_state(locked) == _name_state(target.box)
    if is_same and capsule is None and locked is not None and locked.capsule != target.box.capsule:
        return None
    is_void = target.box.state == "first" and counters[0].total >= FIRST_TRIES
    if is_right and capsule is not None and is_same and not is_void:
        throttle.forgive(connection, [name for name, tries in own if tries != throttle.TOTAL_ONLY])
        started = sessions.start_session(
            connection, target.box.id, ticket=target.ticket, browser=attempt.browser, now=now
        )
        sessions.drop_oldest(connection, target.box.id)
        return SignedIn(target.box, capsule, started)
    throttle.count_wrong(connection, counters, now)
    return _refuse(connection, target, attempt, counters, now)


def _name_state(row: BoxRow) -> tuple[str | None, str]:
    return row.capsule_sha, row.state


_Names = list[tuple[str, int]]


def _name_counters(target: _Target, attempt: Attempt, now: int) -> tuple[_Names, _Names]:
    """Return the account's counters, the one that says how many tries are left first, and those of where it comes from.

    A known device waits for its own wrong tries alone, not for its neighbours' or an attacker's.
    """
    networks = [] if attempt.device else throttle.name_networks(attempt.network, now)
    if attempt.kind == "reply":
        # A link is shut for everybody: who has the PDF has its password, and the next PDF has another link.
        known = throttle.name_links(attempt.who, target.box.id, now)
        unknown = [(f"token:{attempt.who}", throttle.ACCOUNT_TRIES)]
        return known if target.is_known else unknown, networks
    name = counter_name(attempt.who)
    if attempt.device:
        return [(name, throttle.TOTAL_ONLY), (f"device:{attempt.device}", throttle.ACCOUNT_TRIES)], networks
    return [(name, throttle.ACCOUNT_TRIES)], networks


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


def _check_counters(counters: list[throttle.Counter], now: int) -> ApiError | None:
    if any(one.is_shut for one in counters):
        return _say_locked(counters, now)
    seconds = throttle.seconds_to_wait([one for one in counters if one.tries != throttle.TOTAL_ONLY], now)
    return ApiError(429, "wait", seconds=seconds) if seconds else None


def _say_locked(counters: Sequence[throttle.Counter], now: int) -> ApiError:
    is_box = any(one.is_shut and one.tries == throttle.TOTAL_ONLY for one in counters)
    left = DAY - now % DAY if is_box else counters[0].until - now
    return ApiError(423, "locked", seconds=max(1, -(-left // SECOND)))


def _refuse(
    connection: Connection, target: _Target, attempt: Attempt, before: Sequence[throttle.Counter], now: int
) -> _Refused:
    """Report a wrong try that was just counted; return what is said of it.

    For mailboxes the relay alone hears of a first password's last try: what is done here is the same for all names.
    """
    subject, gen = (target.box.id if target.is_known else attempt.who), target.box.gen
    if not target.is_known or target.box.kind != "reply":
        total = before[0].total + 1
        is_last = target.box.state == "first" and total >= FIRST_TRIES
        kind = "locked" if is_last else "wrong"
        add_report(connection, kind, subject, is_known=target.is_known, count=total, now=now, gen=gen)
        return _Refused(ApiError(401, "wrong"))
    tries = before[0].wrong + 1
    counters = [replace(one, wrong=one.wrong + 1, total=one.total + 1, until=now + DAY) for one in before]
    is_shut = any(one.is_shut for one in counters)
    add_report(connection, "locked" if is_shut else "wrong", subject, is_known=True, count=tries, now=now, gen=gen)
    if is_shut:
        return _Refused(_say_locked(counters, now), shuts_link=True)
    return _Refused(ApiError(401, "wrong", tries_left=throttle.LINK_TRIES - tries))
