"""The clock port. Times are integer milliseconds since 1970 UTC wherever they are stored or compared.

Deciding code never asks a clock: time reaches it as a fact. The offset lets tests move time for every process at once;
the store adds the same offset to the database's own clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970 UTC, offset included."""
        ...

    def offset_ms(self) -> int:
        """Return the offset in milliseconds to add to any other clock, the database's for one."""
        ...


@dataclass(slots=True)
class SystemClock:
    """The host's clock plus an offset read from a file that only test set-ups name.

    The file holds a whole number of seconds; it is looked at once a second at most.
    """

    offset_file: Path | None = None
    _offset: int = 0
    _looked: float = field(default=-1e9)

    def offset_ms(self) -> int:
        """Return the current offset; a missing or broken file means none."""
        if self.offset_file is None:
            return 0
        tick = time.monotonic()
        if tick - self._looked >= 1.0:
            self._looked = tick
            try:
                self._offset = int(self.offset_file.read_text("ascii").strip()) * SECOND
            except (OSError, ValueError):
                self._offset = 0
        return self._offset

    def now_ms(self) -> int:
        """Return the host's time plus the offset."""
        return time.time_ns() // 1_000_000 + self.offset_ms()


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until a test moves it."""

    ms: int = 1_800_000_000_000

    def now_ms(self) -> int:
        """Return the set time."""
        return self.ms

    def offset_ms(self) -> int:
        """Return how far the set time is from the host's."""
        return self.ms - time.time_ns() // 1_000_000

    def advance(self, milliseconds: int) -> None:
        """Move the time on."""
        self.ms += milliseconds


def to_datetime(ms: int) -> datetime:
    """Return the aware UTC datetime of a stored time."""
    return datetime.fromtimestamp(ms / 1000, UTC)
