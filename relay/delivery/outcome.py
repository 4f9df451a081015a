"""What became of one copy: delivered, deferred or failed, with RFC 3463 status taken from the reply or made here.

Rules, in order:
- 2xx after the end of data: delivered. 4xx: deferred. 5xx: failed, for this recipient only when it answers a RCPT.
- 503 means that the two sides are out of step, 530, 534, 535 and 538 that the mailer table lacks a login or TLS
  (RFC 4954 6): faults of the set-up, hence deferred.
- 552 to a RCPT is RFC 821's "too many recipients" and means 452 (RFC 5321 4.5.3.1.10): deferred.
- A connection lost after the end of data is in doubt: deferred, the copy may arrive twice, never zero times.
- Anything that goes wrong on our side or with the session as such is deferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from relay.delivery.errors import DeliveryError, Why
from relay.delivery.reply import Reply


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next hop has taken responsibility."""

    status: str
    text: str
    remote: str = ""
    """Name of the peer, for Remote-MTA of a DSN."""
    dsn_passed_on: bool = True
    """False when the peer offers no DSN: where NOTIFY asks for success the caller issues `relayed` (RFC 3461 5.2.2)."""
    tls: str | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """To be tried again."""

    status: str
    text: str
    why: Why
    remote: str = ""
    is_overflow: bool = False
    """The peer took other recipients and wants this one in a transaction of its own (RFC 5321 4.5.3.1.10)."""

    @property
    def is_doubtful(self) -> bool:
        """Tell whether the peer may have the mail although it did not say so."""
        return self.why is Why.DOUBTFUL


@dataclass(frozen=True, slots=True)
class Failed:
    """Never to be tried again."""

    status: str
    text: str
    why: Why = Why.REPLY
    remote: str = ""


Outcome: TypeAlias = Delivered | Deferred | Failed

_SETUP_CODES = frozenset({503, 530, 534, 535, 538})


def classify_refusal(reply: Reply, remote: str, *, is_rcpt: bool = False) -> Deferred | Failed:
    """Turn a 4xx or 5xx reply into an outcome. Anything else is the peer out of step: deferred."""
    if reply.is_transient:
        return Deferred(reply.status, reply.line, Why.REPLY, remote)
    if not reply.is_permanent:
        return Deferred("4.5.0", f"unexpected reply {reply.line}", Why.PROTOCOL, remote)
    if reply.code in _SETUP_CODES or (is_rcpt and reply.code == 552):
        # The status of a deferred copy begins with 4, whatever class the peer gave (RFC 3464 2.3.4).
        return Deferred("4" + reply.status[1:], reply.line, Why.REPLY, remote)
    return Failed(reply.status, reply.line, Why.REPLY, remote)


def defer_for(error: DeliveryError, remote: str = "") -> Deferred:
    """Turn an error of this room into the outcome of every copy that it touched."""
    return Deferred(error.status, error.text, error.why, remote)
