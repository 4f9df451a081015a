"""Accepting on listening sockets that several intake processes share.

Does: take connections one by one, and let another process go first while it has fewer open. Left to the kernel, the
process that happens to run takes all that wait, and a client that keeps its connections would keep one core busy.
Must not: wait for the others longer than a moment, since one of them may be dead or stopped; know SMTP.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
from collections.abc import Callable

from relay.log import Log

_log = Log("smtpd")
_WORD = 4
_LET_GO_FIRST_SECONDS = 0.003
_AT_ONCE = 16
"""So many are taken after others were let go first and did not come."""
_PAUSE_SECONDS = 0.5
"""After an error that the next moment will bring again: no file numbers left."""


class LoadBoard:
    """How many connections each of several processes has open, in memory that all of them see."""

    def __init__(self, number: int, slots: int, slot: int) -> None:
        """`number` is an open file made by `make_board`; `slot` is this process's place."""
        self._map = mmap.mmap(number, slots * _WORD)
        self._counts = memoryview(self._map).cast("I")
        self._slot = slot
        self._others = [one for one in range(slots) if one != slot]
        self._counts[slot] = 0

    def tell(self, connections: int) -> None:
        """Say how many connections this process has open."""
        self._counts[self._slot] = connections

    def has_more_than_others(self) -> bool:
        """Tell whether some other process has fewer open."""
        mine = self._counts[self._slot]
        return any(self._counts[one] < mine for one in self._others)

    def close(self) -> None:
        """Give the memory back; the others keep theirs."""
        self._counts.release()
        self._map.close()


def make_board(slots: int) -> int:
    """Return an open file for so many places, to be inherited. It lives in memory."""
    number = os.memfd_create("letterlock-load")
    os.ftruncate(number, slots * _WORD)
    return number


class SharedAcceptor:
    """Accepts on one shared socket, which it closes in the end. The socket must not block."""

    def __init__(self, sock: socket.socket, factory: Callable[[], asyncio.Protocol], board: LoadBoard) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._factory = factory
        self._board = board
        self._starting: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop.add_reader(sock, self._on_waiting)

    def close(self) -> None:
        """Accept no more."""
        if not self._closed:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            else:
                self._loop.remove_reader(self._socket)
            self._socket.close()

    def _on_waiting(self) -> None:
        if self._board.has_more_than_others():
            self._pause(_LET_GO_FIRST_SECONDS, _AT_ONCE)
        else:
            self._accept(1)

    def _pause(self, seconds: float, then: int) -> None:
        self._loop.remove_reader(self._socket)
        self._timer = self._loop.call_later(seconds, self._go_on, then)

    def _go_on(self, count: int) -> None:
        self._timer = None
        self._loop.add_reader(self._socket, self._on_waiting)
        self._accept(count)

    def _accept(self, count: int) -> None:
        for _ in range(count):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # another process was faster, or the peer has gone again
            except OSError as error:
                _log.error("accept-failed", error=type(error).__name__, errno=error.errno)
                self._pause(_PAUSE_SECONDS, 1)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._start(connection))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:
            connection.close()  # the peer has gone again
