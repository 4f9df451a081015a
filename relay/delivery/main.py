"""The loop of `letterlock deliver`: claim, try in threads, settle, keep leases alive.

The time of the next attempt is stored by the claim, before the attempt. Hops that are down or full are skipped by the
next claim, so their copies wait untouched in their order; every ten minutes those of dead hops are taken in hand once,
to tell senders of the delay and to give up in time. A stop lets running transactions end, then breaks them.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from relay.core.errors import LetterlockError
from relay.delivery.attempt import Attempt
from relay.delivery.connections import ConnectionCache
from relay.delivery.endings import Ending, plan_ending
from relay.delivery.route import MailerTable
from relay.delivery.settler import Settler
from relay.log import Log
from relay.spool.claims import LEASE_MS, claim_delivery, clean_stop, extend, give_back, release_owner
from relay.spool.values import Delivery
from relay.store.base import Database

_log = Log("deliver")
_FAILURES_TO_ALERT = 4
"""Failures in a row, with the pauses between them some two minutes."""


class Wake(Protocol):
    """Something that can be waited for and says that there is work."""

    def fileno(self) -> int:
        """For select and poll."""
        ...

    def drain(self) -> None:
        """Forget all wake-ups that have come so far."""
        ...


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Sizes and times of the loop, in seconds, and how it begins."""

    threads: int = 16
    poll_seconds: float = 1.0
    grace_seconds: float = 20.0
    sweep_seconds: float = 600.0
    host_fell: bool = False
    """This is the first start since the host's: what was leased before was not what ended the process."""


