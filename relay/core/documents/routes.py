"""Document `routes`: the mailer table (A9). Which next hop takes mail for whom, and how the hop is spoken to.

The table overrides DNS: MX look-up, DANE and MTA-STS are done by the Postfix that a route names. RFC 3207 for `tls`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from relay.core.documents.patterns import (
    Wildcard,
    read_address_pattern,
    read_domain_pattern,
    specificity,
)
from relay.core.documents.reading import DocumentError, Fields, Json, JsonObject, check_text, read_host, require_unique


class TlsPolicy(StrEnum):
    """What the hop must offer. `encrypt` and `verify` never fall back to clear; `verify` checks the certificate."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    VERIFY = "verify"


class HopSide(StrEnum):
    """Which way the hop lies."""

    INSIDE = "inside"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class RouteAuth:
    """Login at the hop. `secret` names a secret file of the host, never the password itself."""

    user: str
    secret: str


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. `pattern` is an address, a domain, either with stars, or `*`."""

    pattern: str
    hop: HopSide
    host: str
    port: int = 25
    tls: TlsPolicy = TlsPolicy.MAY
    auth: RouteAuth | None = None
    size_limit: int | None = None
    """Largest message in octets that the hop takes; None means no limit known."""
    tls_name: str = ""
    """Name that the hop's certificate must carry; empty means `host`."""
    ca: str = ""
    """Name of a file of certificates that are trusted for this hop instead of the system's; empty for none."""


@dataclass(frozen=True, slots=True)
class RoutesDocument:
    """The mailer table. The most particular pattern decides, not the order."""

    KIND: ClassVar[str] = "routes"

    routes: tuple[Route, ...] = ()

    @classmethod
    def from_json(cls, untrusted_value: object) -> RoutesDocument:
        """Read and check. Raises DocumentError that names the key and the fix."""
        fields = Fields(untrusted_value, cls.KIND)
        routes = fields.items("routes", _read_route)
        fields.finish()
        require_unique([route.pattern for route in routes], "routes.routes", "pattern")
        return cls(routes)

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        return {"routes": [_write_route(route) for route in self.routes]}

    def find(self, address: str) -> Route | None:
        """Return the route for a normalised address: address before domain before `*.domain` before `*`, or None."""
        domain = address.rpartition("@")[2]
        best: Route | None = None
        for route in self.routes:
            text = address if "@" in route.pattern else domain
            if Wildcard(route.pattern).matches(text) and (
                best is None or specificity(route.pattern) > specificity(best.pattern)
            ):
                best = route
        return best


def _read_pattern(untrusted_value: object, path: str) -> str:
    if "@" in check_text(untrusted_value, path):
        return read_address_pattern(untrusted_value, path)
    return read_domain_pattern(untrusted_value, path)


def _read_auth(untrusted_value: object, path: str) -> RouteAuth | None:
    if untrusted_value is None:
        return None
    fields = Fields(untrusted_value, path)
    auth = RouteAuth(fields.line("user", empty=False), fields.name("secret"))
    fields.finish()
    return auth


def _read_route(untrusted_value: object, path: str) -> Route:
    fields = Fields(untrusted_value, path)
    route = Route(
        pattern=_read_pattern(fields.raw("pattern"), fields.at("pattern")),
        hop=fields.choice("hop", HopSide),
        host=read_host(fields.raw("host"), fields.at("host")),
        port=fields.number("port", 25, 1, 65535),
        tls=fields.choice("tls", TlsPolicy, TlsPolicy.MAY),
        auth=_read_auth(fields.raw("auth", None), fields.at("auth")),
        size_limit=fields.optional_number("size_limit", 65_536, 1 << 40),
        tls_name=_read_tls_name(fields.raw("tls_name", ""), fields.at("tls_name")),
        ca=fields.name("ca") if fields.raw("ca", "") != "" else "",
    )
    fields.finish()
    for key in ("tls_name", "ca"):
        if getattr(route, key) and route.tls is not TlsPolicy.VERIFY:
            # Else it would look like a check that nobody makes.
            raise DocumentError(f"{path}.{key}", "counts where the certificate is verified", 'Set "tls": "verify"')
    return route


def _read_tls_name(untrusted_value: object, path: str) -> str:
    return "" if untrusted_value == "" else read_host(untrusted_value, path)


def _write_route(route: Route) -> Json:
    return {
        "pattern": route.pattern,
        "hop": route.hop.value,
        "host": route.host,
        "port": route.port,
        "tls": route.tls.value,
        "auth": None if route.auth is None else {"user": route.auth.user, "secret": route.auth.secret},
        "size_limit": route.size_limit,
        "tls_name": route.tls_name,
        "ca": route.ca,
    }
