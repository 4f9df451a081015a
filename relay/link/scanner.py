"""clamd as the scanner of what comes from the portal (features A13): INSTREAM over a unix or TCP socket.

A whole mail is streamed as it is written to the spool; clamd looks into its parts itself. A scanner that is away or
fails is temporary: the entry waits on the portal. What is larger than clamd takes cannot be cleared and is held like
something found. Protocol: clamd(8), `zINSTREAM`, chunks of u32be(length) || octets, a zero length ends.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from dataclasses import dataclass

from relay.core.errors import ConfigurationError, LetterlockError
from relay.mailbox.incoming_reply import ScanVerdict

_TIMEOUT = 60.0
"""Seconds for the verdict and for each write."""
_MOST_REPLY = 4096
_FOUND = re.compile(r"stream: ([\x21-\x7e][\x20-\x7e]{0,200}) FOUND")
_TOO_LARGE = "INSTREAM size limit exceeded"
TOO_LARGE = "larger than the scanner takes"


class ScannerError(LetterlockError):
    """The scanner could not look now. The answer waits on the portal."""

    status = "4.3.2"


@dataclass(frozen=True, slots=True)
class ClamdScanner:
    """Where clamd listens: `unix:/path` or `tcp:HOST:PORT`."""

    address: str

    def begin(self) -> ClamdScan:
        """Connect. Raises ScannerError."""
        try:
            return ClamdScan(self._connect())
        except OSError as error:
            raise ScannerError(f"the scanner cannot be reached: {type(error).__name__}") from error

    def _connect(self) -> socket.socket:
        kind, _, rest = self.address.partition(":")
        if kind == "unix":
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(_TIMEOUT)
                connection.connect(rest)
            except BaseException:
                connection.close()
                raise
            return connection
        if kind == "tcp":
            host, _, port = rest.rpartition(":")
            return socket.create_connection((host, int(port)), _TIMEOUT)
        raise ConfigurationError("portal.scanner", "is no address of clamd", 'Write "unix:/run/clamav/clamd.ctl"')


class ClamdScan:
    """One mail on its way through clamd."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._is_too_large = False
        self._has_begun = False

    def feed(self, data: bytes) -> None:
        """Show the next octets. Raises ScannerError."""
        if self._is_too_large or not data:
            return
        try:
            if not self._has_begun:
                self._connection.sendall(b"zINSTREAM\0")
                self._has_begun = True
            self._connection.sendall(struct.pack(">I", len(data)))
            self._connection.sendall(data)
        except OSError as error:
            # It closes on what is too large for it, and says so before.
            if self._read_reply().startswith(_TOO_LARGE):
                self._is_too_large = True
                return
            raise ScannerError(f"the scanner broke off: {type(error).__name__}") from error

    def finish(self) -> ScanVerdict:
        """Return the verdict. Raises ScannerError."""
        if self._is_too_large:
            return ScanVerdict(is_clean=False, signature=TOO_LARGE)
        reply = ""
        with contextlib.suppress(OSError):
            if not self._has_begun:
                self._connection.sendall(b"zINSTREAM\0")
            self._connection.sendall(struct.pack(">I", 0))
        reply = self._read_reply()
        if reply == "stream: OK":
            return ScanVerdict(is_clean=True)
        if reply.startswith(_TOO_LARGE):
            return ScanVerdict(is_clean=False, signature=TOO_LARGE)
        if found := _FOUND.fullmatch(reply):
            return ScanVerdict(is_clean=False, signature=found[1])
        raise ScannerError("the scanner gave no verdict")

    def close(self) -> None:
        """Close the connection. Never raises."""
        with contextlib.suppress(OSError):
            self._connection.close()

    def _read_reply(self) -> str:
        reply = b""
        try:
            while b"\0" not in reply and len(reply) < _MOST_REPLY:
                piece = self._connection.recv(_MOST_REPLY)
                if not piece:
                    break
                reply += piece
        except OSError:
            return ""
        return reply.partition(b"\0")[0].decode("ascii", "replace").strip()
