"""The SMTP envelope and the session it came in by (RFC 5321 2.3.1, RFC 3461 for DSN parameters)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Where a listener or a hop looks to."""

    INSIDE = "inside"
    """The organisation's own mail servers, by network."""
    OUTSIDE = "outside"
    """The Internet."""
    SUBMISSION = "submission"
    """Clients and programs that log in (RFC 6409)."""


class BodyType(StrEnum):
    """RFC 6152 and RFC 3030."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO. `notify` is the upper-case set of RFC 3461 4.1 or None when not given; `orcpt` is kept encoded."""

    forward_path: str
    notify: frozenset[str] | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """MAIL FROM with its parameters and the accepted recipients. The null reverse-path is the empty string."""

    reverse_path: str
    recipients: tuple[Recipient, ...]
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    requiretls: bool = False
    dsn_ret: str | None = None
    """FULL or HDRS (RFC 3461 4.3)."""
    dsn_envid: str | None = None
    """As given, xtext (RFC 3461 4.4)."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known of the peer that handed the message over."""

    listener: str
    side: Side
    client_ip: str
    helo: str
    tls: str | None = None
    """Protocol and cipher, `TLSv1.3 TLS_AES_256_GCM_SHA384`, or None in clear."""
    login: str | None = None
    local_ip: str = ""
    local_port: int = 0
