"""50 MB up and down: what the portal's processes need in memory, beside a tenth of it.

Down: sealed as the relay seals, pushed by the relay's own client, fetched by a signed-in reader, verified. Up: sealed
as the browser seals, put chunk by chunk, sent, pulled by the relay's client, verified.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relay.core.wire.sealed import PartSealer, make_id, new_message_key, open_part
from relay.link.client import MessageHead
from relay.link.wire import Ack
from relay.mailbox.incoming_values import Result
from tests.bench.portal_site import BenchPortal, run_portal
from tests.contract.portal.site import Box, item
from tests.integration.portal.running import HttpBrowser

SMALL, LARGE = 5_000_000, 50_000_000
_AT_ONCE = 4
"""Chunks on their way at the same time."""


@dataclass(frozen=True, slots=True)
class Step:
    """One way of one size."""

    name: str
    octets: int
    seconds: float
    peaks: dict[str, float]
    """Largest resident size of any process of each listener during the step, MB."""


def measure_transfers() -> list[Step]:
    """Send both sizes all four ways. The small one comes first, and once before it, so that all code is loaded."""
    with run_portal() as portal:
        box = portal.make_plain()
        steps = []
        for octets in (SMALL, SMALL, LARGE):
            steps.append(_move(portal, box, octets))
        return [step for found in steps[1:] for step in found]


def _move(portal: BenchPortal, box: Box, octets: int) -> list[Step]:
    # The same octets again and again would do as well: what is sealed looks random.
    content = os.urandom(octets)
    digest = hashlib.sha256(content).digest()
    key, id_, answer = new_message_key(), make_id(), make_id()
    steps: list[Step] = []

    def step(name: str, act: Callable[[], None]) -> None:
        pids = portal.processes()
        for pid in [pid for found in pids.values() for pid in found]:
            # proc(5): 5 resets the peak to what is resident now.
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        began = time.perf_counter()
        act()
        seconds = time.perf_counter() - began
        peaks = {name: max(map(_peak, found), default=0.0) for name, found in pids.items()}
        steps.append(Step(name, octets, seconds, peaks))

    reader = portal.browser()
    assert reader.login(box)[0] == 200
    step("push", lambda: _push(portal, box, id_, PartSealer(key, id_, 0).seal_all(_pieces(content))))
    step("download", lambda: _check(digest, _fetch(reader, id_, key, octets)))
    step("upload", lambda: _upload(reader, box, answer, PartSealer(key, answer, 0).seal_all(_pieces(content))))
    step("pull", lambda: _check(digest, _pull(portal, box, answer, key, octets)))
    return steps


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 2**18):
        yield content[start : start + 2**18]


def _peak(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1000
    return 0.0


def _check(digest: bytes, pieces: Iterator[bytes]) -> None:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    assert found.digest() == digest


def _push(portal: BenchPortal, box: Box, id_: str, chunks: Iterator[bytes]) -> None:
    count = 0
    for n, chunk in enumerate(chunks):
        portal.client.put_chunk(box.id, id_, 0, n, chunk)
        count = n + 1
    head = MessageHead(1, 1, 1, "2036-01-01T00:00:00Z", os.urandom(500), [(0, count)])
    portal.client.put_message(box.id, id_, head)


def _fetch(reader: HttpBrowser, id_: str, key: bytes, octets: int) -> Iterator[bytes]:
    def get(n: int) -> bytes:
        status, body, _ = reader.call("GET", f"/api/blobs/{id_}/0/{n}")
        assert status == 200, status
        return body

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from open_part(key, id_, 0, octets, pool.map(get, range(-(-octets // 2**20))))


def _upload(reader: HttpBrowser, box: Box, id_: str, chunks: Iterator[bytes]) -> None:
    def put(numbered: tuple[int, bytes]) -> None:
        n, chunk = numbered
        status, _, _ = reader.call("PUT", f"/api/drafts/{id_}/0/{n}", chunk)
        assert status == 201, status

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        count = sum(1 for _ in pool.map(put, enumerate(chunks)))
    status, octets, _ = reader.call("POST", "/api/send", item(box, id=id_, parts=[{"i": 0, "chunks": count}]))
    assert status == 201, json.loads(octets)


def _pull(portal: BenchPortal, box: Box, id_: str, key: bytes, octets: int) -> Iterator[bytes]:
    (entry,) = portal.client.poll_outbox(0, 10)
    assert entry.id == id_
    chunks = (portal.client.get_chunk(box.id, id_, 0, n) for n in range(-(-octets // 2**20)))
    yield from open_part(key, id_, 0, octets, chunks)
    portal.client.ack([Ack(box.id, id_, Result.TAKEN)])
