"""The portal that is measured: `letterlock-portal serve` as it is shipped, with an organisation that pushes to it.

What is pushed is sealed as the relay seals it. It goes either through the relay's own client over the real link, or,
where many rows only have to lie there, straight into the same databases by the portal's own link code.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event

from portal.installation import Choices
from relay.core.clock import SystemClock
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import CapsuleBody, CapsuleFields, format_time, make_capsule, make_id, read_secret, stretch
from tests.bench.peers import free_port
from tests.contract.portal.site import Box, Node
from tests.integration.portal.running import HttpBrowser, RunningPortal
from tests.interop.browser.world import BoxAccount, Organisation, World, now_ms

OWN = "a walk along the river"


class BenchPortal(World):
    """World on the running program instead of on one in this process."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        choices = Choices(self.url, "Example Bank", "+49 241 123 456", web=self.url.rpartition("/")[2])
        choices = Choices(choices.url, choices.name, choices.phone, web=choices.web, link="127.0.0.1:0")
        self.running = RunningPortal.make(folder, choices).start()
        self.client = self.running.reconcile()
        self.node = Node(self.running.settings, SystemClock())  # type: ignore[arg-type]
        self._is_direct = False
        self._stretch = stretch
        self._mark = 1
        self.portal = self.running.settings.portal_id
        self.organisation = Organisation(self.portal)
        self.push_cards()

    def close(self) -> None:
        """End the program."""
        self.node.close()
        self.running.stop()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Send what is pushed meanwhile straight into the database, without waiting for the disk: only this process's
        connections, so the program that is measured does not differ."""
        engines = [database.engine for database in (self.node.portal.store.main, self.node.portal.store.keys)]
        for engine in engines:
            event.listen(engine, "checkout", _stop_waiting)
        self._is_direct = True
        try:
            yield
        finally:
            self._is_direct = False
            for engine in engines:
                event.remove(engine, "checkout", _stop_waiting)
                engine.dispose()

    def link(self, method: str, path: str, body: object = None) -> Any:
        """One call of the link API: over the wire, or, while filling, into the database."""
        if self._is_direct:
            return super().link(method, path, body)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        answer = self.client._ask(method, path, data, kind if body is not None else "")
        return json.loads(answer) if answer else None

    def browser(self) -> HttpBrowser:
        """A client with cookies."""
        return self.running.browser()

    def make_active(self, name: str, password: str = OWN) -> BoxAccount:
        """Push a mailbox whose reader has chosen a password, and the inside's confirmation of it."""
        stretched = stretch(self.portal, name, 1, read_secret("own", password))
        fields = CapsuleFields(
            kind="mailbox",
            by="browser",
            portal=self.portal,
            box=make_id(),
            gen=1,
            time=format_time(now_ms()),
            kdf=1,
            av=stretched.av,
        )
        newest = self.organisation.cards.newest
        body = CapsuleBody(name, "Example Bank", self.organisation.root_public, newest.serial)
        capsule = make_capsule(fields, os.urandom(32), stretched.kek, body, newest.escrow_key)
        account = self.accept_join(capsule, name)
        account.password = password
        self.push(account, "account")
        return account

    def make_plain(self) -> Box:
        """Push a mailbox of a reader who only talks to the API: its password is its login value."""
        box = Box(self.portal, make_id(), encode_b64(hashlib.sha256(os.urandom(32)).digest()))
        box.write_capsule("browser", now_ms())
        head = {
            "login_id": box.login_id,
            "base": None,
            "capsule": encode_b64(box.capsule),
            "state": "active",
            "first_expires": None,
            "must_change": False,
            "lang": "en",
        }
        self.link("PUT", f"boxes/{box.id}", head)
        return box

    def processes(self) -> dict[str, list[int]]:
        """Return the processes of the web and of the link listener, each with its workers."""
        assert self.running.process is not None
        found: dict[str, list[int]] = {"web": [], "link": []}
        for pid in descendants(self.running.process.pid):
            words = _command(pid)
            for name, pids in found.items():
                if name.encode() in words:
                    pids.append(pid)
        return found


def _stop_waiting(connection: Any, _record: object, _proxy: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def _command(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def descendants(root: int) -> list[int]:
    """Return a process and all below it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, frontier = [root], {root}
    while frontier := {pid for pid, parent in parents.items() if parent in frontier}:
        found.extend(frontier)
    return found


def tree_cpu_seconds(root: int, *, deep: bool = True) -> float:
    """Return the CPU seconds of a process and of its ended children; `deep`: of all below it too."""
    used = 0
    for pid in descendants(root) if deep else [root]:
        try:
            # proc(5): own user and system time, then those of ended children that were waited for.
            used += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return used / os.sysconf("SC_CLK_TCK")


@contextmanager
def run_portal() -> Iterator[BenchPortal]:
    """Run a portal of its own on SQLite."""
    with tempfile.TemporaryDirectory(prefix="ll-bench-portal-", ignore_cleanup_errors=True) as folder:
        portal = BenchPortal(Path(folder))
        try:
            yield portal
        finally:
            portal.close()
