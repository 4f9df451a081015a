"""Visits: sign in with a typed password, keep the seed for the visit, choose a password, end (sealed-mailbox 11, 13).

The seed lies in the visit's row under LL1/simple: the cookie's secret, which is stored nowhere, and a row key. While a
new password is due, `auth` of the typed one lies behind it in the same sealed value, for the rekey that follows.
Must not log or keep a password.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from portal.accounts.login import Attempt, sign_in
from portal.accounts.rekey import Rekey, rekey_box
from portal.context import Portal
from portal.security.errors import ApiError
from portal.simple.common_passwords import CommonPasswords
from portal.simple.stretching import Stretcher
from portal.store import sessions
from portal.store.boxes import OPEN_STATES, BoxRow, load_box, lock_box, open_capsule_row
from portal.store.models import SPENT, box, card, visit
from portal.store.reports import add_opening
from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import (
    KDF_MAILBOX,
    OWN,
    CapsuleBody,
    CapsuleFields,
    MailboxDataError,
    OlderSeed,
    OpenedCapsule,
    Passkey,
    Stretched,
    TrustedCards,
    check_cards,
    check_own_password,
    format_time,
    login_id,
    make_capsule,
    normalise_login_name,
    open_capsule,
    open_simple,
    open_with_seed,
    read_capsule,
    read_record,
    read_secret,
    seal_simple,
    sign_rekey,
)
from relay.core.wire.sealed.passkey import seal_to_passkey
from relay.log import Log

SEED_OCTETS = 32
COOKIE_OCTETS = 32
_LOG = Log("portal.simple")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the throttle and the list of sessions know it."""

    network: str
    browser: str


@dataclass(frozen=True, slots=True)
class Typed:
    """What stood in the sign-in form, untrusted."""

    name: str = field(repr=False)
    password: str = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Visit:
    """A mailbox that is open in this process for the length of one request."""

    session: sessions.SessionRow
    box: BoxRow
    since: int
    """When our server opened it, in milliseconds."""
    opened: OpenedCapsule
    cards: TrustedCards
    auth: bytes | None = field(repr=False, default=None)
    """Of the typed password, as long as a new one is due."""

    @property
    def is_change_due(self) -> bool:
        """Tell whether nothing but a new password is allowed: under a first one, or where the relay asks for it."""
        return not self.box.may_read_by_server or self.opened.capsule.by != "browser"


