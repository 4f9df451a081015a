"""Waiting in an event loop for what a thread finishes, with one wake-up of the loop for a whole batch.

asyncio.wrap_future wakes the loop once for each future, a system call each; a group commit ends many at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque


class Ticket:
    """What the writer's thread ends, and what a coroutine waits for. Giving up waiting does not take the item back."""

    __slots__ = ("_bridge", "_error", "waiter")

    def __init__(self, bridge: LoopBridge) -> None:
        self._bridge = bridge
        self._error: Exception | None = None
        self.waiter: asyncio.Future[None] = bridge.loop.create_future()
        """Of the event loop; only the loop's thread touches it."""

    def set_running_or_notify_cancel(self) -> bool:
        """See store.writer.Outcome."""
        return True

    def set_result(self, _result: None) -> None:
        """See store.writer.Outcome."""
        self._bridge.end(self)

    def set_exception(self, error: Exception) -> None:
        """See store.writer.Outcome."""
        self._error = error
        self._bridge.end(self)

    def tell(self) -> None:
        """Let the coroutine go on; in the loop's thread."""
        if self.waiter.done():
            return
        if self._error is None:
            self.waiter.set_result(None)
        else:
            self.waiter.set_exception(self._error)


class LoopBridge:
    """Carries the ends of tickets from a thread into one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ended: deque[Ticket] = deque()
        self._lock = threading.Lock()
        self._is_woken = False

    def make_ticket(self) -> Ticket:
        """Return a ticket to submit with an item; in the loop's thread."""
        return Ticket(self)

    def end(self, ticket: Ticket) -> None:
        """Have a ticket told; from any thread."""
        with self._lock:
            self._ended.append(ticket)
            if self._is_woken:
                return
            self._is_woken = True
        try:
            self.loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            # The loop was closed: nobody waits any more.
            self._ended.clear()

    def _drain(self) -> None:
        with self._lock:
            ended = list(self._ended)
            self._ended.clear()
            self._is_woken = False
        for ticket in ended:
            ticket.tell()
