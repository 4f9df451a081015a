"""One TCP connection that speaks lines out and replies in, each wait with a deadline. Knows no order of commands."""

from __future__ import annotations

import select
import socket
import ssl
import time
from dataclasses import dataclass

from relay.delivery.errors import ConnectError, ConnectionLostError, ProtocolError
from relay.delivery.reply import Reply, ReplyParser


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each phase; the minima of RFC 5321 4.5.3.2 where it names one."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    """EHLO, MAIL, RCPT, AUTH."""
    starttls: float = 120.0
    data_init: float = 120.0
    block: float = 180.0
    """For one block of content to be taken, however slowly."""
    final_dot: float = 600.0
    reset: float = 20.0
    quit: float = 2.0


class SmtpLink:
    """A connected socket, in clear or in TLS."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parser = ReplyParser()

    @classmethod
    def connect(cls, host: str, port: int, timeout: float) -> SmtpLink:
        """Connect to the first of the host's addresses that answers. Raises ConnectError."""
        try:
            sock = socket.create_connection((host, port), timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise ConnectError(f"cannot connect to {host} port {port}: {reason}") from error
        return cls(sock)

    def send(self, data: bytes, timeout: float) -> None:
        """Send all octets within `timeout` seconds. Raises ConnectionLostError."""
        deadline = time.monotonic() + timeout
        view = memoryview(data)
        try:
            while view:
                self._sock.settimeout(max(0.001, deadline - time.monotonic()))
                view = view[self._sock.send(view) :]
                if view and time.monotonic() >= deadline:
                    raise TimeoutError
        except TimeoutError as error:
            raise ConnectionLostError("the next hop takes no data") from error
        except (OSError, ValueError) as error:
            raise ConnectionLostError("connection lost while sending") from error

    def read_reply(self, timeout: float) -> Reply:
        """Return the next reply. Raises ConnectionLostError on end or silence, ProtocolError on what is no reply."""
        deadline = time.monotonic() + timeout
        while (reply := self._parser.next_reply()) is None:
            remaining = deadline - time.monotonic()
            try:
                if remaining <= 0:
                    raise TimeoutError
                self._sock.settimeout(remaining)
                untrusted_data = self._sock.recv(16_384)
            except TimeoutError as error:
                raise ConnectionLostError("the next hop does not answer") from error
            except (OSError, ValueError) as error:
                raise ConnectionLostError("connection lost while waiting for a reply") from error
            if not untrusted_data:
                raise ConnectionLostError("the next hop closed the connection")
            self._parser.feed(untrusted_data)
        return reply

    def start_tls(self, context: ssl.SSLContext, server_name: str, timeout: float) -> str:
        """Do the TLS handshake and return protocol and cipher. Raises ProtocolError, ssl.SSLError or OSError."""
        if self._parser.has_leftover:
            # RFC 3207 6: what came in clear before the handshake may be an attacker's.
            raise ProtocolError("the next hop sent more before TLS began")
        self._sock.settimeout(timeout)
        # Kept before the handshake, so that abort reaches it.
        self._sock = secured = context.wrap_socket(
            self._sock, server_hostname=server_name, do_handshake_on_connect=False
        )
        secured.do_handshake()
        cipher = secured.cipher()
        return f"{secured.version()} {cipher[0] if cipher else ''}".strip()

    def is_quiet(self) -> bool:
        """Tell whether nothing has come since the last reply: a waiting octet or end means that the peer is leaving."""
        if self._parser.has_leftover or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
            return False
        try:
            poll = select.poll()
            poll.register(self._sock, select.POLLIN | select.POLLERR | select.POLLHUP)
            return not poll.poll(0)
        except (OSError, ValueError):
            return False

    def abort(self) -> None:
        """Break the connection from any thread: waits in other calls end with ConnectionLostError."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Close the socket. Never raises."""
        try:
            self._sock.close()
        except OSError:
            return
