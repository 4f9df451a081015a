"""Two hundred signed-in readers, one action every five seconds each, against a portal on the same two cores.

Real logins, kept connections, the cookie of each reader. An action is what one click makes the script call; its time
runs from the click to the whole answer. The client is Python too and takes its part of the cores: said beside it.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import make_id
from tests.bench.portal_site import BenchPortal, run_portal, tree_cpu_seconds
from tests.contract.portal.site import Box, item

READERS, PERIOD = 200, 5.0
_MESSAGES = 50
_CHUNK = 64 * 1024
"""Octets of a sealed body or small file."""
MIX = (("list", 50), ("chunk", 25), ("draft", 15), ("send", 10))
"""Of a hundred actions."""


@dataclass(slots=True)
class Load:
    """What was found. Milliseconds."""

    logins: list[float] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name, _ in MIX})
    late: list[float] = field(default_factory=list)
    """How much later than planned an action began: a client that cannot keep up would flatter the portal."""
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    portal_cores: float = 0.0
    client_cores: float = 0.0

    @property
    def all(self) -> list[float]:
        """Times of all actions."""
        return [one for found in self.times.values() for one in found]


def percentile(values: list[float], part: float) -> float:
    """Return the value that this part of all does not exceed."""
    found = sorted(values)
    return found[min(len(found) - 1, int(part * len(found)))] if found else 0.0


class _Reader:
    """One reader: a kept connection and a cookie."""

    def __init__(self, address: tuple[str, int], box: Box, ids: list[str]) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=60)
        self._cookie = ""
        self.box = box
        self._ids = [id_ for id_ in ids if id_]
        self._draft_id, self._rev = make_id(), 0

    def call(self, method: str, path: str, body: object = None) -> bytes:
        headers = {"X-Letterlock": "1", "Cookie": self._cookie}
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        self._connection.request(method, f"/api/{path}", data, headers)
        answer = self._connection.getresponse()
        octets = answer.read()
        if cookie := answer.headers.get("Set-Cookie"):
            self._cookie = cookie.partition(";")[0]
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path.partition('/')[0]}: {answer.status} {octets[:80]!r}")
        return octets

    def login(self) -> None:
        self.call("POST", "login", {"login_id": self.box.login_id, "kdf": 1, "auth": encode_b64(self.box.auth)})

    def act(self, name: str) -> None:
        getattr(self, f"_{name}")()

    def _list(self) -> None:
        self.call("GET", "messages?limit=50")

    def _chunk(self) -> None:
        self.call("GET", f"blobs/{random.choice(self._ids)}/0/0")

    def _draft(self) -> None:
        sealed = encode_b64(os.urandom(3000))
        self._rev = json.loads(self.call("PUT", f"drafts/{self._draft_id}", {"rev": self._rev, "sealed": sealed}))[
            "rev"
        ]

    def _send(self) -> None:
        id_ = make_id()
        self.call("PUT", f"drafts/{id_}/0/0", os.urandom(4096))
        self.call("POST", "send", item(self.box, id=id_, parts=[{"i": 0, "chunks": 1}]))


def measure_load(seconds: float = 60.0) -> Load:
    """Sign everybody in, then let them act for so long."""
    load = Load()
    with run_portal() as portal:
        readers = _make_readers(portal)
        for reader in readers:
            began = time.perf_counter()
            reader.login()
            load.logins.append(1000 * (time.perf_counter() - began))
        assert portal.running.process is not None
        root, lock = portal.running.process.pid, threading.Lock()
        start = time.perf_counter() + 1
        used, own = tree_cpu_seconds(root), _own_cpu()
        threads = [
            threading.Thread(target=_live, args=(reader, start + PERIOD * k / READERS, start + seconds, load, lock))
            for k, reader in enumerate(readers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        load.seconds = time.perf_counter() - start
        load.portal_cores = (tree_cpu_seconds(root) - used) / load.seconds
        load.client_cores = (_own_cpu() - own) / load.seconds
    return load


def _make_readers(portal: BenchPortal) -> list[_Reader]:
    with portal.filling():
        boxes = [portal.make_plain() for _ in range(READERS)]
        ids = [[_push(portal, box, no) for no in range(1, _MESSAGES + 1)] for box in boxes]
    address = portal.running.address("web")
    return [_Reader(address, box, held) for box, held in zip(boxes, ids, strict=True)]


def _push(portal: BenchPortal, box: Box, no: int) -> str:
    """A message as the portal sees it: random octets of a usual size. Every tenth has a body, to be fetched."""
    id_ = make_id()
    has_body = no % 10 == 0
    if has_body:
        portal.link("PUT", f"boxes/{box.id}/blobs/{id_}/0/0", os.urandom(_CHUNK))
    body = {
        "no": no,
        "gen": 1,
        "card": 1,
        "expires": "2036-01-01T00:00:00Z",
        "sealed": encode_b64(os.urandom(900)),
        "parts": [{"i": 0, "chunks": 1}] if has_body else [],
    }
    portal.link("PUT", f"boxes/{box.id}/messages/{id_}", body)
    return id_ if has_body else ""


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _live(reader: _Reader, first: float, end: float, load: Load, lock: threading.Lock) -> None:
    names, weights = [name for name, _ in MIX], [weight for _, weight in MIX]
    planned = first
    while planned < end:
        time.sleep(max(0.0, planned - time.perf_counter()))
        name = random.choices(names, weights)[0]
        began = time.perf_counter()
        try:
            reader.act(name)
            error = ""
        except (RuntimeError, OSError, http.client.HTTPException) as problem:
            error = f"{type(problem).__name__} {problem}"[:100]
        took = 1000 * (time.perf_counter() - began)
        with lock:
            load.times[name].append(took)
            load.late.append(1000 * (began - planned))
            if error:
                load.errors[error] += 1
        planned += PERIOD
