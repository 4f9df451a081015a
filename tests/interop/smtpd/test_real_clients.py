"""The intake as a process of its own, on uvloop, against Python's smtplib, swaks and Postfix's smtp-source."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.smtpd.smtp_harness import make_certificate

ROOT = Path(__file__).parents[3]
BIG = b"Subject: big\r\n\r\n" + (b"." + b"x" * 97 + b"\r\n") * 30_000


def need(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@dataclass
class Process:
    process: subprocess.Popen[str]
    folder: Path
    loop: str
    inside: int
    outside: int
    submission: int

    def messages(self) -> list[dict[str, Any]]:
        found = []
        for path in sorted(self.folder.glob("*.json")):
            about = json.loads(path.read_text())
            about["content"] = path.with_suffix(".eml").read_bytes()
            found.append(about)
        return found

    def only(self) -> dict[str, Any]:
        (message,) = self.messages()
        return message

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def serving(folder: Path, *tls: Path) -> Iterator[Process]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("folder_server.py")), str(folder), *map(str, tls)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        started = json.loads(process.stdout.readline())
        yield Process(process, folder, started["loop"], *started["ports"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    with serving(tmp_path) as process:
        yield process


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Process]:
    keys = tmp_path / "keys"
    keys.mkdir()
    with serving(tmp_path, *make_certificate(keys)) as process:
        yield process


def read_reply(stream: Any) -> bytes:
    while True:
        line = stream.readline()
        if line[3:4] != b"-":
            return bytes(line[:3])


@contextlib.contextmanager
def raw(port: int) -> Iterator[tuple[socket.socket, Any]]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock, sock.makefile("rb") as stream:
        assert read_reply(stream) == b"220"
        yield sock, stream


def begin(sock: socket.socket, stream: Any) -> None:
    sock.sendall(b"EHLO x\r\n")
    assert read_reply(stream) == b"250"
    sock.sendall(b"MAIL FROM:<a@bank.example>\r\nRCPT TO:<b@partner.example>\r\nDATA\r\n")
    assert [read_reply(stream) for _ in range(3)] == [b"250", b"250", b"354"]


# --- smtplib ----------------------------------------------------------------------------------------------------------


def test_smtplib_in_clear_on_uvloop(server: Process) -> None:
    assert server.loop.startswith("uvloop")
    with smtplib.SMTP("127.0.0.1", server.inside) as client:
        client.ehlo()
        assert client.has_extn("pipelining")
        assert client.esmtp_features["limits"] == "MAILMAX=1000 RCPTMAX=1000"
        refused = client.sendmail("a@bank.example", ["b@partner.example", "c@partner.example"], BIG)
        assert refused == {}
    assert server.only()["content"].endswith(BIG)
    assert server.only()["recipients"] == ["b@partner.example", "c@partner.example"]
    assert server.stop() == 0


def test_smtplib_under_tls_with_login(tls_server: Process) -> None:
    context = ssl.create_default_context(cafile=str(tls_server.folder / "keys" / "cert.pem"))
    context.check_hostname = False
    with smtplib.SMTP("127.0.0.1", tls_server.submission) as client:
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.login("erp", "right horse")
        client.starttls(context=context)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("erp", "wrong horse")
        client.login("erp", "right horse")
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("bob@bank.example", ["b@partner.example"], b"x")
        client.sendmail("alice@bank.example", ["b@partner.example"], BIG)
    message = tls_server.only()
    assert message["content"].endswith(BIG)
    assert message["session"]["login"] == "erp"
    assert message["session"]["tls"].startswith("TLSv1.3")
    assert tls_server.stop() == 0


def test_smtplib_smtputf8_and_utf8_message(server: Process) -> None:
    with smtplib.SMTP("127.0.0.1", server.inside) as client:
        client.sendmail(
            "dörte@bank.example", ["用户@例子.example"], "Subject: ü\r\n\r\nü".encode(), ["SMTPUTF8", "BODY=8BITMIME"]
        )
    assert server.only()["recipients"] == ["用户@例子.example"]


def test_injected_commands_before_the_handshake_are_refused(tls_server: Process) -> None:
    with raw(tls_server.inside) as (sock, stream):
        sock.sendall(b"EHLO x\r\n")
        read_reply(stream)
        sock.sendall(b"STARTTLS\r\nNOOP\r\nMAIL FROM:<evil@x>\r\n")
        assert read_reply(stream) == b"554"
        assert stream.read() == b""


# --- swaks ------------------------------------------------------------------------------------------------------------


def swaks(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need("swaks"), "--server", f"127.0.0.1:{port}", "--ehlo", "client.bank.example", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("more", [(), ("--pipeline",), ("--protocol", "SMTP")])
def test_swaks(server: Process, more: tuple[str, ...]) -> None:
    done = swaks(server.inside, "--from", "a@bank.example", "--to", "b@partner.example", "--body", "..dots\\n.", *more)
    assert done.returncode == 0, done.stdout
    assert b"\r\n\r\n..dots\r\n.\r\n" in server.only()["content"]


def test_swaks_under_tls_with_login(tls_server: Process) -> None:
    who = ("--from", "alice@bank.example", "--to", "b@partner.example")
    for mechanism in ("PLAIN", "LOGIN"):
        login = ("--auth", mechanism, "--auth-user", "erp", "--auth-password", "right horse")
        assert swaks(tls_server.submission, *who, *login).returncode != 0  # not in clear
        done = swaks(tls_server.submission, *who, "--tls", *login)
        assert done.returncode == 0, done.stdout
    assert {m["session"]["login"] for m in tls_server.messages()} == {"erp"}
    assert len(tls_server.messages()) == 2


def test_swaks_is_denied_relaying_from_outside(server: Process) -> None:
    denied = swaks(server.outside, "--from", "b@partner.example", "--to", "x@elsewhere.example")
    assert denied.returncode != 0
    assert "550 5.7.1" in denied.stdout
    assert swaks(server.outside, "--from", "b@partner.example", "--to", "a@bank.example").returncode == 0
    assert len(server.messages()) == 1


# --- smtp-source ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [("-d",), ()])
def test_smtp_source(server: Process, more: tuple[str, ...]) -> None:
    command = [need("smtp-source"), "-s", "20", "-m", "300", "-l", "10000", "-f", "a@bank.example"]
    done = subprocess.run(
        [*command, "-t", "b@partner.example", *more, f"127.0.0.1:{server.inside}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(server.messages()) == 300
    assert len({m["content"].partition(b"\r\nReceived:")[2].partition(b" id ")[0] for m in server.messages()}) == 1
    assert server.stop() == 0


# --- stops and half-closes under uvloop -------------------------------------------------------------------------------


def test_half_close_after_the_dot(server: Process) -> None:
    with raw(server.inside) as (sock, stream):
        begin(sock, stream)
        sock.sendall(b"x\r\n.\r\nQUIT\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_reply(stream) == b"250"
        assert read_reply(stream) == b"221"
    assert len(server.messages()) == 1


def test_sigterm_during_data_lets_it_finish(server: Process) -> None:
    with raw(server.inside) as (_idle, idle_stream), raw(server.inside) as (sock, stream):
        begin(sock, stream)
        sock.sendall(b"first half\r\n")
        server.process.send_signal(signal.SIGTERM)
        assert read_reply(idle_stream) == b"421"
        assert idle_stream.read() == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.inside))
        sock.sendall(b"second half\r\n.\r\n")
        assert read_reply(stream) == b"250"
        assert read_reply(stream) == b"421"
        assert stream.read() == b""
    assert server.process.wait(30) == 0
    assert server.only()["content"].endswith(b"first half\r\nsecond half\r\n")


def test_kill_during_data_leaves_nothing(server: Process) -> None:
    with raw(server.inside) as (sock, stream):
        begin(sock, stream)
        sock.sendall(BIG)
        server.process.kill()
        server.process.wait()
        with contextlib.suppress(ConnectionResetError):
            assert stream.read() == b""
    assert server.messages() == []
