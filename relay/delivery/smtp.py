"""A session with a next hop: connect, EHLO, STARTTLS by policy, AUTH (RFC 5321 3.1, 3.2; RFC 3207; RFC 4954).

Blocking, one thread at a time. A policy of encrypt or verify never falls back to clear; `may` does so only on a new
connection after a failed handshake. Any refusal here concerns the session and not a mail, hence is temporary.
"""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from relay.core.documents.routes import TlsPolicy
from relay.delivery.errors import (
    ContentFaultError,
    GreetingError,
    HopError,
    LoginError,
    ProtocolError,
    TlsPolicyError,
)
from relay.delivery.link import SmtpLink, Timeouts
from relay.delivery.reply import Reply
from relay.delivery.route import Credentials, Hop


class TlsContexts:
    """TLS contexts, made once per policy and trust file, because loading trust anchors costs milliseconds.

    A trust file that was replaced is read again.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[bool, Path | None], tuple[int, ssl.SSLContext]] = {}
        self._lock = threading.Lock()

    def context_for(self, hop: Hop) -> ssl.SSLContext:
        """Return the context for a hop. Raises TlsPolicyError when its trust file cannot be used."""
        key = (hop.tls is TlsPolicy.VERIFY, hop.ca_file)
        age = _last_change(hop.ca_file)
        with self._lock:
            if key not in self._made or self._made[key][0] != age:
                self._made[key] = age, _make_context(*key)
            return self._made[key][1]


def _last_change(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError as error:
        raise TlsPolicyError("the trust file of this hop cannot be read") from error


def _make_context(verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise TlsPolicyError("the trust file of this hop cannot be read") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _HandshakeFailedError(HopError):
    """STARTTLS began and failed: the connection cannot be used in clear any more."""

    status = "4.7.5"


@dataclass(eq=False)
class SmtpSession:
    """An open session. `is_usable` turns false once octets, order or the peer's goodwill are lost."""

    hop: Hop
    link: SmtpLink
    timeouts: Timeouts
    features: Mapping[str, str] = field(default_factory=dict)
    """EHLO keywords in upper case with their parameters, as offered after TLS where TLS is on."""
    tls: str | None = None
    is_verified: bool = False
    """TLS with the chain and the name checked."""
    is_usable: bool = True
    needs_reset: bool = False
    transactions: int = 0
    is_lost_early: bool = False
    """The connection ended before the peer asked for data: a trouble of the hop and not of the mail."""

    @property
    def size_limit(self) -> int:
        """Octets that the peer takes (RFC 1870), or the operator's word if that is less; 0 for no limit known."""
        value = self.features.get("SIZE", "")
        offered = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else 0
        return min((limit for limit in (offered, self.hop.size_limit) if limit), default=0)

    @property
    def recipient_limit(self) -> int:
        """Recipients a transaction: RCPTMAX of RFC 9422 where offered, never over RFC 5321 4.5.3.1.8's 100."""
        return min(self._limit("RCPTMAX") or 100, 100)

    @property
    def transaction_limit(self) -> int:
        """Transactions a session: MAILMAX of RFC 9422, 0 for no limit known."""
        return self._limit("MAILMAX")

    def _limit(self, name: str) -> int:
        for word in self.features.get("LIMITS", "").split():
            key, _, value = word.partition("=")
            if key.upper() == name and value.isascii() and value.isdigit() and len(value) <= 6:
                return int(value)
        return 0

    def command(self, line: str, timeout: float | None = None) -> Reply:
        """Send one command and return its reply. Raises ConnectionLostError or ProtocolError; then not usable."""
        self.send_lines([line])
        return self.read_reply(timeout)

    def send_lines(self, lines: Iterable[str]) -> None:
        """Send commands in one piece (RFC 2920 where more than one)."""
        data = b"".join(encode_line(line) for line in lines)
        try:
            self.link.send(data, self.timeouts.command)
        except HopError:
            self.is_usable = False
            raise

    def read_reply(self, timeout: float | None = None) -> Reply:
        """Read one reply; 421 makes the session unusable (RFC 5321 3.8)."""
        try:
            reply = self.link.read_reply(timeout or self.timeouts.command)
        except HopError:
            self.is_usable = False
            raise
        if reply.code == 421:
            self.is_usable = False
        return reply

    def reset(self) -> None:
        """Bring the session back to the state after EHLO where that is needed. Not usable if that fails."""
        if self.is_usable and self.needs_reset:
            try:
                self.is_usable = self.command("RSET", self.timeouts.reset).is_positive and self.is_usable
            except HopError:
                return
            self.needs_reset = False

    def is_fresh(self) -> bool:
        """Tell whether an idle session can be used again: usable and not being closed by the peer."""
        return self.is_usable and self.link.is_quiet()

    def quit(self) -> None:
        """Say goodbye if that is possible, and close. Never raises."""
        try:
            if self.is_usable:
                self.command("QUIT", self.timeouts.quit)
        except HopError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close without a word; an unfinished DATA is thus dropped by the peer (RFC 5321 3.9.4, 4.1.1.4)."""
        self.is_usable = False
        self.link.close()

    def abort(self) -> None:
        """Break the session from another thread."""
        self.link.abort()


def encode_line(line: str) -> bytes:
    """Return a command as octets with CRLF. Raises ContentFaultError on control characters: no command is injected."""
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in line):
        raise ContentFaultError("a command would hold control characters")
    return line.encode("utf-8") + b"\r\n"


class SessionOpener:
    """Opens sessions for one process. Safe for threads; `abort` breaks those that are being opened."""

    def __init__(self, hostname: str, timeouts: Timeouts | None = None, contexts: TlsContexts | None = None) -> None:
        self._hostname = hostname
        self._timeouts = timeouts or Timeouts()
        self._contexts = contexts or TlsContexts()
        self._opening: set[SmtpLink] = set()
        self._lock = threading.Lock()

    def __call__(self, hop: Hop) -> SmtpSession:
        """Open a session as the hop's policy wants it. Raises a HopError."""
        try:
            return self._open(hop, use_tls=hop.tls is not TlsPolicy.NONE)
        except _HandshakeFailedError as error:
            if hop.tls is not TlsPolicy.MAY:
                raise TlsPolicyError(error.text) from error
        # Opportunistic: an unusable TLS is no worse than none (RFC 7435 3).
        return self._open(hop, use_tls=False)

    def abort(self) -> None:
        """Break every session that is being opened, from another thread."""
        with self._lock:
            opening = list(self._opening)
        for link in opening:
            link.abort()

    def _open(self, hop: Hop, *, use_tls: bool) -> SmtpSession:
        context = self._contexts.context_for(hop) if use_tls else None
        link = SmtpLink.connect(hop.host, hop.port, self._timeouts.connect)
        session = SmtpSession(hop, link, self._timeouts)
        with self._lock:
            self._opening.add(link)
        try:
            greeting = session.read_reply(self._timeouts.greeting)
            if greeting.code != 220:
                raise GreetingError(f"the next hop refuses the session: {greeting.line}")
            _say_hello(session, self._hostname)
            if context is not None and _start_tls(session, context):
                _say_hello(session, self._hostname)
            if hop.credentials is not None:
                _log_in(session, hop.credentials)
        except BaseException:
            session.close()
            raise
        finally:
            with self._lock:
                self._opening.discard(link)
        return session


