"""One connection as octets, lines and time: our subclass of aiosmtpd's SMTP, with its defects overridden.

Does: life cycle, grouped replies (RFC 2920 3.2), deadlines, half-close, STARTTLS hand-over, the stop.
Must not: know SMTP's meaning (dialogue.py does), cancel a handler because the peer went away, log octets.

What of aiosmtpd is replaced, and why: its constructor inspects every member for each connection and clears limits that
all connections share; EOF and connection loss cancel the handler in the middle of a spool write; its timer is not
reset by progress; an exception becomes a permanent 500; each reply is a packet of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from typing import cast

from aiosmtpd.smtp import SMTP

from relay.log import Log
from relay.smtpd import replies
from relay.smtpd.buffer import InputBuffer
from relay.smtpd.dialogue import Dialogue
from relay.smtpd.limits import client_key
from relay.smtpd.replies import Reply
from relay.smtpd.service import Endpoint, Service, note_fault

_log = Log("smtpd")
_BUFFER_OCTETS = 64 * 1024  # reading pauses at twice this
_LINGER_SECONDS = 2.0
_LINGER_OCTETS = 4 * 1024 * 1024
_HANDSHAKE_SECONDS = 30.0
_HANG_UP_SECONDS = 5.0


class Channel(SMTP):
    """One connection of one listener."""

    _paused: bool

    def __init__(self, service: Service, endpoint: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        self.input = InputBuffer(limit=_BUFFER_OCTETS, loop=loop)
        asyncio.StreamReaderProtocol.__init__(
            self, self.input, client_connected_cb=self._cb_client_connected, loop=loop
        )
        # What SMTP.connection_made looks at:
        self.loop = loop
        self.session = None
        self.envelope = None
        self.transport = None
        self._original_transport = None
        self._timeout_handle: asyncio.TimerHandle | None = None
        self._handler_coroutine: asyncio.Task[None] | None = None
        # Ours:
        self._service = service
        self._endpoint = endpoint
        self._output: list[bytes] = []
        self._deadline: float | None = None
        self._is_lost = False
        self._is_waiting = False
        self._is_counted = False
        self.is_stopping = False
        self.client_ip = ""
        self.local_ip = ""
        self.local_port = 0
        self.tls: str | None = None

    # --- life cycle ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin. Not called a second time for TLS."""
        self.client_ip, _ = _read_endpoint(transport.get_extra_info("peername"))
        self.local_ip, self.local_port = _read_endpoint(transport.get_extra_info("sockname"))
        self._service.add_channel(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take octets; straight into the buffer."""
        self.input.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the reader; the handler sees EOF or the error when it reads next, and a running commit sees nothing."""
        self._is_lost = True
        self._service.remove_channel(self)
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
            self._timeout_handle = None
        asyncio.StreamReaderProtocol.connection_lost(self, error)

    def eof_received(self) -> bool:
        """A peer may close its half after the last command and still gets its replies (not under TLS, where asyncio
        cannot write any more)."""
        self.input.feed_eof()
        return self.tls is None

    async def _handle_client(self) -> None:
        # aiosmtpd's connection_made makes a task of this.
        dialogue = Dialogue(self, self._service, self._endpoint)
        stats = self._service.stats
        stats.connections_total += 1
        refusal = self._count_in()
        try:
            if refusal is not None:
                stats.connections_refused += 1
                self.reply(refusal)
                await self.flush()
                return
            await dialogue.run()
        except ConnectionError:
            pass
        except Exception as error:  # the last line of defence; the peer is told nothing
            note_fault(self._service, self._endpoint, error)
        finally:
            try:
                await dialogue.close()
                with contextlib.suppress(OSError):
                    await self._take_leave()
            finally:
                self._count_out()
                self._close()

    def _count_in(self) -> Reply | None:
        if self._service.stats.stopping:
            return replies.SHUTTING_DOWN
        connections = self._endpoint.connections
        client = client_key(self.client_ip)
        if connections.is_full() or self._service.stats.connections_open >= self._service.config.limits.connections:
            return replies.TOO_MANY_CONNECTIONS
        if connections.is_full_for(client):
            return replies.TOO_MANY_CONNECTIONS_FROM_YOU
        connections.add(client)
        self._is_counted = True
        self._service.stats.connections_open += 1
        return None

    def _count_out(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self._endpoint.connections.remove(client_key(self.client_ip))
            self._service.stats.connections_open -= 1

    async def _take_leave(self) -> None:
        """Flush and, where octets of the peer may still be on the way, read them, or a reset would eat our last
        reply."""
        self.set_deadline(_HANG_UP_SECONDS)
        await self.flush()
        self.set_deadline(None)
        if (
            self._is_lost
            or not self._is_counted
            or self.tls is not None
            or self.input.at_eof()
            or (transport := self._wire()) is None
        ):
            return
        if transport.can_write_eof():
            transport.write_eof()
        thrown_away = 0
        async with asyncio.timeout(_LINGER_SECONDS):
            while thrown_away < _LINGER_OCTETS:
                octets = await self.input.next_octets()
                if not octets:
                    return
                thrown_away += len(octets)

    # --- the stop -----------------------------------------------------------------------------------------------------

    def begin_stop(self) -> None:
        """Say 421 now if the peer is between commands; otherwise after what runs."""
        self.is_stopping = True
        if self._is_waiting:
            self._hang_up(replies.SHUTTING_DOWN)

    def end_stop(self) -> None:
        """The grace is over: whatever is being received is given up."""
        self._hang_up(replies.SHUTTING_DOWN)

    def _hang_up(self, reply: Reply) -> None:
        transport = self._wire()
        if self._is_lost or transport is None or transport.is_closing():
            return
        self._output.append(reply.octets)
        transport.write(b"".join(self._output))
        self._output.clear()
        self._close()

    def _wire(self) -> asyncio.Transport | None:
        # uvloop's transports are transports by behaviour, not by class.
        return cast("asyncio.Transport | None", self.transport)

    def _close(self) -> None:
        transport = self._wire()
        if self._is_lost or transport is None or transport.is_closing():
            # asyncio's TLS transport cannot be asked anything any more once it has been closed twice.
            return
        is_unsent = transport.get_write_buffer_size() > 0
        transport.close()
        if is_unsent:
            # A peer that reads nothing would keep a closing transport open for ever.
            self.loop.call_later(_HANG_UP_SECONDS, transport.abort)

    # --- time ---------------------------------------------------------------------------------------------------------

    def set_deadline(self, seconds: float | None) -> None:
        """Hang up unless the deadline is moved in time; None while waiting is our own doing. One timer is re-armed
        lazily, since most deadlines are moved."""
        if seconds is None:
            self._deadline = None
            return
        deadline = self.loop.time() + seconds
        self._deadline = deadline
        handle = self._timeout_handle
        if self._is_lost or (handle is not None and handle.when() <= deadline):
            return
        if handle is not None:
            handle.cancel()
        self._timeout_handle = self.loop.call_at(deadline, self._timeout_cb)

    def hold_deadline(self) -> float | None:
        """Stop the clock for the peer while we are slow; return the seconds left, for `set_deadline`."""
        deadline, self._deadline = self._deadline, None
        return None if deadline is None else max(deadline - self.loop.time(), 0.001)

    def _reset_timeout(self, duration: float | None = None) -> None:
        self.set_deadline(duration or self._endpoint.limits.command_timeout)

    def _timeout_cb(self) -> None:
        self._timeout_handle = None
        deadline = self._deadline
        if deadline is None or self._is_lost:
            return
        if self.loop.time() < deadline:
            self._timeout_handle = self.loop.call_at(deadline, self._timeout_cb)
            return
        _log.info("peer-timed-out", listener=self._endpoint.listener.name, client=self.client_ip)
        self._hang_up(replies.TIMED_OUT)

    # --- lines, octets, replies ---------------------------------------------------------------------------------------

    async def next_command(self, limit: int) -> bytes | None:
        """Return the next line with its end, None at the end of the connection. Flushes when there is none yet.

        Raises OverlongLineError, ConnectionError.
        """
        self.set_deadline(self._endpoint.limits.command_timeout)
        if self._output and not self.input.has_line():
            await self.flush()
        if self.is_stopping and not self.input.has_line():
            self._hang_up(replies.SHUTTING_DOWN)
            return None
        self._is_waiting = True
        try:
            return await self.input.next_line(limit)
        finally:
            self._is_waiting = False

    def reply(self, reply: Reply) -> None:
        """Put a reply into the next group."""
        self._output.append(reply.octets)

    async def flush(self) -> None:
        """Send the group of replies in one piece. Raises ConnectionError when the peer is gone."""
        if not self._output:
            return
        data = b"".join(self._output)
        self._output.clear()
        if self._is_lost:
            raise ConnectionResetError
        if self._deadline is None:
            self.set_deadline(self._endpoint.limits.command_timeout)
        transport = self._wire()
        if transport is None:
            raise ConnectionResetError
        try:
            transport.write(data)
            if self._paused or transport.is_closing() or self.input.exception() is not None:
                # StreamWriter's way of waiting for a slow peer and of telling that one is gone.
                await self._writer.drain()
        except OSError as error:  # a TLS alert is an OSError too
            raise ConnectionResetError from error

    # --- TLS ----------------------------------------------------------------------------------------------------------

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on under TLS after the 220 was flushed. Raises OSError (ssl.SSLError, ConnectionError) on failure.

        Nothing may be waiting in the buffer: the caller has looked, and loop.start_tls pauses reading before its first
        await, so no clear octet can slip in behind (RFC 3207 6, CVE-2011-0411).
        """
        wire = self._wire()
        if wire is None:
            raise ConnectionResetError
        self.set_deadline(None)
        transport = await self.loop.start_tls(
            wire, self, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
        )
        if transport is None:
            raise ConnectionResetError
        self.transport = transport
        self.input.follow_transport(transport)
        self._writer = asyncio.StreamWriter(transport, self, self.input, self.loop)
        cipher = transport.get_extra_info("cipher")
        self.tls = f"{cipher[1]} {cipher[0]}" if cipher else "TLS"


def _read_endpoint(name: object) -> tuple[str, int]:
    """Return address and port of a socket name; an IPv4 client of a dual-stack socket is an IPv4 client."""
    if not isinstance(name, tuple) or len(name) < 2:
        return "", 0
    address = str(name[0])
    if ":" not in address:
        return address, int(name[1])
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address, int(name[1])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed), int(name[1])
