"""Document `listeners`: where mail comes in, from whom, and under which limits (A1, A4, A6, A11).

Certificates are per host and lie in the settings file; here stands only whether TLS is offered or asked for. Connection
rules (A4, A5) have their place and are kept as they are written until they are built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from relay.core.documents.limits import ListenerLimits
from relay.core.documents.reading import (
    DocumentError,
    Fields,
    Json,
    JsonObject,
    copy_json,
    read_host,
    read_network,
    require_unique,
)
from relay.core.envelope import Side


class ListenerTls(StrEnum):
    """STARTTLS at a listener (RFC 3207): not offered, offered, or required before MAIL."""

    NONE = "none"
    MAY = "may"
    REQUIRE = "require"


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket. `networks` None accepts every client; inside listeners must name theirs."""

    name: str
    side: Side
    host: str
    port: int
    networks: tuple[str, ...] | None = None
    tls: ListenerTls = ListenerTls.MAY
    auth: bool = False
    """Clients must log in; always so on the submission side (RFC 6409 4.3)."""
    auth_without_tls: bool = False
    """Allow log-in in the clear; only on loopback addresses."""
    check_client_dns: bool = False
    check_recipient_dns: bool = False
    limits: ListenerLimits = field(default_factory=ListenerLimits)
    connection_rules: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenersDocument:
    """All listeners."""

    KIND: ClassVar[str] = "listeners"

    listeners: tuple[Listener, ...] = ()

    @classmethod
    def from_json(cls, untrusted_value: object) -> ListenersDocument:
        """Read and check. Raises DocumentError that names the key and the fix."""
        fields = Fields(untrusted_value, cls.KIND)
        listeners = fields.items("listeners", _read_listener)
        fields.finish()
        require_unique([one.name for one in listeners], "listeners.listeners", "listener")
        taken = [f"{one.host} port {one.port}" for one in listeners if one.port]
        require_unique(taken, "listeners.listeners", "address")
        return cls(listeners)

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        return {"listeners": [_write_listener(one) for one in self.listeners]}

    def find(self, name: str) -> Listener | None:
        """Return the listener of that name, or None."""
        return next((one for one in self.listeners if one.name == name), None)


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_rule(untrusted_value: object, path: str) -> JsonObject:
    copied = copy_json(untrusted_value, path)
    if not isinstance(copied, dict):
        raise DocumentError(path, "must be a JSON object", 'Write {"key": value, ...}')
    return copied


def _read_listener(untrusted_value: object, path: str) -> Listener:
    fields = Fields(untrusted_value, path)
    side = fields.choice("side", Side)
    networks = None if fields.raw("networks", None) is None else fields.items("networks", read_network)
    listener = Listener(
        name=fields.name("name"),
        side=side,
        host=read_host(fields.raw("host"), fields.at("host")),
        port=fields.number("port", 25, 0, 65535),
        networks=networks,
        tls=fields.choice("tls", ListenerTls, ListenerTls.MAY),
        auth=fields.flag("auth", side is Side.SUBMISSION),
        auth_without_tls=fields.flag("auth_without_tls", False),
        check_client_dns=fields.flag("check_client_dns", False),
        check_recipient_dns=fields.flag("check_recipient_dns", False),
        limits=ListenerLimits.from_json(fields.raw("limits", {}), fields.at("limits")),
        connection_rules=fields.items("connection_rules", _read_rule, ()),
    )
    fields.finish()
    if side is Side.INSIDE and not networks:
        # Without networks an inside listener would be an open relay.
        raise DocumentError(
            fields.at("networks"), "is missing for an inside listener", "Name the mail servers' networks"
        )
    if side is Side.SUBMISSION and not listener.auth:
        raise DocumentError(fields.at("auth"), "must be true on the submission side", "Set it to true")
    if side is Side.OUTSIDE and listener.auth:
        raise DocumentError(fields.at("auth"), "must be false on the outside", "Use a submission listener for log-ins")
    if listener.auth_without_tls and not _is_loopback(listener.host):
        raise DocumentError(fields.at("auth_without_tls"), "is for loopback addresses only", "Set it to false")
    if listener.auth and listener.tls is ListenerTls.NONE and not listener.auth_without_tls:
        raise DocumentError(fields.at("tls"), "must be may or require where clients log in", 'Set it to "require"')
    return listener


def _write_listener(one: Listener) -> Json:
    networks: Json = None
    if one.networks is not None:
        networks = list(one.networks)
    return {
        "name": one.name,
        "side": one.side.value,
        "host": one.host,
        "port": one.port,
        "networks": networks,
        "tls": one.tls.value,
        "auth": one.auth,
        "auth_without_tls": one.auth_without_tls,
        "check_client_dns": one.check_client_dns,
        "check_recipient_dns": one.check_recipient_dns,
        "limits": one.limits.to_json(),
        "connection_rules": [copy_json(rule, "rule") for rule in one.connection_rules],
    }
