"""Whether the link works: one failure closes it for a while for all threads, so that not every waiting row is tried.

What waits keeps its order and counts no attempt. The operator is told once when it has failed for minutes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from relay.link.errors import LinkBusyError, LinkDownError

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_FAILURES_TO_ALERT = 6
"""Failures in a row, with the pauses between them about a minute."""


class Gate:
    """Safe for threads."""

    def __init__(
        self,
        on_trouble: Callable[[LinkDownError], None],
        on_down: Callable[[], None] = lambda: None,
        *,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """`on_trouble` is called once for each time of trouble, when it has lasted a minute; `on_down` each time that
        there was no answer."""
        self._on_trouble = on_trouble
        self._on_down = on_down
        self._first_pause = first_pause
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until = 0.0
        self._last_error = ""

    @property
    def is_open(self) -> bool:
        """Tell whether a call may be tried now."""
        return time.monotonic() >= self._closed_until

    def seconds_to_wait(self) -> float:
        """Return how long it is closed from now on; 0.0 when it is open."""
        return max(0.0, self._closed_until - time.monotonic())

    def note_up(self) -> None:
        """A call was answered."""
        if self._failures:
            with self._lock:
                self._failures, self._closed_until, self._last_error = 0, 0.0, ""

    def note_down(self, error: LinkDownError) -> None:
        """A call had no answer, or none that helps."""
        if not isinstance(error, LinkBusyError):
            self._on_down()
        with self._lock:
            # Threads that failed together count once.
            if time.monotonic() < self._closed_until:
                return
            self._failures += 1
            pause = min(self._first_pause * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
            self._closed_until = time.monotonic() + pause
            self._last_error = type(error).__name__
            is_trouble = self._failures == _FAILURES_TO_ALERT
        if is_trouble:
            self._on_trouble(error)

    def report(self) -> dict[str, object]:
        """Return what the health page says."""
        return {"status": "degraded" if self._failures else "ok", "failures": self._failures, "error": self._last_error}
