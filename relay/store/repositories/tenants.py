"""Tenants: organisations that share one installation. One is the rule."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.ports import Actor, Event
from relay.store.base import Tx


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organisation."""

    tenant: str
    name: str
    created_at: int


def ensure_tenant(tx: Tx, tenant: str, name: str, actor: Actor) -> Tenant:
    """Make a tenant exist and return it; an existing one keeps its name."""
    made = tx.run(
        "INSERT INTO tenant (tenant, name, created_at) VALUES (?, ?, ?) ON CONFLICT (tenant) DO NOTHING",
        [tenant, name, tx.now_ms()],
    )
    if made:
        tx.append_event(Event("tenant.created", actor, tenant, detail={"name": name}))
    row = tx.fetch_one("SELECT tenant, name, created_at FROM tenant WHERE tenant = ?", [tenant])
    assert row is not None
    return Tenant(*row)


def list_tenants(tx: Tx) -> list[Tenant]:
    """Return all tenants."""
    return [Tenant(*row) for row in tx.fetch_all("SELECT tenant, name, created_at FROM tenant ORDER BY tenant")]
