"""Why a session with a next hop could not be used. All are temporary: a fault of a hop delays mail, it bounces none."""

from __future__ import annotations

from enum import StrEnum

from relay.core.errors import LetterlockError


class Why(StrEnum):
    """The kind of trouble, for events, the health page and the hop's mark-down."""

    CONNECT = "connect"
    """No TCP connection."""
    GREETING = "greeting"
    """Refused at the greeting, EHLO or STARTTLS."""
    TLS = "tls"
    """The TLS policy of the destination or of the message could not be met."""
    LOGIN = "login"
    """SMTP AUTH failed or is missing."""
    LOST = "lost"
    """Connection lost or silent before the end of data: the peer has nothing."""
    DOUBTFUL = "doubtful"
    """Connection lost or silent after the end of data: the peer may have the mail."""
    PROTOCOL = "protocol"
    """The peer's reply breaks RFC 5321 4.2."""
    REPLY = "reply"
    """The peer said so in a reply."""
    HOP_DOWN = "hop-down"
    """Not tried: the hop failed a moment ago."""
    SIZE = "size"
    CONVERSION = "conversion"
    """The content needs a conversion that is not done to mail that passes."""
    CONTENT = "content"
    """Our stored content could not be read or breaks the line rules: nothing was handed over."""
    APPROVAL = "approval"
    """Nothing stored allows the copy to leave."""
    KEYS = "keys"
    """Not tried: the key daemon is away."""
    KEY_GONE = "key-gone"
    """The mail's key was destroyed or is refused."""
    ROUTE = "route"
    """No next hop for this address."""
    INTERNAL = "internal"


class DeliveryError(LetterlockError):
    """Base of the room's errors. `why` is for events, `text` is safe for a DSN and the log."""

    why: Why = Why.INTERNAL
    status = "4.3.0"

    def __init__(self, text: str, *, status: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        if status is not None:
            self.status = status


class RouteError(DeliveryError):
    """The mailer table names no hop for an address."""

    why = Why.ROUTE
    status = "4.4.4"


class HopError(DeliveryError):
    """The hop cannot be used now, by any mail: it is marked down for a while."""

    status = "4.4.1"


class ConnectError(HopError):
    """No TCP connection."""

    why = Why.CONNECT
    status = "4.4.1"


class GreetingError(HopError):
    """The hop refuses the session."""

    why = Why.GREETING
    status = "4.3.2"


class TlsPolicyError(HopError):
    """TLS is demanded and cannot be had as demanded. Never followed by an attempt in clear."""

    why = Why.TLS
    status = "4.7.5"


class LoginError(HopError):
    """SMTP AUTH is wanted and does not succeed."""

    why = Why.LOGIN
    status = "4.7.8"


class ConnectionLostError(HopError):
    """The connection ended or stayed silent for too long."""

    why = Why.LOST
    status = "4.4.2"


class ProtocolError(HopError):
    """What came is not an SMTP reply (RFC 5321 4.2)."""

    why = Why.PROTOCOL
    status = "4.5.0"


class ContentFaultError(DeliveryError):
    """Our own stored content cannot be sent as it is. The end of data is never sent after this."""

    why = Why.CONTENT
    status = "4.6.0"
