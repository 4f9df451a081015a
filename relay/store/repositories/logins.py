"""Logins of submission: Argon2 hashes and the addresses that each may send as. Passwords never come here."""

from __future__ import annotations

import json
from dataclasses import dataclass

from relay.core.ports import Actor, Event
from relay.store.base import EventDetail, Tx
from relay.store.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """One login; `hash` is Argon2's encoded form, `addresses` normal addresses."""

    tenant: str
    name: str
    hash: str
    addresses: tuple[str, ...]
    enabled: bool


_SELECT = "SELECT tenant, name, hash, addresses, enabled FROM login "


def _from_row(row: tuple[object, ...]) -> StoredLogin:
    return StoredLogin(str(row[0]), str(row[1]), str(row[2]), tuple(json.loads(str(row[3]))), bool(row[4]))


def find_login(tx: Tx, tenant: str, name: str) -> StoredLogin | None:
    """Return a login, a disabled one too, or None."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND name = ?", [tenant, name])
    return None if row is None else _from_row(row)


def put_login(tx: Tx, login: StoredLogin, actor: Actor) -> None:
    """Add a login or replace its hash, addresses and switch."""
    now = tx.now_ms()
    addresses = json.dumps(list(login.addresses))
    tx.run(
        "INSERT INTO login (tenant, name, hash, addresses, enabled, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, name) DO UPDATE SET hash = excluded.hash, addresses = excluded.addresses,"
        " enabled = excluded.enabled, updated_at = excluded.updated_at",
        [login.tenant, login.name, login.hash, addresses, login.enabled, now, now],
    )
    detail: dict[str, EventDetail] = {
        "login": login.name,
        "addresses": list(login.addresses),
        "enabled": login.enabled,
    }
    tx.append_event(Event("login.changed", actor, login.tenant, detail=detail))


def enable_login(tx: Tx, tenant: str, name: str, actor: Actor, *, enabled: bool) -> None:
    """Switch a login on or off. Raises NotFoundError."""
    count = tx.run(
        "UPDATE login SET enabled = ?, updated_at = ? WHERE tenant = ? AND name = ?",
        [enabled, tx.now_ms(), tenant, name],
    )
    if not count:
        raise NotFoundError(f"login {name}: there is none")
    tx.append_event(Event("login.changed", actor, tenant, detail={"login": name, "enabled": enabled}))


def list_logins(tx: Tx, tenant: str) -> list[StoredLogin]:
    """Return all logins by name."""
    return [_from_row(row) for row in tx.fetch_all(_SELECT + "WHERE tenant = ? ORDER BY name", [tenant])]
