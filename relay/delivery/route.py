"""Where a recipient's mail goes next: the mailer table's document as hops that a connection can be made to. No DNS."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.address import normalise_address
from relay.core.documents.routes import Route, RoutesDocument, TlsPolicy
from relay.core.errors import AddressError, ConfigurationError
from relay.delivery.errors import RouteError
from relay.log import Log

_log = Log("delivery")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this one by its address or fixed name."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    size_limit: int = 0
    """Octets that the operator says the hop takes, 0 for no word."""

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


class MailerTable:
    """The routes of one version of the document as hops. Made once per version, then only read; safe for threads."""

    def __init__(
        self,
        document: RoutesDocument,
        read_secret: Callable[[str], str] | None = None,
        find_ca: Callable[[str], Path] | None = None,
    ) -> None:
        """`read_secret` returns the password in a named secret file, `find_ca` the path of a named trust file.

        Both may raise ConfigurationError.
        """
        self._document = document
        self._read_secret = read_secret or _no_secrets
        self._find_ca = find_ca or _no_trust
        self._hops: dict[str, Hop] = {}
        for route in document.routes:
            try:
                self._hops[route.pattern] = self._make_hop(route)
            except ConfigurationError as error:
                # One bad line must not stop the others; its mail waits and says why.
                _log.error("route-unusable", pattern=route.pattern, key=error.key, problem=error.problem)

    @property
    def hops(self) -> tuple[Hop, ...]:
        """All usable hops, each once."""
        return tuple(dict.fromkeys(self._hops.values()))

    def resolve(self, forward_path: str) -> Hop:
        """Return the hop for an address. Raises RouteError when no line fits or the line cannot be used."""
        try:
            route = self._document.find(normalise_address(forward_path))
        except AddressError as error:
            raise RouteError("address cannot be routed") from error
        if route is None:
            raise RouteError("the mailer table names no next hop for this domain")
        hop = self._hops.get(route.pattern)
        if hop is None:
            raise RouteError("the mailer table's line for this domain cannot be used")
        return hop

    def _make_hop(self, route: Route) -> Hop:
        credentials = None
        if route.auth is not None:
            credentials = Credentials(route.auth.user, self._read_secret(route.auth.secret))
        size_limit = route.size_limit or 0
        return Hop(
            route.hop.value,
            route.host,
            route.port,
            route.tls,
            credentials,
            tls_name=route.tls_name or None,
            ca_file=self._find_ca(route.ca) if route.ca else None,
            size_limit=size_limit,
        )


def _no_secrets(name: str) -> str:
    raise ConfigurationError("routes.auth", f"secret {name} cannot be read here", "Put the secret file in place.")


def _no_trust(name: str) -> Path:
    raise ConfigurationError("routes.ca", f"trust file {name} cannot be read here", "Put the file in place.")