class Deliverer:
    """One deliver process's loop. `run` is called once, from one thread."""

    def __init__(
        self,
        *,
        database: Database,
        attempt: Attempt,
        settler: Settler,
        connections: ConnectionCache,
        table: Callable[[], MailerTable],
        owner: str,
        settings: LoopSettings | None = None,
    ) -> None:
        self._database = database
        self._attempt = attempt
        self._settler = settler
        self._connections = connections
        self._table = table
        self._owner = owner
        self._settings = settings or LoopSettings()
        connections.limit_per_hop(self._settings.threads * 3 // 4)
        self._open: dict[Future[None], Delivery] = {}
        self._lock = threading.Lock()
        self._ended, self._end_signal = socket.socketpair()
        self._ended.setblocking(False)
        self._end_signal.setblocking(False)
        self._counts: Counter[str] = Counter()
        self._extended = self._swept = self._tidied = time.monotonic()
        self._is_failing = False
        self._sweeping: set[str] | None = None
        self._alerted: set[str] = set()
        self._tenant = ""

    def report(self) -> dict[str, object]:
        """Return counters for the health endpoint."""
        down = len(self._connections.down_keys())
        status = "failing" if self._is_failing else "degraded" if down else "ok"
        counts = {name: self._counts[name] for name in ("delivered", "deferred", "failed", "shunted")}
        return {"status": status, **counts, "open": self._count_open(), "hops_down": down}

    def run(self, stop: threading.Event, wake: Wake | None = None) -> None:
        """Deliver until the event is set, then end in good order."""
        release_owner(self._database, self._owner, host_fell=self._settings.host_fell)
        with ThreadPoolExecutor(self._settings.threads, "deliver") as pool:
            while not stop.is_set():
                claimed = self._claim_safely(pool)
                self._keep_leases()
                self._tidy()
                if claimed == 0 or self._count_open() > self._settings.threads:
                    self._wait(wake)
            self._finish()
        self._connections.close_all()

    # --- claiming -----------------------------------------------------------------------------------------------------

    def _claim_safely(self, pool: ThreadPoolExecutor) -> int:
        try:
            claimed = self._claim(pool)
        except LetterlockError as error:
            if not self._is_failing:
                _log.error("claim-failed", error=type(error).__name__)
            self._is_failing = True
            return 0
        self._is_failing = False
        return claimed

    def _claim(self, pool: ThreadPoolExecutor) -> int:
        """Claim as much as keeps the threads busy for a while, in few transactions; return how many deliveries."""
        if self._count_open() > self._settings.threads:
            return 0
        hops = self._table().hops
        closed = self._connections.closed_keys(hops)
        found = self._take(pool, closed, self._settings.threads * 2)
        return found + self._sweep(pool, frozenset(hop.key for hop in hops))

    def _take(self, pool: ThreadPoolExecutor, skip: frozenset[str], limit: int, seen: set[str] | None = None) -> int:
        deliveries = claim_delivery(self._database, self._owner, limit, skip)
        if seen is not None:
            seen.update(copy.id for delivery in deliveries for copy in delivery.copies)
        # All at once: a claim whose first delivery has ended already still has the others in hand.
        with self._lock:
            begun = {pool.submit(self._deliver, delivery, seen is not None): delivery for delivery in deliveries}
            self._open.update(begun)
        for future, delivery in begun.items():
            self._tenant = delivery.message.tenant
            future.add_done_callback(self._note_end)
        return len(deliveries)

    def _sweep(self, pool: ThreadPoolExecutor, hops: frozenset[str]) -> int:
        """Take every waiting copy of the dead hops in hand once: late ones are told of, the others keep their turn.

        One helping a round, so that mail for other hops goes on; over when nothing new comes.
        """
        if self._sweeping is None and time.monotonic() - self._swept >= self._settings.sweep_seconds:
            self._swept = time.monotonic()
            self._sweeping = set()
        down = self._connections.down_keys()
        if self._sweeping is None or not down:
            self._sweeping = None
            return 0
        before = len(self._sweeping)
        taken = self._take(pool, hops - down, self._settings.threads, self._sweeping)
        if len(self._sweeping) == before:
            self._sweeping = None
        return taken

    # --- one delivery, in a thread ------------------------------------------------------------------------------------

    def _deliver(self, delivery: Delivery, is_sweep: bool) -> None:
        try:
            outcomes = self._attempt.try_once(delivery)
            endings = [
                plan_ending(delivery, copy, outcomes[copy.id], self._hop_key(copy.forward_path))
                for copy in delivery.copies
            ]
            if is_sweep:
                # Each in its turn to the end of the row: the order stays and the sweep comes to its end.
                endings = [replace(e, retry_at=None) if e.settlement is None else e for e in endings]
            if self._settler.settle(delivery, endings):
                with self._lock:
                    self._counts.update(e.settlement.state.value for e in endings if e.settlement)
                _log_endings(endings)
        except Exception:  # the lease runs out, the crash stays counted, and after three a person looks
            _log.exception("delivery-failed", message=delivery.message.id)

    def _hop_key(self, forward_path: str) -> str | None:
        try:
            return self._table().resolve(forward_path).key
        except LetterlockError:
            # No route, or no table to be had now: what was handed over has to be written down all the same.
            return None

    def _note_end(self, future: Future[None]) -> None:
        with self._lock:
            self._open.pop(future, None)
        with contextlib.suppress(OSError):
            self._end_signal.send(b"1")

    # --- housekeeping -------------------------------------------------------------------------------------------------

    def _count_open(self) -> int:
        with self._lock:
            return len(self._open)

    def _wait(self, wake: Wake | None) -> None:
        """Wait for a wake-up, the end of a delivery, or the next poll."""
        readers: list[socket.socket | Wake] = [self._ended]
        # With its hands full the loop has no use for a wake-up.
        if wake is not None and self._count_open() <= self._settings.threads:
            readers.append(wake)
        select.select(readers, [], [], self._settings.poll_seconds)
        with contextlib.suppress(BlockingIOError):
            while self._ended.recv(4096):
                pass
        if wake is not None:
            wake.drain()

    def _keep_leases(self) -> None:
        now = time.monotonic()
        if now - self._extended < LEASE_MS / 3000:
            return
        self._extended = now
        with self._lock:
            copies = [copy for delivery in self._open.values() for copy in delivery.copies]
        try:
            extend(self._database, self._owner, copies)
        except LetterlockError as error:
            _log.warning("extend-failed", error=type(error).__name__)

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied >= 1.0:
            self._tidied = time.monotonic()
            self._connections.close_idle()
            self._alert_of_hops()

    def _alert_of_hops(self) -> None:
        """Tell the operator once of each hop that has been failing for minutes."""
        for status in self._connections.statuses():
            key = status.hop.key
            if status.failures == 0:
                self._alerted.discard(key)
            elif status.failures >= _FAILURES_TO_ALERT and key not in self._alerted and self._tenant:
                self._alerted.add(key)
                reason = f"the next hop {key} cannot be used: {status.last_error}"
                self._settler.raise_alert(self._tenant, reason, status.last_status)

    def _finish(self) -> None:
        with self._lock:
            waiting = dict(self._open)
        unbegun = [delivery for future, delivery in waiting.items() if future.cancel()]
        try:
            with self._database.transaction() as tx:
                give_back(tx, [copy for delivery in unbegun for copy in delivery.copies])
        except LetterlockError as error:
            _log.warning("give-back-failed", error=type(error).__name__)
        deadline = time.monotonic() + self._settings.grace_seconds
        while self._count_open() and time.monotonic() < deadline:
            self._keep_leases()
            self._wait(None)
        # What still runs is deferred: each broken session ends in an outcome of its own.
        while self._count_open():
            self._connections.abort_busy()
            self._wait(None)
        self._settler.close()
        try:
            clean_stop(self._database, self._owner)
        except LetterlockError as error:
            _log.warning("clean-stop-failed", error=type(error).__name__)
        self._ended.close()
        self._end_signal.close()


def _log_endings(endings: Sequence[Ending]) -> None:
    for ending in endings:
        if ending.settlement:
            copy, settlement = ending.copy, ending.settlement
            _log.info(
                "copy-ended",
                message=copy.message_id,
                copy=copy.id,
                state=settlement.state.value,
                status=settlement.status,
                hop=settlement.hop or copy.hop,
                attempts=copy.attempts,
            )
