"""The demo command as a person meets it: one command, two side by side, a taken port, a clean stop, a restart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.gateway import ROOT, Gateway
from tests.system.test_main_job import outside, write_mail


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Gateway]]:
    folder = tmp_path_factory.mktemp("two")
    first = Gateway(folder / "first").start()
    second = Gateway(folder / "second").start()
    yield first, second
    for one in (first, second):
        if one.process is not None and one.process.poll() is None:
            one.stop()


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relay.cli.main", "demo", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_two_run_side_by_side_and_share_nothing(two: tuple[Gateway, Gateway]) -> None:
    for number, gateway in enumerate(two):
        gateway.send(write_mail(f"side{number}@partner.example"), "anna@bank.example", f"side{number}@partner.example")
    for number, gateway in enumerate(two):
        left = gateway.wait_for(2)
        assert len(outside(left, f"side{number}@partner.example")) == 1
        assert not outside(left, f"side{1 - number}@partner.example")


def test_ready_is_the_last_word_and_everything_listens(two: tuple[Gateway, Gateway]) -> None:
    gateway = two[0]
    assert gateway.output.endswith("\nready\n")
    for word in ("Open", "Stop", "Start afresh", str(gateway.base + 4), str(gateway.base + 6)):
        assert word in gateway.output
    for offset in (0, 1, 6):
        with socket.create_connection(("127.0.0.1", gateway.base + offset), 20) as sock:
            assert sock.recv(4) == b"220 "


def test_page_and_health_answer(two: tuple[Gateway, Gateway]) -> None:
    gateway = two[0]
    health = gateway.health()
    assert health["status"] == "ok", health
    assert set(health["processes"]) == {"keyd", "smtpd", "worker", "deliver", "scheduler"}  # type: ignore[call-overload]
    gateway.wait_for(2)
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.base + 4}/", timeout=20) as answer:
        page = answer.read().decode()
    assert "side0@partner.example" in page


@pytest.mark.parametrize("offset", [0, 1, 4, 6, 7])
def test_a_taken_port_is_one_line_with_the_fix(two: tuple[Gateway, Gateway], tmp_path: Path, offset: int) -> None:
    base = two[0].base + 200
    with socket.create_server(("127.0.0.1", base + offset)):
        done = run_demo("--state", str(tmp_path / "state"), "--base-port", str(base), "--no-sample")
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"port {base + offset}" in done.stderr
    assert "--base-port" in done.stderr
    assert "ready" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_process(two: tuple[Gateway, Gateway], number: int) -> None:
    gateway = two[1]
    if gateway.process is None or gateway.process.poll() is not None:
        gateway.start()
    processes = gateway.children()
    assert len(processes) >= 6
    assert gateway.stop(number) == 0
    assert gateway.output.endswith("Stopped. Nothing runs any more.\n")
    assert not [pid for pid in processes if is_alive(pid)]


def test_a_second_start_keeps_state_and_numbers_go_on(two: tuple[Gateway, Gateway], tmp_path: Path) -> None:
    gateway = two[1]
    if gateway.process is None or gateway.process.poll() is not None:
        gateway.start()
    to = "again@partner.example"
    gateway.send(write_mail(to), "anna@bank.example", to)
    before = gateway.wait(lambda left: len(outside(left, to)) == 1 and any(to.encode() in x.raw for x in left[:-1]))
    gateway.stop()
    gateway.start()
    gateway.send(write_mail(to, "Second"), "anna@bank.example", to)
    after = gateway.wait(lambda left: len(outside(left, to)) == 2)
    assert [one.number for one in after] == list(range(1, len(after) + 1))
    assert after[: len(before)] == before
    # The pair's password was told before the restart and holds on.
    assert len(after) == len(before) + 1
    assert "Good" in gateway.cli("audit", "verify")


def test_a_second_demo_on_the_same_folder_is_refused(two: tuple[Gateway, Gateway]) -> None:
    gateway = two[0]
    done = run_demo("--state", str(gateway.state), "--base-port", str(gateway.base + 300), "--no-sample")
    assert done.returncode != 0
    assert "ready" not in done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    to = "still@partner.example"
    gateway.send(write_mail(to), "anna@bank.example", to)
    gateway.wait(lambda left: len(outside(left, to)) == 1)


def test_the_sample_mail_leaves_as_the_first_one(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "sample")
    command = [sys.executable, "-m", "relay.cli.main", "demo", "--state", str(gateway.state)]
    process = subprocess.Popen(
        [*command, "--base-port", str(gateway.base)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = []
        while (line := process.stdout.readline()) and line != "ready\n":
            lines.append(line)
        assert "Her mail left as an encrypted PDF" in "".join(lines)
        left = gateway.outbox()
        assert sorted(one.hop for one in left[:2]) == ["inside", "outside"]
        assert next(one for one in left if one.hop == "outside").pdf.startswith(b"%PDF")
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_killed_demo_takes_its_processes_along(fresh: Callable[[], Gateway]) -> None:
    gateway = fresh().start()
    children = gateway.children()
    assert gateway.process is not None
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait(20)
    assert gateway.process.stdout is not None
    gateway.process.stdout.close()
    gateway.wait_until(lambda: not [pid for pid in children if is_alive(pid)])
