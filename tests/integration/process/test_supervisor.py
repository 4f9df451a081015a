"""The supervisor with real processes: order, restart with back-off, hopeless starts, stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from relay.process.health import HealthSocket, ask_health, gather_health
from relay.process.supervisor import ProcessSpec, StartError, Supervisor

READY = "import os,time; fd=int(os.environ['LETTERLOCK_READY_FD']); os.write(fd,b'1'); os.close(fd); "


def spec(name: str, code: str) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-c", code), ready_seconds=10, stop_seconds=5)


def test_processes_start_in_order_restart_and_stop(tmp_path: Path) -> None:
    log = tmp_path / "order"
    note = f"open({str(log)!r},'a').write({{!r}}); "
    supervisor = Supervisor(
        [
            spec("one", note.format("1") + READY + "time.sleep(60)"),
            spec("two", note.format("2") + READY + "time.sleep(60)"),
        ]
    )
    supervisor.start()
    assert log.read_text() == "12"  # the second begins after the first said ready
    stop = threading.Event()
    watcher = threading.Thread(target=supervisor.run, args=(stop,))
    watcher.start()
    pid = supervisor.report()["two"]["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 15
    while log.read_text() != "122" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert log.read_text() == "122"
    assert supervisor.report()["two"]["restarts"] == 1
    stop.set()
    watcher.join(15)
    assert all(entry["pid"] is None for entry in supervisor.report().values())


def test_a_hopeless_start_stops_everything_and_keeps_the_exit_code() -> None:
    supervisor = Supervisor([spec("good", READY + "time.sleep(60)"), spec("bad", "raise SystemExit(78)")])
    with pytest.raises(StartError) as caught:
        supervisor.start()
    assert (caught.value.name, caught.value.exit_code) == ("bad", 78)
    assert supervisor.report()["good"]["pid"] is None


def test_health_is_the_worst_of_all(tmp_path: Path) -> None:
    good = HealthSocket(tmp_path, "good", lambda: {"status": "ok"})
    weak = HealthSocket(tmp_path, "weak", lambda: {"status": "degraded", "waiting": 3})
    try:
        assert ask_health(tmp_path, "weak") == {"status": "degraded", "waiting": 3}
        assert gather_health(tmp_path, ("good", "weak"))["status"] == "degraded"
        assert gather_health(tmp_path, ("good", "gone"))["status"] == "failing"
    finally:
        good.close()
        weak.close()
