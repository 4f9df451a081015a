"""`letterlock-portal serve`: runs the web and the link listener as processes, starts a dead one again, sweeps at times.

For one host with one user: a trial, or a test. The units run each listener by itself, web as a user of its own
(docs/operator/portal.md 5). It sees no data itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType

from portal.serving import PARENT_VARIABLE, address_file
from portal.settings import Settings
from relay.log import Log

SWEEP_SECONDS = 300
READY_VARIABLE = "LETTERLOCK_READY_FD"
"""File descriptor to write one octet to when ready, as the inside's processes do."""
_STOP_SECONDS = 10
_LONGEST_PAUSE = 30.0
_CONFIGURATION_EXIT = 78
_LOG = Log("portal.supervisor")


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 0.5
    next_start: float = 0.0


class Supervisor:
    """Keeps the two listeners running until a signal."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children = [_Child("web"), _Child("link")]
        self._stop = threading.Event()

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        next_sweep = time.monotonic() + 10
        code = 0
        sweeper: subprocess.Popen[bytes] | None = None
        places = [address_file(self._settings, child.name) for child in self._children]
        for place in places:
            place.unlink(missing_ok=True)
        while not self._stop.is_set():
            code = self._look_after()
            if code:
                break
            if places and all(place.exists() for place in places):
                places = []
                _say_ready()
            if time.monotonic() >= next_sweep and (sweeper is None or sweeper.poll() is not None):
                next_sweep = time.monotonic() + SWEEP_SECONDS
                sweeper = self._start("sweep")
            self._stop.wait(0.2)
        self._end_all()
        if sweeper is not None and sweeper.poll() is None:
            sweeper.terminate()
            sweeper.wait()
        return code

    def _look_after(self) -> int:
        now = time.monotonic()
        for child in self._children:
            code = child.process.poll() if child.process is not None else None
            if child.process is not None and code is None:
                continue
            if code == _CONFIGURATION_EXIT:
                return code
            if child.process is not None:
                child.pause = 0.5 if now - child.started > 60 else min(child.pause * 2, _LONGEST_PAUSE)
                child.next_start = now + child.pause
                child.process = None
                _LOG.error("listener-ended", listener=child.name, exit_code=code, again_in=child.pause)
            if now >= child.next_start:
                child.process = self._start(child.name)
                child.started = now
        return 0

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {PARENT_VARIABLE: str(os.getpid())}
        environment.pop(READY_VARIABLE, None)
        program = [sys.executable, "-m", "portal.cli", "--config", str(self._settings.path), command]
        return subprocess.Popen(program, env=environment, stdin=subprocess.DEVNULL)

    def _end_all(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()


def _say_ready() -> None:
    """Tell whoever started us, through the pipe that it gave, that both listeners listen."""
    number = os.environ.pop(READY_VARIABLE, "")
    if number.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(number), b"1")
            os.close(int(number))
