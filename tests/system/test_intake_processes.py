"""`letterlock smtpd` with several processes on one set of listeners: each takes mail, one may die, all stop at once."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.cli.installation import HostChoices, create_installation
from relay.core.documents.listeners import Listener, ListenersDocument
from relay.core.documents.shipped import shipped_organisation
from relay.core.envelope import Side
from relay.core.ports import Actor
from relay.process.health import ask_health
from relay.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
MAIL = b"From: <anna@bank.example>\r\nTo: <p@partner.example>\r\nSubject: s\r\n\r\nHello\r\n"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        return int(sock.getsockname()[1])


def install(folder: Path) -> tuple[Settings, int]:
    port = free_port()
    listener = Listener("inside", Side.INSIDE, "127.0.0.1", port, ("127.0.0.0/8",))
    organisation = replace(
        shipped_organisation("bank.example", "Example Bank"), listeners=ListenersDocument((listener,))
    )
    choices = HostChoices("gateway.bank.example")
    settings = create_installation(folder / "inside", choices, organisation, Actor("operator", "test"))
    text = settings.path.read_text()
    assert "# processes = 2" in text
    settings.path.write_text(text.replace("# processes = 2", "processes = 2", 1))
    return settings, port


def command(settings: Settings, *words: str) -> list[str]:
    return [sys.executable, "-m", "relay.cli.main", "--config", str(settings.path), *words]


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


@contextmanager
def running(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command(settings, "smtpd"), cwd=ROOT, stderr=subprocess.PIPE)
    try:
        until(lambda: ask_health(settings.run_dir, "smtpd").get("processes") == 2)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def children(process: subprocess.Popen[bytes]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def send(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.sendmail("anna@bank.example", ["p@partner.example"], MAIL)


def accepted(settings: Settings, slot: int) -> int:
    return int(ask_health(settings.run_dir, f"smtpd-{slot}").get("messages_accepted", 0))


def test_each_takes_mail_one_may_die_and_all_stop(tmp_path: Path) -> None:
    settings, port = install(tmp_path)
    with running(settings) as process:
        deadline = time.monotonic() + 60
        sent = 0
        while not (accepted(settings, 0) and accepted(settings, 1)):
            assert time.monotonic() < deadline, "one of the two takes nothing"
            clients = [smtplib.SMTP("127.0.0.1", port, timeout=20) for _ in range(8)]
            for client in clients:
                client.sendmail("anna@bank.example", ["p@partner.example"], MAIL)
                client.quit()
            sent += len(clients)
        assert ask_health(settings.run_dir, "smtpd")["messages_accepted"] == sent
        first, second = children(process)
        os.kill(first, signal.SIGKILL)
        send(port)  # the other one goes on
        until(lambda: len(alive := children(process)) == 2 and first not in alive)
        until(lambda: ask_health(settings.run_dir, "smtpd")["status"] == "ok")
        send(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not Path(f"/proc/{second}").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    verified = subprocess.run(
        command(settings, "audit", "verify"), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    listed = subprocess.run(command(settings, "queue", "list"), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert listed.stdout.count("p@partner.example") == sent + 2


def test_none_outlives_a_killed_parent(tmp_path: Path) -> None:
    settings, port = install(tmp_path)
    with running(settings) as process:
        pids = children(process)
        process.kill()
        process.wait(10)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    # The port is free for the next start.
    with running(settings):
        send(port)


def test_a_taken_port_is_one_line_with_the_fix(tmp_path: Path) -> None:
    settings, port = install(tmp_path)
    with closing(socket.create_server(("127.0.0.1", port))):
        done = subprocess.run(command(settings, "smtpd"), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("letterlock: ")]
    assert f"port {port}" in line
    assert "taken" in line


def test_a_child_that_cannot_start_gives_its_words_and_code(tmp_path: Path) -> None:
    settings, _ = install(tmp_path)
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    text = settings.path.read_text()
    settings.path.write_text(text.replace("[tls]\n", f'[tls]\ncertificate = "{broken}"\nkey = "{broken}"\n', 1))
    done = subprocess.run(command(settings, "smtpd"), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "letterlock: listeners.inside.starttls" in done.stderr
