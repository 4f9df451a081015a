"""The supervisor: starts the first process, then the others, restarts what dies with back-off, stops in reverse order.
Processes that are alike (`together`) start at once and stop at once.

A process that leaves with EX_CONFIG (78) or EX_UNAVAILABLE (69) before it was ready cannot be helped by a restart:
everything stops and its own words, already on stderr, are the explanation.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from relay.log import Log
from relay.process.life import READY_FD

_log = Log("supervisor")
WATCH_SECONDS = 0.2
_STABLE_SECONDS = 60.0
_MAX_BACKOFF = 60.0


class StartError(Exception):
    """A process could not be started; `exit_code` is what the supervisor shall leave with."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"{name} did not start")
        self.name = name
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process: its name, its command line, and how long it may take to say ready or to stop."""

    name: str
    command: tuple[str, ...]
    ready_seconds: float = 60.0
    stop_seconds: float = 30.0


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    backoff: float = 0.5
    next_start: float = 0.0
    restarts: int = 0


@dataclass(slots=True)
class Supervisor:
    """Keeps a list of processes alive. `environment` is added to this process's own."""

    specs: Sequence[ProcessSpec]
    environment: Mapping[str, str] = field(default_factory=dict)
    error_log: TextIO | None = None
    """Where the processes' stderr goes; None keeps this process's own."""
    pass_fds: Sequence[int] = ()
    """Open files that every process inherits under their numbers: listening sockets."""
    together: bool = False
    """All are alike: none waits for another, neither at the start nor at the stop."""
    _running: list[_Running] = field(default_factory=list)

    def start(self) -> None:
        """Start the first, wait for its word, then start the others at once. Raises StartError after stopping all."""
        self._running = [_Running(spec) for spec in self.specs]
        first = len(self._running) if self.together else 1
        for group in (self._running[:first], self._running[first:]):
            pipes = [self._spawn(entry) for entry in group]
            codes = [self._await_ready(entry, pipe) for entry, pipe in zip(group, pipes, strict=True)]
            for entry, code in zip(group, codes, strict=True):
                if code is not None:
                    self.stop()
                    raise StartError(entry.spec.name, code)

    def _spawn(self, entry: _Running) -> BinaryIO:
        """Start one; return the pipe on which it will say ready."""
        reading, writing = os.pipe()
        environment = {**os.environ, **self.environment, READY_FD: str(writing)}
        entry.started = time.monotonic()
        entry.process = subprocess.Popen(
            entry.spec.command,
            env=environment,
            pass_fds=(writing, *self.pass_fds),
            stdin=subprocess.DEVNULL,
            stderr=self.error_log,
            start_new_session=True,
        )
        os.close(writing)
        return os.fdopen(reading, "rb", buffering=0)

    def _await_ready(self, entry: _Running, pipe: BinaryIO) -> int | None:
        """Wait for one's word. Return None when ready, else its exit code (1 when it was too slow)."""
        assert entry.process is not None
        with contextlib.closing(pipe):
            deadline = entry.started + entry.spec.ready_seconds
            while time.monotonic() < deadline:
                readable, _, _ = select.select([pipe], [], [], 0.1)
                if readable:
                    if pipe.read(1) == b"1":
                        _log.info("process-ready", name=entry.spec.name, pid=entry.process.pid)
                        return None
                    break
        try:
            code = entry.process.wait(5)
        except subprocess.TimeoutExpired:
            entry.process.kill()
            entry.process.wait()
            return 1
        return code if code > 0 else 1

    def run(self, stop: threading.Event) -> int:
        """Watch until the event is set, then stop all. Return the exit code for the supervisor itself."""
        while not stop.wait(WATCH_SECONDS):
            self.watch()
        self.stop()
        return 0

    def watch(self) -> None:
        """Look at each process once: start again what died and whose time has come. Call every WATCH_SECONDS."""
        now = time.monotonic()
        for entry in self._running:
            self._watch(entry, now)

    def _watch(self, entry: _Running, now: float) -> None:
        if entry.process is not None:
            code = entry.process.poll()
            if code is None:
                if now - entry.started > _STABLE_SECONDS:
                    entry.backoff = 0.5
                return
            entry.process = None
            entry.restarts += 1
            entry.next_start = now + entry.backoff
            entry.backoff = min(entry.backoff * 2, _MAX_BACKOFF)
            _log.error(
                "process-died", name=entry.spec.name, exit_code=code, restart_in=round(entry.next_start - now, 1)
            )
        elif now >= entry.next_start:
            failed = self._await_ready(entry, self._spawn(entry))
            if failed is not None:
                _log.error("process-not-ready", name=entry.spec.name, exit_code=failed)
                entry.process = None
                entry.next_start = time.monotonic() + entry.backoff
                entry.backoff = min(entry.backoff * 2, _MAX_BACKOFF)

    def stop(self) -> None:
        """Stop in reverse order of start: SIGTERM, then SIGKILL after each one's time."""
        if self.together:
            for entry in self._running:
                _ask_to_stop(entry)
        began = time.monotonic()
        for entry in reversed(self._running):
            process = entry.process
            if process is None:
                continue
            if not self.together:
                began = time.monotonic()
                _ask_to_stop(entry)
            try:
                process.wait(max(began + entry.spec.stop_seconds - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                _log.error("process-killed", name=entry.spec.name)
                process.kill()
                process.wait()
            entry.process = None

    def report(self) -> dict[str, dict[str, object]]:
        """Return pid and restart count of each process."""
        return {
            entry.spec.name: {
                "pid": entry.process.pid if entry.process else None,
                "restarts": entry.restarts,
            }
            for entry in self._running
        }


def _ask_to_stop(entry: _Running) -> None:
    if entry.process is not None:
        with contextlib.suppress(ProcessLookupError):
            entry.process.send_signal(signal.SIGTERM)
