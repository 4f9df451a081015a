"""Smuggling through the whole gateway into a real Postfix that is as lenient as old ones are (fault row 23).

One mail at the sink or a 5xx, never two.
"""

from __future__ import annotations

import email.policy
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.delivery.fault_server import FaultServer
from tests.interop.delivery.test_postfix_next_hop import MAIN_CF, MASTER_CF
from tests.system.gateway import Gateway
from tests.system.test_main_job import write_mail

ENDINGS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n", b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n.\r\r\n", b"\n\n.\r\n", b"\r\n..\r\n",
]  # fmt: skip
SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\nDATA\r\nSubject: two\r\n\r\nSecond\r\n"


@dataclass
class Street:
    """The gateway, a Postfix behind it, and a sink behind that."""

    gateway: Gateway
    sink: FaultServer


def wait_for_greeting(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                if sock.recv(3) == b"220":
                    return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    if shutil.which("postfix", path="/usr/sbin:/usr/bin") is None or os.geteuid() != 0:
        pytest.skip("needs root and an installed Postfix")
    # Not below pytest's own folder, which is closed to Postfix's user.
    folder = Path(tempfile.mkdtemp(prefix="ll-street-"))
    folder.chmod(0o755)
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with FaultServer() as sink:
        values = {"queue": folder / "queue", "data": folder / "data", "sink": sink.port, "certificate": "none"}
        lenient = MAIN_CF.replace("smtpd_forbid_bare_newline = normalize", "smtpd_forbid_bare_newline = no")
        lenient = lenient.replace("smtpd_tls_security_level = may", "smtpd_tls_security_level = none")
        assert lenient.count("= no\n") == 1
        (folder / "etc/main.cf").write_text(lenient.format(**values, log="/dev/stdout"))
        (folder / "etc/master.cf").write_text(MASTER_CF.format(port=port))
        config = str(folder / "etc")
        subprocess.run(["postfix", "-c", config, "check"], check=True, capture_output=True, timeout=60)
        gateway = Gateway(tmp_path_factory.mktemp("street")).start()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["postfix", "-c", config, "start-fg"], stdout=log, stderr=log)
            try:
                wait_for_greeting(port)
                gateway.put("routes", lambda document: document.update(routes=with_port(document["routes"], port)))
                time.sleep(2)
                yield Street(gateway, sink)
            finally:
                gateway.stop()
                subprocess.run(["postfix", "-c", config, "stop"], check=False, capture_output=True, timeout=60)
                process.wait(30)
                shutil.rmtree(folder, ignore_errors=True)


def with_port(routes: list[dict[str, object]], port: int) -> list[dict[str, object]]:
    return [route | {"port": port} for route in routes]


def try_to_smuggle(port: int, sender: bytes, to: bytes, content: bytes) -> int:
    """Send one DATA with all of the content and return how many messages were acknowledged."""
    with socket.create_connection(("127.0.0.1", port), 60) as sock, sock.makefile("rb") as stream:
        assert stream.readline().startswith(b"220")
        sock.sendall(b"EHLO x.example\r\n")
        while stream.readline()[3:4] == b"-":
            pass
        sock.sendall(b"MAIL FROM:<" + sender + b">\r\nRCPT TO:<" + to + b">\r\nDATA\r\n")
        assert [stream.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        sock.sendall(content + b"\r\n.\r\nQUIT\r\n")
        replies = stream.read()
    assert replies.split()[0] in (b"250", b"550"), replies
    return replies.count(b"250 2.0.0")


@pytest.mark.parametrize(
    ("offset", "sender", "to"),
    [(0, "anna@bank.example", "b@partner.example"), (1, "s@else.example", "anna@bank.example")],
)
def test_never_two_of_one(street: Street, offset: int, sender: str, to: str) -> None:
    gateway, sink = street.gateway, street.sink
    before = len(sink.mails)
    made = 0
    for number, ending in enumerate(ENDINGS):
        head = f"From: {sender}\r\nTo: {to}\r\nSubject: s{number}\r\nMessage-ID: <{number}.{offset}@x>\r\n\r\nFirst"
        made += try_to_smuggle(gateway.base + offset, sender.encode(), to.encode(), head.encode() + ending + SMUGGLED)
    control = write_mail(to, "Control", sender=sender).as_bytes(policy=email.policy.SMTP)
    gateway.send(control, sender, to, offset=offset)
    # Notices of passwords to inside senders take the same street.
    gateway.wait_until(
        lambda: len([one for one in sink.mails[before:] if f"<{to}>" in str(one.rcpt_lines)]) == made + 1, 120
    )
    gateway.wait_until(lambda: not [one for one in gateway.copies() if one.state in ("received", "decided", "queued")])
    for mail in sink.mails:
        assert "evil@" not in mail.mail_line
        assert "victim@" not in str(mail.rcpt_lines)
        assert mail.data.count(b"\n") == mail.data.count(b"\r\n") == mail.data.count(b"\r")
    assert len([one for one in sink.mails[before:] if f"<{to}>" in str(one.rcpt_lines)]) == made + 1
