"""`letterlock scheduler`: claims due jobs and runs them, one after the other.

A job is leased in the database, so any number of schedulers may run and one of them does it. A job that fails is tried
again at its next time; its status says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.core.clock import MINUTE
from relay.core.errors import LeaseLostError, LetterlockError
from relay.log import Log
from relay.process.health import HealthSocket
from relay.process.life import say_ready
from relay.settings import Settings
from relay.store.base import Database
from relay.store.repositories.jobs import claim_job, ensure_job, finish_job

_log = Log("scheduler")
_LEASE_MS = 10 * MINUTE
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One timed job: how often, in milliseconds, and what. `run` returns a short status."""

    interval_ms: int
    run: Callable[[], str]


class Scheduler:
    """Runs the jobs that are due."""

    def __init__(self, database: Database, tenant: str, owner: str, jobs: Mapping[str, Job]) -> None:
        self._database = database
        self._tenant = tenant
        self._owner = owner
        self._jobs = jobs
        self._failing: set[str] = set()

    def report(self) -> dict[str, object]:
        """Return counters for the health endpoint."""
        return {"status": "degraded" if self._failing else "ok", "failing": sorted(self._failing)}

    def prepare(self) -> None:
        """Make every job exist. Raises StorageError."""
        with self._database.transaction() as tx:
            for name, job in self._jobs.items():
                ensure_job(tx, self._tenant, name, job.interval_ms)

    def run_due(self) -> bool:
        """Run the job that is due longest; return whether there was one. Raises StorageError."""
        with self._database.transaction() as tx:
            lease = claim_job(tx, self._owner, _LEASE_MS, tuple(self._jobs))
        if lease is None:
            return False
        try:
            status = self._jobs[lease.name].run()
            self._failing.discard(lease.name)
        except LetterlockError as error:
            status = f"failed: {type(error).__name__}"
            self._failing.add(lease.name)
            _log.warning("job-failed", job=lease.name, error=type(error).__name__)
        except Exception as error:  # one broken job must not stop the others
            status = f"failed: {type(error).__name__}"
            self._failing.add(lease.name)
            _log.exception("job-failed", job=lease.name)
        try:
            with self._database.transaction() as tx:
                finish_job(tx, lease, status)
        except LeaseLostError:
            _log.warning("job-overtime", job=lease.name)
        return True


def run_scheduler(settings: Settings, database: Database, jobs: Mapping[str, Job], stop: threading.Event) -> None:
    """Run until stopped."""
    scheduler = Scheduler(database, settings.host.tenant, f"{settings.host.node}/scheduler", jobs)
    scheduler.prepare()
    health = HealthSocket(settings.run_dir, "scheduler", scheduler.report)
    say_ready()
    try:
        while not stop.is_set():
            try:
                ran = scheduler.run_due()
            except LetterlockError as error:
                _log.error("scheduler-failed", error=type(error).__name__)
                ran = False
            if not ran:
                stop.wait(_POLL_SECONDS)
    finally:
        health.close()
