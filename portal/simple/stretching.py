"""Argon2id for what is typed in server mode: 64 MiB a run, so few at a time, and none before the throttle agrees."""

from __future__ import annotations

import threading

from sqlalchemy import func, select

from portal.accounts.login import counter_name
from portal.context import Portal
from portal.security.errors import ApiError
from portal.store.models import throttle
from portal.store.throttle import name_networks
from relay.core.clock import SECOND
from relay.core.wire.sealed import KDF_MAILBOX, Stretched, stretch

RUNS = 2
"""At a time in one process."""
PATIENCE = 15.0
"""Seconds that a reader waits for a run."""


class Stretcher:
    """Runs the key derivation for one process. Safe to share between threads."""

    def __init__(self, portal: Portal, runs: int = RUNS, patience: float = PATIENCE) -> None:
        self._portal = portal
        self._free = threading.BoundedSemaphore(runs)
        self._patience = patience

    def run(self, who: str, secret: bytes) -> Stretched:
        """Return the keys of a secret of the mailbox `who`. Raises ApiError 503 when all runs are taken for long."""
        if not self._free.acquire(timeout=self._patience):
            raise ApiError(503, "busy", seconds=30)
        try:
            return stretch(self._portal.portal_id, who, KDF_MAILBOX, secret)
        finally:
            self._free.release()

    def check_throttle(self, login_id: str, network: str, device: str | None) -> None:
        """Refuse a try that the login would refuse anyway, before it costs a run. Raises ApiError 429.

        Counts nothing; the login itself asks again under its locks.
        """
        names = [f"device:{device}"]
        if device is None:
            of_networks = name_networks(network, self._portal.clock.now_ms())
            names = [counter_name(login_id), *(name for name, _ in of_networks)]
        query = select(func.max(throttle.c.until)).where(throttle.c.name.in_(names))
        with self._portal.store.main.read() as connection:
            until = connection.execute(query).scalar()
        left = (until or 0) - self._portal.clock.now_ms()
        if left > 0:
            raise ApiError(429, "wait", seconds=-(-left // SECOND))
