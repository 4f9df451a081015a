"""A process's life: the stop event set by signals, and the word `ready` to whoever started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from pathlib import Path

READY_FD = "LETTERLOCK_READY_FD"
_PR_SET_PDEATHSIG = 1
_STARTED = ".started"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. Main thread only."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, so that no process outlives a killed supervisor.

    Called by the child itself; a parent that died just before is noticed by its pid.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def note_start(run_dir: Path, name: str) -> bool:
    """Note that a process starts. True where everything starts: its first start since the host's, or since serve's.

    What it held when it ended last was then not what ended it.
    """
    try:
        boot = _BOOT_ID.read_text("ascii")
    except OSError:
        boot = "unknown"
    mark = run_dir / (name + _STARTED)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if mark.read_text("ascii") == boot:
            return False
    with contextlib.suppress(OSError):
        mark.write_text(boot, "ascii")
    return True


def forget_starts(run_dir: Path) -> None:
    """Let every process start as for the first time. Called before the first one does."""
    for mark in run_dir.glob("*" + _STARTED):
        with contextlib.suppress(OSError):
            mark.unlink()


def say_ready() -> None:
    """Tell the supervisor, through the pipe it gave, that this process does its work now."""
    number = os.environ.pop(READY_FD, None)
    if number is not None and number.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(number), b"1")
            os.close(int(number))
