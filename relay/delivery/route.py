"""Where a recipient's mail goes next: the mailer table as frozen values, and the lookup in it. No DNS, no I/O.

The most exact pattern wins: address, then domain, then `*.parent` from the longest parent on, then `*`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from relay.core.address import domain_of, normalise_address, normalise_domain
from relay.core.errors import AddressError, ConfigurationError
from relay.delivery.errors import RouteError


def is_loopback(host: str) -> bool:
    """Tell whether a host is this one by its address or fixed name."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class TlsPolicy(StrEnum):
    """What a destination's connection must have (RFC 3207)."""

    NONE = "none"
    """Never STARTTLS: for a hop on the same host."""
    MAY = "may"
    """TLS where offered, unverified; clear where it is not offered or fails (RFC 7435)."""
    ENCRYPT = "encrypt"
    """TLS always, certificate not checked; else the mail waits."""
    VERIFY = "verify"
    """TLS always, certificate chain and host name checked; else the mail waits."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Login for SMTP AUTH (RFC 4954). The password never shows in a repr."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hop:
    """One next hop. Equal hops share connections."""

    name: str
    """`inside` or `outside`."""
    host: str
    port: int
    tls: TlsPolicy = TlsPolicy.MAY
    credentials: Credentials | None = None
    tls_name: str | None = None
    """Name that the certificate must carry where it is not `host`."""
    ca_file: Path | None = None
    """Trust anchors for this hop instead of the system's."""
    max_connections: int = 10

    def __post_init__(self) -> None:
        if self.name not in ("inside", "outside"):
            raise ConfigurationError("routes.hop", f"{self.name!r} is no side", "Use inside or outside.")
        if not self.host or not 0 < self.port < 65536:
            raise ConfigurationError("routes.host", "host or port is missing", "Name the next hop's host and port.")
        if self.credentials and self.tls is not TlsPolicy.VERIFY and not is_loopback(self.host):
            # RFC 4954 4: PLAIN and LOGIN show the password to whoever stands in the middle.
            raise ConfigurationError("routes.tls", "a login needs a verified peer", 'Set tls = "verify" for this hop.')
        if self.max_connections < 1:
            raise ConfigurationError("routes.max_connections", "must be 1 or more", "Use a number from 1 on.")

    @property
    def key(self) -> str:
        """Short name for the queue's `hop` column, the log and the health page; holds no secret."""
        return f"{self.name}:{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the mailer table: `pattern` is an address, a domain, `*.domain` or `*`."""

    pattern: str
    hop: Hop


class MailerTable:
    """The table compiled for lookup. Made once per version of the document, then only read."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Hop] = {}
        for route in routes:
            self._exact.setdefault(_normalise_pattern(route.pattern), route.hop)

    @property
    def hops(self) -> tuple[Hop, ...]:
        """All hops, each once."""
        return tuple(dict.fromkeys(self._exact.values()))

    def resolve(self, forward_path: str) -> Hop:
        """Return the hop for an address. Raises RouteError when no line fits: the mail waits, the operator is told."""
        try:
            normal = normalise_address(forward_path)
        except AddressError as error:
            raise RouteError("address cannot be routed") from error
        domain = domain_of(normal)
        hop = self._exact.get(normal) or self._exact.get(domain)
        parent = domain
        while hop is None and "." in parent:
            parent = parent.partition(".")[2]
            hop = self._exact.get(f"*.{parent}")
        hop = hop or self._exact.get("*")
        if hop is None:
            raise RouteError("the mailer table names no next hop for this domain")
        return hop


def _normalise_pattern(pattern: str) -> str:
    if pattern == "*":
        return pattern
    if pattern.startswith("*."):
        return "*." + normalise_domain(pattern[2:])
    return normalise_address(pattern) if "@" in pattern else normalise_domain(pattern)
