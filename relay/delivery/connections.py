"""Sessions kept for reuse, the number of them a hop, and hops marked down for a while after a failure.

A hop that failed is left alone for 15 s, then 30 s, up to 5 min; then one probe goes, and only its success opens it
to all again. Waiting copies of a hop that is down are not claimed, so their order by next_at stays (fault row 14).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from relay.delivery.errors import HopError, Why
from relay.delivery.route import Hop
from relay.delivery.smtp import SessionOpener, SmtpSession
from relay.log import Log

_log = Log("delivery")

FIRST_PAUSE = 15.0
LONGEST_PAUSE = 300.0


class HopDownError(HopError):
    """Not tried: the hop failed a moment ago, or all its connections are busy."""

    why = Why.HOP_DOWN


@dataclass(frozen=True, slots=True)
class HopStatus:
    """One hop for the health page. Seconds are from now on."""

    hop: Hop
    is_down: bool
    seconds_left: float
    failures: int
    last_error: str
    last_status: str
    active: int


@dataclass(slots=True)
class _HopState:
    failures: int = 0
    down_until: float = 0.0
    last_error: str = ""
    last_status: str = "4.4.1"
    active: int = 0
    idle: list[tuple[float, SmtpSession]] = field(default_factory=list)


class ConnectionCache:
    """Hands out sessions, one user at a time each. Safe for threads."""

    def __init__(
        self,
        opener: Callable[[Hop], SmtpSession],
        *,
        max_uses: int = 100,
        idle_seconds: float = 10.0,
        slot_seconds: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opener = opener
        self._max_uses = max_uses
        self._idle_seconds = idle_seconds
        self._slot_seconds = slot_seconds
        self._monotonic = monotonic
        self._most = 1_000_000
        self._hops: dict[Hop, _HopState] = {}
        self._busy: set[SmtpSession] = set()
        self._freed = threading.Condition()

    @contextmanager
    def lease(self, hop: Hop, *, fresh: bool = False) -> Iterator[SmtpSession]:
        """Lend a session; it is kept afterwards when it is still good. `fresh` asks for a new connection.

        Waits a moment for one of the hop's connections. Raises HopDownError without trying while the hop is down or
        when none came free, else the HopError that marked it down.
        """
        session = self._take(hop, fresh)
        try:
            yield session
        except BaseException:
            session.close()
            raise
        finally:
            self._give_back(hop, session)

    def limit_per_hop(self, connections: int) -> None:
        """Let no hop have more connections than this, so that a slow one leaves threads for the others."""
        self._most = max(1, connections)

    def _allowed(self, state: _HopState, hop: Hop) -> int:
        # After a failure one probe at a time, so that thousands of waiting mails do not try each.
        return 1 if state.failures else min(hop.max_connections, self._most)

    def is_open(self, hop: Hop) -> bool:
        """Tell whether a mail for this hop would be tried now."""
        with self._freed:
            state = self._hops.setdefault(hop, _HopState())
            return state.down_until <= self._monotonic() and state.active < self._allowed(state, hop)

    def closed_keys(self, hops: Iterable[Hop]) -> frozenset[str]:
        """Return the keys of those hops that are down or full: what the next claim shall skip."""
        return frozenset(hop.key for hop in hops if not self.is_open(hop))

    def down_keys(self) -> frozenset[str]:
        """Return the keys of all hops that are down now."""
        return frozenset(status.hop.key for status in self.statuses() if status.is_down)

    def statuses(self) -> list[HopStatus]:
        """Return what is known of every hop used so far."""
        now = self._monotonic()
        with self._freed:
            return [
                HopStatus(
                    hop,
                    s.down_until > now,
                    max(0.0, s.down_until - now),
                    s.failures,
                    s.last_error,
                    s.last_status,
                    s.active,
                )
                for hop, s in self._hops.items()
            ]

    def close_idle(self) -> None:
        """Close sessions that waited too long. To be called every few seconds."""
        now = self._monotonic()
        old: list[SmtpSession] = []
        with self._freed:
            for state in self._hops.values():
                old += [session for since, session in state.idle if now - since > self._idle_seconds]
                state.idle = [entry for entry in state.idle if now - entry[0] <= self._idle_seconds]
        for session in old:
            session.quit()

    def close_all(self) -> None:
        """Close every idle session."""
        with self._freed:
            old = [session for state in self._hops.values() for _, session in state.idle]
            for state in self._hops.values():
                state.idle.clear()
        for session in old:
            session.quit()

    def abort_busy(self) -> None:
        """Break every session in use or being opened, for a stop that cannot wait any longer; their copies wait."""
        if isinstance(self._opener, SessionOpener):
            self._opener.abort()
        with self._freed:
            busy = list(self._busy)
        for session in busy:
            session.abort()

    def note_failure(self, hop: Hop, error: HopError) -> None:
        """Mark a hop down after a failure of a session as such."""
        with self._freed:
            state = self._hops.setdefault(hop, _HopState())
            state.failures += 1
            pause = min(FIRST_PAUSE * 2 ** min(state.failures - 1, 10), LONGEST_PAUSE)
            state.down_until = self._monotonic() + pause
            state.last_error, state.last_status = error.text, error.status
        _log.warning("hop-down", hop=hop.key, why=error.why.value, status=error.status, seconds=pause)

    def note_success(self, hop: Hop) -> None:
        """Open a hop to all again."""
        with self._freed:
            state = self._hops.setdefault(hop, _HopState())
            failures, state.failures, state.down_until = state.failures, 0, 0.0
            self._freed.notify_all()
        if failures:
            _log.info("hop-up", hop=hop.key, failures=failures)

    def _take(self, hop: Hop, fresh: bool) -> SmtpSession:
        deadline = self._monotonic() + self._slot_seconds
        with self._freed:
            state = self._hops.setdefault(hop, _HopState())
            while True:
                if state.down_until > self._monotonic():
                    raise HopDownError(f"waiting for the next hop: {state.last_error}", status=state.last_status)
                if state.active < self._allowed(state, hop):
                    break
                # A hop on probation makes nobody wait, a busy one for a moment: no hop may hold all threads.
                left = 0.0 if state.failures else deadline - self._monotonic()
                if left <= 0 or not self._freed.wait(left):
                    raise HopDownError("all connections to the next hop are in use", status="4.4.5")
            state.active += 1
        try:
            session = (None if fresh else self._pop_idle(state)) or self._opener(hop)
        except BaseException as error:
            if isinstance(error, HopError):
                self.note_failure(hop, error)
            with self._freed:
                state.active -= 1
                self._freed.notify_all()
            raise
        with self._freed:
            self._busy.add(session)
        return session

    def _pop_idle(self, state: _HopState) -> SmtpSession | None:
        while True:
            with self._freed:
                if not state.idle:
                    return None
                _, session = state.idle.pop()
            if session.is_fresh():
                return session
            session.close()

    def _give_back(self, hop: Hop, session: SmtpSession) -> None:
        session.reset()
        limit = min(session.transaction_limit or self._max_uses, self._max_uses)
        keep = session.is_usable and session.transactions < limit
        with self._freed:
            self._busy.discard(session)
            state = self._hops[hop]
            state.active -= 1
            if keep:
                state.idle.append((self._monotonic(), session))
            self._freed.notify_all()
        if not keep:
            session.quit()
