"""Passwords that a sender shares with a partner, sealed by keyd; this table never holds one in the clear.

Version 1, 2, 3 ... of a pair; the newest that is not retired is in use. Old ones stay, because old PDFs stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.ids import new_id
from relay.core.ports import Actor, Event, SealedBlob
from relay.store.base import EventDetail, Row, Tx
from relay.store.errors import NotFoundError

PAIR = "pair"
MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class PairPassword:
    """A sealed password with its place. Times in milliseconds."""

    id: str
    tenant: str
    sender: str
    """Normal address of the inside sender."""
    partner_id: str
    version: int
    kind: str
    """`pair`, or `message` for one mail only."""
    message_id: str | None
    blob: SealedBlob
    created_at: int
    retired_at: int | None
    told_at: int | None
    """When the sender was told it in full."""
    is_chosen: bool = False
    """The partner chose it himself: nobody is told it, and it opens no reply page (sealed-mailbox 12)."""


_SELECT = (
    "SELECT id, tenant, sender, partner_id, version, kind, message_id, key_id, mechanism, format, data,"
    " created_at, retired_at, told_at, chosen FROM pair_password "
)


def _from_row(row: Row) -> PairPassword:
    password_id, tenant, sender, partner_id, version, kind, message_id = row[:7]
    blob = SealedBlob(key_id=row[7], mechanism=row[8], format=row[9], data=bytes(row[10]))
    created_at, retired_at, told_at, chosen = row[11:]
    return PairPassword(
        id=password_id,
        tenant=tenant,
        sender=sender,
        partner_id=partner_id,
        version=version,
        kind=kind,
        message_id=message_id,
        blob=blob,
        created_at=created_at,
        retired_at=retired_at,
        told_at=told_at,
        is_chosen=bool(chosen),
    )


def current_pair_password(tx: Tx, tenant: str, sender: str, partner_id: str) -> PairPassword | None:
    """Return the pair's password in use, if there is one."""
    row = tx.fetch_one(
        _SELECT + "WHERE tenant = ? AND sender = ? AND partner_id = ? AND kind = 'pair' AND retired_at IS NULL"
        " ORDER BY version DESC LIMIT 1",
        [tenant, sender, partner_id],
    )
    return None if row is None else _from_row(row)


def chosen_password(tx: Tx, tenant: str, partner_id: str) -> PairPassword | None:
    """Return the newest password in use that the partner chose himself, whoever the sender."""
    row = tx.fetch_one(
        _SELECT + "WHERE tenant = ? AND partner_id = ? AND kind = 'pair' AND chosen = 1 AND retired_at IS NULL"
        " ORDER BY created_at DESC, id LIMIT 1",
        [tenant, partner_id],
    )
    return None if row is None else _from_row(row)


def message_password(tx: Tx, tenant: str, message_id: str, partner_id: str) -> PairPassword | None:
    """Return the password made for one mail to one partner, if there is one."""
    row = tx.fetch_one(
        _SELECT + "WHERE message_id = ? AND tenant = ? AND partner_id = ? AND kind = 'message'"
        " ORDER BY version DESC LIMIT 1",
        [message_id, tenant, partner_id],
    )
    return None if row is None else _from_row(row)


def next_version(tx: Tx, tenant: str, sender: str, partner_id: str) -> int:
    """Return the version number that the pair's next password gets; seal it with this number in the context."""
    row = tx.fetch_one(
        "SELECT coalesce(max(version), 0) + 1 FROM pair_password WHERE tenant = ? AND sender = ? AND partner_id = ?",
        [tenant, sender, partner_id],
    )
    assert row is not None
    return int(row[0])


def add_password(
    tx: Tx,
    tenant: str,
    sender: str,
    partner_id: str,
    *,
    version: int,
    blob: SealedBlob,
    actor: Actor,
    message_id: str | None = None,
    is_chosen: bool = False,
) -> PairPassword | None:
    """Add a sealed password as `version`; the pair's older ones are retired by it (not by one for a single mail).

    None when somebody else added that version first: read the current one and use that. `message_id` makes it one for
    that mail only; `is_chosen`: by the partner.
    """
    now = tx.now_ms()
    kind = PAIR if message_id is None else MESSAGE
    password_id = new_id()
    made = tx.run(
        "INSERT INTO pair_password (id, tenant, sender, partner_id, version, kind, message_id, key_id, mechanism,"
        " format, data, created_at, chosen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, sender, partner_id, version) DO NOTHING",
        [
            password_id,
            tenant,
            sender,
            partner_id,
            version,
            kind,
            message_id,
            blob.key_id,
            blob.mechanism,
            blob.format,
            blob.data,
            now,
            int(is_chosen),
        ],
    )
    if not made:
        return None
    if kind == PAIR:
        tx.run(
            "UPDATE pair_password SET retired_at = ? WHERE tenant = ? AND sender = ? AND partner_id = ?"
            " AND kind = 'pair' AND version < ? AND retired_at IS NULL",
            [now, tenant, sender, partner_id, version],
        )
    detail: dict[str, EventDetail] = {
        "password": password_id,
        "partner": partner_id,
        "version": version,
        "for": kind,
        "chosen": is_chosen,
    }
    tx.append_event(Event("password.created", actor, tenant, message_id=message_id, detail=detail))
    return get_password(tx, tenant, password_id)


def get_password(tx: Tx, tenant: str, password_id: str) -> PairPassword:
    """Return a password by id. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND id = ?", [tenant, password_id])
    if row is None:
        raise NotFoundError(f"password {password_id}: there is none")
    return _from_row(row)


def passwords_of_pair(tx: Tx, tenant: str, sender: str, partner_id: str) -> list[PairPassword]:
    """Return all versions, newest first."""
    rows = tx.fetch_all(
        _SELECT + "WHERE tenant = ? AND sender = ? AND partner_id = ? ORDER BY version DESC",
        [tenant, sender, partner_id],
    )
    return [_from_row(row) for row in rows]


def mark_told(tx: Tx, tenant: str, password_id: str, actor: Actor, message_id: str | None = None) -> None:
    """Note that the sender was told the password in full (the notice is in the queue by the same transaction)."""
    tx.run("UPDATE pair_password SET told_at = ? WHERE tenant = ? AND id = ?", [tx.now_ms(), tenant, password_id])
    detail = {"password": password_id}
    tx.append_event(Event("password.told", actor, tenant, message_id=message_id, detail=detail))


def retire_pair(tx: Tx, tenant: str, sender: str, partner_id: str, actor: Actor) -> int:
    """Retire the pair's passwords, so that the next mail makes a new one; return how many."""
    count = tx.run(
        "UPDATE pair_password SET retired_at = ? WHERE tenant = ? AND sender = ? AND partner_id = ?"
        " AND kind = 'pair' AND retired_at IS NULL",
        [tx.now_ms(), tenant, sender, partner_id],
    )
    if count:
        tx.append_event(Event("password.retired", actor, tenant, detail={"partner": partner_id, "sender": sender}))
    return count
