"""Partners: one record for each external address; what the product knows of a person outside hangs on it."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.ids import new_id
from relay.core.ports import Actor, Event
from relay.store.base import Tx
from relay.store.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Partner:
    """One external address, in normal form, with its settings. Empty texts mean: as the organisation has it."""

    id: str
    tenant: str
    address: str
    language: str
    pdf_cipher: str
    size_limit: int | None
    """Octets of a finished mail that this partner's server takes; None = not known."""
    created_at: int
    updated_at: int


_SELECT = "SELECT id, tenant, address, language, pdf_cipher, size_limit, created_at, updated_at FROM partner "


def find_partner(tx: Tx, tenant: str, normal_address: str) -> Partner | None:
    """Return the partner of a normal address, if there is one."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND address = ?", [tenant, normal_address])
    return None if row is None else Partner(*row)


def get_partner(tx: Tx, tenant: str, partner_id: str) -> Partner:
    """Return a partner by id. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND id = ?", [tenant, partner_id])
    if row is None:
        raise NotFoundError(f"partner {partner_id}: there is none")
    return Partner(*row)


def find_or_create(tx: Tx, tenant: str, normal_address: str, actor: Actor) -> Partner:
    """Return the partner of a normal address, made now if need be. Two writers at once get the same one."""
    partner = find_partner(tx, tenant, normal_address)
    if partner is not None:
        return partner
    now = tx.now_ms()
    made = tx.run(
        "INSERT INTO partner (id, tenant, address, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, address) DO NOTHING",
        [new_id(), tenant, normal_address, now, now],
    )
    partner = find_partner(tx, tenant, normal_address)
    assert partner is not None
    if made:
        tx.append_event(Event("partner.created", actor, tenant, detail={"partner": partner.id}))
    return partner


def change_partner(
    tx: Tx,
    tenant: str,
    partner_id: str,
    actor: Actor,
    *,
    language: str | None = None,
    pdf_cipher: str | None = None,
    size_limit: int | None = None,
) -> Partner:
    """Change the settings that are given (size_limit 0 = none again). Raises NotFoundError."""
    old = get_partner(tx, tenant, partner_id)
    limit = old.size_limit if size_limit is None else (size_limit or None)
    tx.run(
        "UPDATE partner SET language = ?, pdf_cipher = ?, size_limit = ?, updated_at = ? WHERE tenant = ? AND id = ?",
        [
            old.language if language is None else language,
            old.pdf_cipher if pdf_cipher is None else pdf_cipher,
            limit,
            tx.now_ms(),
            tenant,
            partner_id,
        ],
    )
    new = get_partner(tx, tenant, partner_id)
    changed = [name for name in ("language", "pdf_cipher", "size_limit") if getattr(old, name) != getattr(new, name)]
    tx.append_event(Event("partner.changed", actor, tenant, detail={"partner": partner_id, "changed": changed}))
    return new


def list_partners(tx: Tx, tenant: str, *, after: str = "", limit: int = 100) -> list[Partner]:
    """Return partners by address, from the one behind `after` on."""
    sql = _SELECT + "WHERE tenant = ? AND address > ? ORDER BY address LIMIT ?"
    return [Partner(*row) for row in tx.fetch_all(sql, [tenant, after, limit])]
