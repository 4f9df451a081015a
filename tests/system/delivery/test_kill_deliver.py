"""Row 1 for deliver: kill -9 at any moment loses no mail, and repeats no more than was being handed over."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from relay.core.clock import ManualClock
from relay.keystore.software import SoftwareToken
from relay.spool.intake import SpoolIntake
from relay.store.base import Database
from tests.contract.delivery.conftest import Bench
from tests.contract.store.databases import new_sqlite_url
from tests.integration.delivery.fault_server import Dialogue, FaultServer

MAILS, KILLS, THREADS = 120, 6, 4
PROGRAM = Path(__file__).with_name("deliver_process.py")


def start(url: str, token: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), url, str(token), str(port), "test/deliver"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def slow_sink(_: Dialogue, command: str) -> str | None:
    if command == "<dot>":
        # Long enough that kills fall into hand-overs; nothing is decided by how long it takes.
        threading.Event().wait(0.02)
    return None


def test_kill_9_loses_nothing(tmp_path):
    source = random.Random(4711)
    url, clock = new_sqlite_url(tmp_path), ManualClock(time.time_ns() // 1_000_000 - 60_000)
    database = Database.open(url, clock, "test/main")
    token = SoftwareToken.create(tmp_path / "token", b"pin for the test", clock, pin_memory_kib=64)
    intake = SpoolIntake(database, token.spool_public_key, "gate.bank.example", "main", 1_000_000, reserve=0)
    bench = Bench(database, clock, token, intake)
    with FaultServer(script=slow_sink) as server:
        hop = f"outside:127.0.0.1:{server.port}"
        ids = [bench.put(hop=hop, data=b"Subject: %d\r\n\r\nx\r\n" % n) for n in range(MAILS)]
        intake.close()
        token.close()
        for _ in range(KILLS):
            process = start(url, tmp_path / "token", server.port)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(source.uniform(0.05, 0.35))
            process.kill()
            process.communicate()
        process = start(url, tmp_path / "token", server.port)
        try:
            deadline = time.monotonic() + 60
            open_states = {"queued", "deferred"}
            while time.monotonic() < deadline:
                if not any(bench.states(i)[0] in open_states for i in ids):
                    break
                time.sleep(0.1)
        finally:
            process.kill()
            process.communicate()
        arrived = Counter(int(mail.data.split()[1]) for mail in server.mails)
        states = [bench.states(i)[0] for i in ids]
    database.close()
    assert set(states) <= {"delivered", "shunted"}
    lost = [n for n, state in enumerate(states) if state == "delivered" and not arrived[n]]
    assert lost == []
    repeated = sum(count - 1 for count in arrived.values())
    assert repeated <= KILLS * THREADS
    # A mail in hand at three kills in a row is set aside for a person; it is never dropped.
    assert states.count("shunted") <= KILLS // 3 * 2 * THREADS
