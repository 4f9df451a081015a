"""Waiting in an event loop for what a thread finishes, with one wake-up of the loop for a whole batch.

asyncio.wrap_future wakes the loop once for each future, a system call each; a group commit ends many at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future


class LoopBridge:
    """Carries the ends of concurrent futures into one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ended: deque[tuple[asyncio.Future[None], Future[None]]] = deque()
        self._lock = threading.Lock()
        self._is_woken = False

    async def wait_for(self, future: Future[None]) -> None:
        """Return when the future is done; raise what it raises. Cancelling the wait does not cancel the future."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        future.add_done_callback(lambda done: self._end(waiter, done))
        await waiter

    def _end(self, waiter: asyncio.Future[None], future: Future[None]) -> None:
        with self._lock:
            self._ended.append((waiter, future))
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
        for waiter, future in ended:
            error = future.exception()
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
