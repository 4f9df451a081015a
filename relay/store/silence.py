"""Ending a wait for a database that is silent: neither an answer nor an end of the connection comes.

A frozen server or a network that swallows packets would else hold whoever waits for as long as the system's timeouts
are. libpq has no timeout for an answer; so a thread looks at the calls under way and shuts the socket of one that waits
too long, which ends the call with an error (fault rows 9 and 11: everybody knows within 5 s).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Protocol

_LOOK_SECONDS = 0.25


class HasSocket(Protocol):
    """A connection whose socket can be named; psycopg's."""

    def fileno(self) -> int:
        """Return the file descriptor."""
        ...


class SilenceWatch:
    """Watches calls. The thread starts with the first one and sleeps while there is none."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._calls: dict[int, tuple[float, HasSocket]] = {}
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextlib.contextmanager
    def guard(self, connection: HasSocket, seconds: float) -> Iterator[None]:
        """Shut the connection's socket if the block takes longer than `seconds`."""
        number = next(self._numbers)
        self._calls[number] = (time.monotonic() + seconds, connection)
        if not self._busy.is_set():
            self._wake()
        try:
            yield
        finally:
            del self._calls[number]

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._busy.set()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="database-watch", daemon=True)
            self._thread.start()
        self._busy.set()

    def _look(self) -> None:
        idle_rounds = 0
        while not self._is_closed:
            self._busy.wait()
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            for deadline, connection in tuple(self._calls.values()):
                if deadline < now:
                    _shut(connection)
            idle_rounds = 0 if self._calls else idle_rounds + 1
            if idle_rounds > 40:
                self._busy.clear()
                # A call that came between the look and the clearing sees the event unset or finds it set again here.
                if self._calls or self._is_closed:
                    self._busy.set()
                idle_rounds = 0


def _shut(connection: HasSocket) -> None:
    # The descriptor may be closed by its owner at this very moment: then there is nothing left to end.
    with contextlib.suppress(Exception):
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with copy:
            copy.shutdown(socket.SHUT_RDWR)
