"""The Received field that stands before the client's first octet (RFC 5321 4.4).

Does: write one folded field from what is known of session and envelope. Must not: let anything of the peer in that
has not passed the grammar, name more than one recipient, or name the login.
Keywords after WITH: RFC 3848, RFC 6531 4.3.
"""

from __future__ import annotations

import functools
from email.utils import format_datetime

from relay.core.clock import SECOND, to_datetime
from relay.core.envelope import Envelope, SessionInfo


def protocol_keyword(session: SessionInfo, envelope: Envelope, *, extended: bool) -> str:
    """Return the word after WITH."""
    if not extended:
        return "SMTP"
    secured = ("S" if session.tls else "") + ("A" if session.login else "")
    return f"{'UTF8SMTP' if envelope.smtputf8 else 'ESMTP'}{secured}"


def received_field(
    session: SessionInfo, envelope: Envelope, *, hostname: str, message_id: str, now_ms: int, extended: bool
) -> bytes:
    """Return the field with its CRLF. `now_ms` is milliseconds since 1970 UTC."""
    literal = _literal(session.client_ip)
    lines = [f"Received: from {session.helo or literal} ({literal})", f"by {hostname}"]
    if session.tls:
        # A comment; the parts come from the TLS library and hold no parentheses.
        lines[1] += f" ({session.tls})"
    lines.append(f"with {protocol_keyword(session, envelope, extended=extended)} id {message_id}")
    # RFC 5321 4.4 and 7.6: with several recipients FOR would tell one of the other (Bcc).
    if len(envelope.recipients) == 1:
        path = envelope.recipients[0].forward_path
        if path.isascii() or envelope.smtputf8:
            lines.append(f"for <{path}>")
    lines[-1] += ";"
    lines.append(_format_second(now_ms // SECOND))
    return ("\r\n\t".join(lines) + "\r\n").encode("utf-8")


@functools.lru_cache(maxsize=4)
def _format_second(second: int) -> str:
    return format_datetime(to_datetime(second * SECOND))


def _literal(client_ip: str) -> str:
    # RFC 5321 4.1.3; a scope is of this host alone
    return f"[IPv6:{client_ip.partition('%')[0]}]" if ":" in client_ip else f"[{client_ip or 'unknown'}]"
