"""`letterlock worker`: claims messages, hands them to the pool's children, keeps their leases alive.

Claims count a crash before the work begins; a child that dies leaves its message with that count, and after three the
message is shunted. Nothing here reads mail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from relay.core.clock import SECOND
from relay.core.errors import LetterlockError
from relay.log import Log
from relay.process.health import HealthSocket
from relay.process.life import note_start, say_ready
from relay.process.wake import WakeReceiver, WakeSender
from relay.settings import Settings
from relay.spool.claims import (
    LEASE_MS,
    MAX_CRASHES,
    claim_work,
    clean_stop,
    extend,
    give_back,
    release_copies,
    release_owners,
)
from relay.spool.values import Work
from relay.store.base import Database
from relay.worker.child import FAILED, run_child
from relay.worker.pool import Ended, Fate, PoolLimits, WorkerPool

_log = Log("worker")
_POLL_SECONDS = 1.0
_BATCH = 8
_GRACE_SECONDS = 20.0
_PAUSE_MS = 15 * SECOND
"""Before a message is tried again that the database could not take down."""
_PRELOAD = ("relay.worker.preload",)


class Worker:
    """The loop of one worker process."""

    def __init__(self, settings: Settings, database: Database, owner: str, *, host_fell: bool = False) -> None:
        self._settings = settings
        self._database = database
        self._owner = owner
        self._host_fell = host_fell
        limits = PoolLimits(settings.worker.job_seconds, settings.worker.memory_mib, settings.worker.recycle_jobs)
        self._pool = WorkerPool(run_child, str(settings.path), settings.worker.processes, limits, _PRELOAD)
        self._wake = WakeReceiver(settings.run_dir, "worker")
        self._deliver = WakeSender(settings.run_dir, "deliver")
        self._open: dict[str, Work] = {}
        self._returns: list[tuple[Fate, Work]] = []
        self._extended = time.monotonic()
        self._done = 0
        self._crashed = 0
        self._failing_since: float | None = None

    def report(self) -> dict[str, object]:
        """Return counters for the health endpoint."""
        status = "ok" if self._failing_since is None else "failing"
        return {"status": status, "done": self._done, "crashed": self._crashed, "open": len(self._open)}

    def run(self, stop: threading.Event) -> None:
        """Work until the event is set, then let running jobs end and give the rest back."""
        release_owners(self._database, self._owner, host_fell=self._host_fell)
        while not stop.is_set():
            try:
                found = self._claim()
                self._failing_since = None
            except LetterlockError as error:
                found = 0
                if self._failing_since is None:
                    _log.error("claim-failed", error=type(error).__name__)
                    self._failing_since = time.monotonic()
            self._collect(0.0 if found and self._pool.idle else _POLL_SECONDS)
            self._return()
            self._keep_leases()
        self._finish()

    def _claim(self) -> int:
        """Claim for every idle child; return how many messages were claimed."""
        count = 0
        while (idle := self._pool.idle) > 0:
            works = claim_work(self._database, self._owner, _BATCH)
            if not works:
                break
            count += len(works)
            self._open.update((work.message.id, work) for work in works)
            if any(copy.crashes >= MAX_CRASHES for work in works for copy in work.copies):
                # The last try of a message, alone by the claim: in a process that no other mail has touched.
                self._pool.submit(works, alone=True)
                continue
            for batch in _share(works, idle):
                self._pool.submit(batch)
        return count

    def _collect(self, seconds: float) -> None:
        ended = self._pool.poll(seconds, also=(self._wake,))
        self._wake.drain()
        for one in ended:
            self._end(one)

    def _end(self, one: Ended) -> None:
        work: Work = one.job
        self._open.pop(work.message.id, None)
        if one.fate is Fate.DONE and one.answer != FAILED:
            self._done += 1
            self._deliver.wake()
            return
        if one.fate in (Fate.CRASHED, Fate.OVERTIME):
            self._crashed += 1
            _log.error("job-died", message=work.message.id, fate=one.fate.value, exit_code=one.exit_code)
        self._returns.append((one.fate, work))
        self._return()

    def _return(self) -> None:
        """End the leases of what did not come to its end; with the database away, later, or they run out."""
        while self._returns:
            fate, work = self._returns[0]
            try:
                if fate in (Fate.DONE, Fate.NOT_STARTED):
                    # No fault of the mail: nothing is counted.
                    with self._database.transaction() as tx:
                        pause = _PAUSE_MS if fate is Fate.DONE else 0
                        give_back(tx, work.copies, retry_at=tx.now_ms() + pause)
                else:
                    # The crash stays counted; the freed lease lets the next try begin at once.
                    release_copies(self._database, work.copies)
            except LetterlockError as error:
                _log.warning("give-back-failed", message=work.message.id, error=type(error).__name__)
                return
            self._returns.pop(0)

    def _keep_leases(self) -> None:
        now = time.monotonic()
        if now - self._extended < LEASE_MS / 3000 or not self._open:
            return
        self._extended = now
        try:
            extend(self._database, self._owner, [copy for work in self._open.values() for copy in work.copies])
        except LetterlockError as error:
            _log.warning("extend-failed", error=type(error).__name__)

    def _finish(self) -> None:
        for one in self._pool.close(_GRACE_SECONDS):
            self._end(one)
        try:
            clean_stop(self._database, self._owner)
        except LetterlockError as error:
            _log.warning("clean-stop-failed", error=type(error).__name__)
        self._wake.close()
        self._deliver.close()


def _share(works: Sequence[Work], idle: int) -> list[list[Work]]:
    """Deal the works to so many hands; one that crashed before comes alone in its list by the claim."""
    hands: list[list[Work]] = [[] for _ in range(min(idle, len(works)))]
    for number, work in enumerate(works):
        hands[number % len(hands)].append(work)
    return hands


def run_worker(settings: Settings, database: Database, stop: threading.Event) -> None:
    """Run until stopped."""
    is_first = note_start(settings.run_dir, "worker")
    worker = Worker(settings, database, f"{settings.host.node}/worker", host_fell=is_first)
    health = HealthSocket(settings.run_dir, "worker", worker.report)
    say_ready()
    try:
        worker.run(stop)
    finally:
        health.close()
