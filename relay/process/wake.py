"""Wake-up between processes of one host: one datagram says "there is work". Polling stays the truth."""

from __future__ import annotations

import contextlib
import select
import socket
from pathlib import Path


class WakeReceiver:
    """Waits for a wake-up at `<run_dir>/wake/<name>.sock`."""

    def __init__(self, run_dir: Path, name: str) -> None:
        directory = run_dir / "wake"
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"{name}.sock"
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """For select and poll."""
        return self._socket.fileno()

    def wait(self, seconds: float) -> bool:
        """Return True when woken, False when the time is over."""
        readable, _, _ = select.select([self._socket], [], [], seconds)
        if not readable:
            return False
        self.drain()
        return True

    def drain(self) -> None:
        """Forget all wake-ups that have come so far."""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


class WakeSender:
    """Wakes one receiver; a receiver that is not there or has enough unread is no error."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self._path = str(run_dir / "wake" / f"{name}.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def wake(self) -> None:
        """Send one wake-up; never blocks, never raises."""
        with contextlib.suppress(OSError):
            self._socket.sendto(b"1", self._path)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
