"""One kept HTTP/1.1 connection over mutual TLS 1.3 whose peer is pinned; one call at a time.

The peer's certificate is compared with the pinned one before the first octet of a request is sent; no authority counts.
Each call has a deadline for the whole answer and a limit of its size, because the DMZ may be hostile.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.errors import ConfigurationError
from relay.link.config import LinkSettings
from relay.link.errors import LinkDownError, LinkError, LinkPinError
from relay.link.wire import MalformedAnswerError

_PIECE = 256 * 1024
_IDLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what its answer may take: octets, and seconds for the whole of it."""

    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]
    limit: int
    seconds: float


class PinnedConnection:
    """Safe for threads, which wait for each other; `close` from another one ends a call that waits."""

    def __init__(self, settings: LinkSettings, connect_seconds: float, on_break: Callable[[], None]) -> None:
        """`on_break` is called when a connection in use broke. Raises ConfigurationError."""
        self._host, self._port = settings.host, settings.port
        self._connect_seconds = connect_seconds
        self._on_break = on_break
        self._pins = settings.fingerprints()
        self._context = make_context(settings)
        self._lock = threading.Lock()
        self._connection: http.client.HTTPSConnection | None = None
        self._used_at = 0.0
        self._is_closed = False

    def exchange(self, call: Call) -> tuple[int, bytes]:
        """Return status code and body of the answer. Raises LinkDownError, LinkPinError, MalformedAnswerError."""
        with self._lock:
            return self._exchange(call)

    def close(self) -> None:
        """Close the connection for good."""
        self._is_closed = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._drop()

    def _exchange(self, call: Call) -> tuple[int, bytes]:
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            # Long before the portal closes it: so a connection that breaks in use means something.
            self._drop()
        is_kept = self._connection is not None
        try:
            return self._exchange_once(call)
        except LinkPinError:
            raise
        except LinkDownError:
            self._on_break()
            if not is_kept or self._is_closed:
                raise
        # Every call may be repeated (15: same id and digest again is 200).
        return self._exchange_once(call)

    def _exchange_once(self, call: Call) -> tuple[int, bytes]:
        try:
            connection = self._connect()
            assert connection.sock is not None
            deadline = time.monotonic() + call.seconds
            connection.sock.settimeout(call.seconds)
            connection.request(call.method, call.target, call.body, dict(call.headers))
            response = connection.getresponse()
            try:
                answer = _read_body(response, connection.sock, call.limit, deadline)
            except BaseException:
                # It holds the socket open by itself.
                response.close()
                raise
            self._used_at = time.monotonic()
            if response.will_close:
                self._drop()
            return response.status, answer
        except LinkError:
            self._drop()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop()
            raise LinkDownError(f"the portal link is down: {type(error).__name__}") from error

    def _connect(self) -> http.client.HTTPSConnection:
        if self._is_closed:
            raise LinkDownError("the link was closed")
        if self._connection is None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._connect_seconds, context=self._context
            )
            self._connection = connection
            connection.connect()
            peer = connection.sock.getpeercert(binary_form=True) or b""
            if hashlib.sha256(peer).digest() not in self._pins:
                raise LinkPinError("the portal shows another certificate than the pinned one")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def make_context(settings: LinkSettings) -> ssl.SSLContext:
    """Return the TLS context with our own certificate. Raises ConfigurationError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # No authority and no name counts: the certificate itself is pinned, and compared before anything is sent.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "portal.link_certificate",
            "cannot be used with portal.link_key",
            "Name the PEM files of one pair; the key without a passphrase, mode 0600",
        ) from error
    return context


def _read_body(response: http.client.HTTPResponse, sock: Any, limit: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    have = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LinkDownError("the portal takes too long to answer")
        with contextlib.suppress(OSError):
            sock.settimeout(left)
        piece = response.read1(_PIECE)
        if not piece:
            if response.length:
                raise LinkDownError("the portal's answer was cut off")
            # read1 leaves an answer open at its end, and the connection could not be used again.
            response.close()
            return b"".join(pieces)
        have += len(piece)
        if have > limit:
            raise MalformedAnswerError("the portal's answer is too long")
        pieces.append(piece)
