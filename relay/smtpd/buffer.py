"""What has come from the peer and is not yet used.

Does: give whole lines within a bound, or octets as they come; tell whether something is waiting, which decides when
replies are flushed (RFC 2920 3.2) and whether a peer talks out of turn. Flow control is StreamReader's own.
Must not: interpret. It leans on StreamReader's private members (`_buffer`, `_waiter`, `_paused`), as aiosmtpd does; a
test fails loudly should a Python version rename them.
"""

from __future__ import annotations

import asyncio

_HOPELESS = 64 * 1024


class OverlongLineError(Exception):
    """A line was longer than allowed and has been thrown away. `hopeless` when even its end did not come."""

    def __init__(self, *, hopeless: bool) -> None:
        super().__init__("line too long")
        self.hopeless = hopeless


class InputBuffer(asyncio.StreamReader):
    """A StreamReader that can be asked without waiting."""

    _buffer: bytearray
    _eof: bool
    _exception: BaseException | None
    _transport: asyncio.Transport | None
    _loop: asyncio.AbstractEventLoop
    _waiter: asyncio.Future[None] | None
    _paused: bool
    _limit: int

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Take what came, octets always; as StreamReader does, without its detours."""
        buffer = self._buffer
        buffer += data
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if len(buffer) > 2 * self._limit and not self._paused and self._transport is not None:
            try:
                self._transport.pause_reading()
            except NotImplementedError:
                self._transport = None
            else:
                self._paused = True

    def has_input(self) -> bool:
        """Tell whether octets are waiting."""
        return bool(self._buffer)

    def has_line(self) -> bool:
        """Tell whether a whole line is waiting."""
        return b"\n" in self._buffer

    def follow_transport(self, transport: asyncio.Transport) -> None:
        """Let flow control act on another transport, after STARTTLS."""
        self._transport = transport

    async def next_line(self, limit: int) -> bytes | None:
        """Return the next line with its end, or None when the peer has closed.

        Raises OverlongLineError when more than `limit` octets stand before the LF, ConnectionError on a reset.
        """
        searched = 0
        thrown_away = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            if end >= 0:
                if thrown_away or end > limit:
                    self._drop(end + 1)
                    raise OverlongLineError(hopeless=False)
                line = bytes(self._buffer[: end + 1])
                self._drop(end + 1)
                return line
            searched = len(self._buffer)
            if searched > limit:
                thrown_away += searched
                self._drop(searched)
                searched = 0
                if thrown_away > _HOPELESS:
                    raise OverlongLineError(hopeless=True)
            if not await self._wait():
                return None

    async def next_octets(self, most: int = -1) -> bytes:
        """Return what has come, at most `most` octets, waiting for at least one; empty when the peer has closed."""
        if not self._buffer and not await self._wait():
            return b""
        if most < 0 or most >= len(self._buffer):
            octets = bytes(self._buffer)
            self._drop(len(octets))
        else:
            octets = bytes(self._buffer[:most])
            self._drop(most)
        return octets

    def give_back(self, octets: bytes) -> None:
        """Put octets back to the front."""
        if octets:
            self._buffer[:0] = octets

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        if self._paused:
            self._maybe_resume_transport()  # type: ignore[attr-defined]

    async def _wait(self) -> bool:
        self._raise_lost()
        if self._eof:
            return False
        had = len(self._buffer)
        if self._paused:
            # Everything that is here is not enough: more must come.
            self._paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None
        # A reset sets the exception and wakes us; an EOF wakes us with nothing new.
        self._raise_lost()
        return len(self._buffer) > had or not self._eof

    def _raise_lost(self) -> None:
        # Whatever ended the connection (a reset, a TLS alert), to the readers it is one thing: the peer is gone.
        if self._exception is not None:
            raise ConnectionResetError from self._exception
