"""A process's life: the stop event set by signals, and the word `ready` to whoever started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading

READY_FD = "LETTERLOCK_READY_FD"
_PR_SET_PDEATHSIG = 1


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


def say_ready() -> None:
    """Tell the supervisor, through the pipe it gave, that this process does its work now."""
    number = os.environ.pop(READY_FD, None)
    if number is not None and number.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(number), b"1")
            os.close(int(number))
