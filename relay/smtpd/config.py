"""Frozen settings of the SMTP intake. Others fill them from the database and the host's settings.

Does: say what a listener is, what the limits are, and refuse combinations that would open the relay.
Must not: read files, the database or the environment; do work at import.
Sources: RFC 5321 4.5.3 (sizes, time-outs), RFC 6409 (submission), RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.address import normalise_domain
from relay.core.envelope import Side
from relay.core.errors import AddressError, ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Limits in octets and seconds; a count of 0 means no limit where it says so.

    A listener may have its own. `connections` then holds for it as well as the process's for all; logins, DNS and the
    stop go by the process's alone. Where several processes share the listeners each of them counts for itself.
    """

    message_octets: int = 50 * 1024 * 1024
    """Largest content after dot-unstuffing; announced by SIZE (RFC 1870)."""
    overrun_octets: int = 50 * 1024 * 1024
    """How much beyond `message_octets` is read and thrown away to say 552 in turn; past that the peer gets 421."""
    recipients: int = 1000
    """RCPTMAX (RFC 9422); RFC 5321 4.5.3.1.8 asks for at least 100."""
    messages_per_connection: int = 1000
    """MAILMAX (RFC 9422)."""
    connections: int = 2000
    connections_per_client: int = 200
    messages_per_client_minute: int = 0
    """0 means no limit."""
    errors_per_connection: int = 50
    """Refused commands since the last accepted message before the peer gets 421."""
    command_octets: int = 2048
    """Longest command line without its CRLF; AUTH lines may have 12,288 (RFC 4954 4)."""
    command_timeout: float = 300.0
    """For one whole command line, not for each octet (RFC 5321 4.5.3.2.7)."""
    chunk_timeout: float = 180.0
    """For each `chunk_octets` of content (RFC 5321 4.5.3.2.5)."""
    chunk_octets: int = 4096
    commit_timeout: float = 120.0
    """For one write to the spool and for the commit."""
    stop_grace: float = 20.0
    """How long a running DATA may go on after the stop was asked for."""
    write_octets: int = 128 * 1024
    """Content is handed to the spool in pieces of about this size."""
    received_fields: int = 50
    """More Received fields than this count as a suspected loop in log and counters; the worker sends the DSN."""
    auth_failures_per_client: int = 10
    """Failed logins of one client within `auth_window` before it gets 454 unheard."""
    auth_failures_per_login: int = 50
    auth_window: float = 600.0
    auth_failure_delay: float = 1.0
    auth_parallel: int = 2
    """Password checks at once; they are costly on purpose."""
    dns_timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One listening address. Raises ConfigurationError on a combination that would not be safe."""

    name: str
    host: str
    port: int
    side: Side
    networks: tuple[Network, ...] | None = None
    """Client networks that may connect; None means any, which an INSIDE listener may not say."""
    starttls: tuple[Path, Path] | None = None
    """Certificate chain and key in PEM."""
    require_tls: bool = False
    require_auth: bool = False
    loopback_demo: bool = False
    """AUTH without TLS, allowed on a loopback address only."""
    verify_client_dns: bool = False
    verify_recipient_dns: bool = False
    limits: LimitsConfig | None = None
    """Its own limits; None means those of the process."""
    rules: tuple[object, ...] = ()
    """Room for connection rules (A4, A5). None exist yet, so any is refused rather than passed over."""

    def __post_init__(self) -> None:
        key = f"listeners.{self.name}"
        if self.side is Side.INSIDE and not self.networks:
            raise ConfigurationError(
                f"{key}.networks", "an inside listener without networks would be an open relay", "Name its networks"
            )
        if self.rules:
            raise ConfigurationError(f"{key}.rules", "connection rules are not supported yet", "Remove them")
        if self.require_tls and self.starttls is None:
            raise ConfigurationError(
                f"{key}.require_tls", "TLS is required but there is no certificate", "Set starttls"
            )
        if self.loopback_demo and not _is_loopback(self.host):
            raise ConfigurationError(
                f"{key}.loopback_demo", "AUTH without TLS beyond loopback", "Listen on 127.0.0.1 or set starttls"
            )
        if self.needs_auth and self.starttls is None and not self.loopback_demo:
            raise ConfigurationError(
                f"{key}.starttls", "logins need STARTTLS, or nobody could log in", "Set certificate and key"
            )

    @property
    def needs_auth(self) -> bool:
        """Tell whether MAIL is refused before a login."""
        return self.require_auth or self.side is Side.SUBMISSION


@dataclass(frozen=True, slots=True)
class SmtpdConfig:
    """All of the intake. `own_domains` in any spelling; they are brought to normal form here."""

    hostname: str
    listeners: tuple[ListenerConfig, ...]
    own_domains: frozenset[str] = frozenset()
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    postmaster: str = ""
    """Where `RCPT TO:<postmaster>` goes (RFC 5321 4.5.1); empty means postmaster at the host name."""
    is_recipient: Callable[[str], bool] | None = None
    """Tells whether an address of an own domain, in normal form, exists; OUTSIDE listeners refuse the others. None: all
    exist. Cheap, never blocks."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "own_domains", frozenset(normalise_domain(d) for d in self.own_domains))
        except AddressError as error:
            raise ConfigurationError("own_domains", "one is not a domain", "Correct it") from error
        if not self.hostname or not self.hostname.isascii() or any(c <= " " for c in self.hostname):
            raise ConfigurationError("hostname", "not a host name", "Give the fully qualified name in ASCII")

    @property
    def postmaster_address(self) -> str:
        """Return the address behind a postmaster without domain."""
        return self.postmaster or f"postmaster@{self.hostname}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
