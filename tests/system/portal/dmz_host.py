"""What happens to the DMZ host in a test: its portal stops, dies, is cut off from the inside, is restored.

The demo's supervisor starts a dead portal again. So the portal's own supervisor is stopped (SIGSTOP) for the time
that the host is to be away: its listeners are killed and nobody starts them.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.gateway import Gateway

SLOW = 60.0


@dataclass
class DmzHost:
    """The host that the portal runs on."""

    gateway: Gateway

    @property
    def folder(self) -> Path:
        """Everything that lies on it."""
        return self.gateway.state / "portal"

    def pids(self) -> list[int]:
        """Return all processes of the portal."""
        return self.gateway.pids("portal.cli")

    def supervisor(self) -> int:
        """Return the process that runs the listeners."""
        (found,) = self._pids_of("serve")
        return found

    def _pids_of(self, command: str) -> list[int]:
        found = []
        for pid in self.pids():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[-2:-1] == [command.encode()]:
                found.append(pid)
        return found

    def kill(self, *commands: str) -> None:
        """kill -9 of the processes of some listeners, `web` and `link`; without names of all processes."""
        found = [pid for name in commands for pid in self._pids_of(name)] if commands else self.pids()
        # Parents first, so that none starts what was just killed.
        for pid in sorted(found):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    @contextmanager
    def away(self, *commands: str) -> Iterator[None]:
        """The listeners (both as a rule) are gone while the block runs; back when it ends."""
        serve = self.supervisor()
        os.kill(serve, signal.SIGSTOP)
        try:
            names = commands or ("web", "link", "sweep")
            deadline = time.monotonic() + SLOW
            while any(self._is_alive(pid) for name in names for pid in self._pids_of(name)):
                self.kill(*names)
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            os.kill(serve, signal.SIGCONT)
        self.wait_until_up()

    @staticmethod
    def _is_alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def wait_until_up(self) -> None:
        """Wait until both listeners listen."""
        deadline = time.monotonic() + SLOW
        for port in (self.gateway.base + 2, self.gateway.base + 3):
            while True:
                with socket.socket() as probe:
                    probe.settimeout(2)
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert time.monotonic() < deadline, self.gateway.log()
                time.sleep(0.1)


def inside_pids(gateway: Gateway, *names: str) -> list[int]:
    """Return the processes of the inside, all or those with one of these names; never the demo's own."""
    found = []
    for pid in gateway.pids("relay.cli.main"):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"demo" not in words and (not names or words[-2].decode() in names):
            found.append(pid)
    return found


def kill_inside(gateway: Gateway, *names: str) -> None:
    """kill -9 of processes of the inside; the demo's supervisor starts them again."""
    for pid in inside_pids(gateway, *names):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@contextmanager
def link_frozen(gateway: Gateway) -> Iterator[None]:
    """The inside's link process stands still while the block runs: it neither pushes nor pulls nor compares."""
    frozen = inside_pids(gateway, "link")
    assert frozen
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