def _say_hello(session: SmtpSession, hostname: str) -> None:
    # RFC 3207 4.2: what was offered before TLS is forgotten, hence the whole mapping is replaced.
    session.features = {}
    reply = session.command(f"EHLO {hostname}")
    if reply.code == 250:
        words = [line.split(None, 1) for line in reply.lines[1:] if line]
        offered = {word[0].upper(): word[1] if len(word) > 1 else "" for word in words}
        session.features = MappingProxyType(offered)
        return
    if reply.is_permanent and reply.code != 554 and session.tls is None:
        # RFC 5321 3.2: a server without extensions; HELO is tried before giving up.
        reply = session.command(f"HELO {hostname}")
        if reply.code == 250:
            return
    raise GreetingError(f"the next hop refuses the session: {reply.line}")


def _start_tls(session: SmtpSession, context: ssl.SSLContext) -> bool:
    hop = session.hop
    if "STARTTLS" not in session.features:
        if hop.tls is TlsPolicy.MAY:
            return False
        raise TlsPolicyError("TLS is required and the next hop does not offer STARTTLS", status="4.7.4")
    reply = session.command("STARTTLS", session.timeouts.starttls)
    if reply.code != 220:
        if hop.tls is TlsPolicy.MAY and session.is_usable:
            return False
        raise TlsPolicyError(f"TLS is required and STARTTLS is refused: {reply.line}", status="4.7.4")
    try:
        session.tls = session.link.start_tls(context, hop.tls_name or hop.host, session.timeouts.starttls)
    except ProtocolError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise TlsPolicyError(f"the certificate of the next hop is not valid: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise _HandshakeFailedError(f"the TLS handshake with the next hop failed: {reason}") from error
    session.is_verified = hop.tls is TlsPolicy.VERIFY
    return True


def _log_in(session: SmtpSession, credentials: Credentials) -> None:
    mechanisms = session.features.get("AUTH", "").upper().split()
    name, password = credentials.name.encode("utf-8"), credentials.password.encode("utf-8")
    if "PLAIN" in mechanisms:
        # RFC 4616 2: empty authorisation identity, name, password.
        reply = session.command("AUTH PLAIN " + base64.b64encode(b"\0" + name + b"\0" + password).decode("ascii"))
    elif "LOGIN" in mechanisms:
        reply = session.command("AUTH LOGIN")
        for answer in (name, password):
            if reply.code == 334:
                reply = session.command(base64.b64encode(answer).decode("ascii"))
    else:
        raise LoginError("a login is set and the next hop offers neither AUTH PLAIN nor LOGIN", status="4.7.0")
    if reply.code != 235:
        # The reply's text is left out: some peers repeat what they were given.
        raise LoginError(f"the next hop refuses the login with {reply.code}")