class PasswordError(Exception):
    """A new password that may not be one; `why` is the word of `check_own_password`, or `same`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def name_login(portal: Portal, untrusted_name: str) -> tuple[str, str]:
    """Return the login name and its id. Raises MailboxDataError."""
    who = normalise_login_name(untrusted_name)
    return who, login_id(portal.portal_id, who)


def open_visit(portal: Portal, stretcher: Stretcher, typed: Typed, caller: Caller, device: str | None) -> str:
    """Sign in, report it, mark the password as spent; return the cookie.

    Raises ApiError (401 wrong, 429 wait, 503) and MailboxDataError for a name or code that is none.
    """
    who, id_ = name_login(portal, typed.name)
    secret = read_secret(OWN, typed.password, typed.code)
    stretcher.check_throttle(id_, caller.network, device)
    keys = stretcher.run(who, secret)
    signed_in = sign_in(portal, Attempt("mailbox", id_, keys.auth, caller.network, device, caller.browser))
    opened = open_capsule(read_capsule(signed_in.capsule, kind="mailbox"), keys.kek, portal=portal.portal_id)
    is_due = not signed_in.box.may_read_by_server or opened.capsule.by != "browser"
    kept = opened.keys.seed + (keys.auth if is_due else b"")
    _keep(portal, signed_in.session, opened.keys.gen, kept)
    _LOG.info("opened-by-server", box=signed_in.box.id)
    return signed_in.session.cookie


def _keep(portal: Portal, session: sessions.NewSession, gen: int, kept: bytes, since: int | None = None) -> None:
    """Store the visit. At its beginning (`since` None) it is reported, and visits elsewhere end."""
    box_id = session.row.box
    name, key = portal.store.rows.make()
    cookie = decode_b64(session.cookie)
    sealed = seal_simple(cookie, key, kept, portal=portal.portal_id, box=box_id, gen=gen)
    now = portal.clock.now_ms()
    with portal.store.main.write() as connection:
        row = lock_box(connection, box_id)
        is_current = row is not None and row.gen == gen and row.state in OPEN_STATES
        if is_current:
            if since is None:
                sessions.end_other_sessions(connection, box_id, session.row.id)
                add_opening(connection, box_id, now)
            _mark_spent(connection, box_id)
            values = {"session": session.row.id, "box": box_id, "gen": gen, "row_key": name, "sealed": sealed}
            connection.execute(insert(visit), {**values, "opened": now if since is None else since})
    if not is_current:
        portal.store.rows.shred([name])
        raise ApiError(409, "changed")


def _mark_spent(connection: Connection, box_id: str) -> None:
    # What the relay asked for stays; under a first password a change is due anyway.
    is_own = (box.c.id == box_id, box.c.state == "active", box.c.must_change == 0)
    connection.execute(update(box).where(*is_own).values(must_change=SPENT))


def find_visit(portal: Portal, untrusted_cookie: str) -> Visit | None:
    """Return the open mailbox of a cookie, or None where the visit is over. Raises MailboxDataError."""
    try:
        cookie = decode_b64(untrusted_cookie)
    except EncodingError:
        return None
    now = portal.clock.now_ms()
    with portal.store.main.read() as connection:
        session = sessions.find_session(connection, untrusted_cookie, now)
        row = load_box(connection, session.box) if session is not None else None
        kept = None
        if session is not None:
            kept = connection.execute(select(visit).where(visit.c.session == session.id)).one_or_none()
    if session is None or row is None or kept is None or len(cookie) != COOKIE_OCTETS:
        return None
    key = portal.store.rows.find([kept.row_key]).get(kept.row_key)
    octets = open_capsule_row(portal.store, row)
    if row.state not in OPEN_STATES or row.gen != kept.gen or key is None or octets is None:
        return None
    secret = open_simple(cookie, key, bytes(kept.sealed), portal=portal.portal_id, box=row.id, gen=kept.gen)
    opened = open_with_seed(read_capsule(octets, kind="mailbox"), secret[:SEED_OCTETS])
    if (opened.keys.portal, opened.keys.box, opened.keys.gen) != (portal.portal_id, row.id, row.gen):
        raise MailboxDataError("binding", "capsule: another box's")
    cards = read_cards(portal, opened.body)
    if sessions.is_renewal_due(session, now):
        with portal.store.main.write() as connection:
            sessions.renew_session(connection, session.id, now)
    return Visit(session, row, kept.opened, opened, cards, secret[SEED_OCTETS:] or None)


def read_cards(portal: Portal, body: CapsuleBody) -> TrustedCards:
    """Return the cards, every one checked against the pinned root. Raises MailboxDataError."""
    with portal.store.main.read() as connection:
        rows = connection.execute(select(card).order_by(card.c.serial)).all()
    records = [read_record({"card": encode_b64(bytes(row.card)), "sigs": json.loads(row.sigs)}) for row in rows]
    return check_cards(records, portal=portal.portal_id, root=body.root, least=body.card)


def end_visit(portal: Portal, untrusted_cookie: str) -> None:
    """End a visit at once: its row, its key, its session."""
    with portal.store.main.write() as connection:
        session = sessions.find_session(connection, untrusted_cookie, portal.clock.now_ms())
        if session is None:
            return
        key = connection.execute(select(visit.c.row_key).where(visit.c.session == session.id)).scalar()
        connection.execute(delete(visit).where(visit.c.session == session.id))
        sessions.end_sessions(connection, session.box, session_id=session.id)
    portal.store.rows.shred([key])


def choose_password(portal: Portal, stretcher: Stretcher, visit_: Visit, untrusted_new: str, caller: Caller) -> str:
    """Make the next generation under a password of the reader's own, as his browser would; return the new cookie.

    Raises PasswordError, ApiError (409 changed, 429, 503).
    """
    who = visit_.opened.body.name or ""
    why = check_own_password(untrusted_new, who, CommonPasswords())
    if why is not None:
        raise PasswordError(why)
    if visit_.auth is None:
        raise ApiError(409, "changed")
    keys = stretcher.run(who, read_secret(OWN, untrusted_new))
    if keys.auth == visit_.auth:
        raise PasswordError("same")
    seed, capsule = make_next(portal, visit_, keys)
    sig = sign_rekey(visit_.opened.keys, capsule)
    sent = Rekey(capsule, sig, visit_.auth, caller.browser, is_spent=True)
    done = rekey_box(portal, visit_.session, sent)
    if done.session is None:
        raise ApiError(409, "changed")
    _keep(portal, done.session, done.gen, seed, since=visit_.since)
    return done.session.cookie


def make_next(portal: Portal, visit_: Visit, keys: Stretched) -> tuple[bytes, bytes]:
    """Return a new seed and its capsule, with all older seeds, pinned to the newest card (sealed-mailbox 6, 11)."""
    old, newest = visit_.opened, visit_.cards.newest
    seed, gen = os.urandom(SEED_OCTETS), old.keys.gen + 1
    box_id = visit_.box.id
    older = (*old.body.older, OlderSeed(old.keys.gen, old.capsule.suite, old.keys.seed))
    body = CapsuleBody(old.body.name, newest.org, newest.root, newest.serial, older, old.body.passkeys)
    wraps = tuple(
        Passkey(
            one.id,
            seal_to_passkey(one.pub, seed, portal=portal.portal_id, box=box_id, gen=gen, credential=one.id),
        )
        for one in old.body.passkeys
    )
    fields = CapsuleFields(
        kind="mailbox",
        # The reader's side made it, not the organisation: that is what the word says.
        by="browser",
        portal=portal.portal_id,
        box=box_id,
        gen=gen,
        time=format_time(portal.clock.now_ms()),
        kdf=KDF_MAILBOX,
        av=keys.av,
    )
    return seed, make_capsule(fields, seed, keys.kek, body, newest.escrow_key, passkeys=wraps)
