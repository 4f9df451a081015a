"""A real Postfix as the organisation's mail server, relaying to us: pipelining, SIZE, DSN, SMTPUTF8 and STARTTLS as the
most common MTA speaks them, and the smuggling set sent through it."""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.smtpd.smtp_harness import make_certificate
from tests.interop.smtpd.test_real_clients import Process, serving

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.bank.example
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{relay}
smtp_host_lookup = native
smtputf8_enable = yes
smtp_tls_security_level = encrypt
smtpd_forbid_bare_newline = no
maximal_backoff_time = 3s
minimal_backoff_time = 1s
maillog_file = /dev/stdout
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
scache unix - - n - 1 scache
"""


@dataclass
class Inside:
    port: int
    gateway: Process

    def wait_for(self, number: int) -> list[dict[str, object]]:
        deadline = time.monotonic() + 30
        while len(self.gateway.messages()) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        messages = self.gateway.messages()
        assert len(messages) == number
        return messages


@pytest.fixture
def inside(running_postfix: Inside) -> Inside:
    for path in running_postfix.gateway.folder.iterdir():
        path.unlink()
    return running_postfix


@pytest.fixture(scope="module")
def running_postfix() -> Iterator[Inside]:
    if shutil.which("postfix", path="/usr/sbin:/usr/bin") is None or os.geteuid() != 0:
        pytest.skip("needs root and an installed Postfix")
    # Not below pytest's own folder, which is closed to Postfix's user.
    folder = Path(tempfile.mkdtemp(prefix="ll-inside-"))
    folder.chmod(0o755)
    for name in ("etc", "queue", "data", "keys", "mail"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    config = str(folder / "etc")
    with serving(folder / "mail", *make_certificate(folder / "keys")) as gateway:
        (folder / "etc/main.cf").write_text(MAIN_CF.format(folder=folder, relay=gateway.inside))
        (folder / "etc/master.cf").write_text(MASTER_CF.format(port=port))
        subprocess.run(["postfix", "-c", config, "check"], check=True, capture_output=True, timeout=30)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["postfix", "-c", config, "start-fg"], stdout=log, stderr=log)
            try:
                deadline = time.monotonic() + 30
                while True:
                    try:
                        socket.create_connection(("127.0.0.1", port), 1).close()
                        break
                    except OSError:
                        assert time.monotonic() < deadline, (folder / "log").read_text()
                        time.sleep(0.05)
                yield Inside(port, gateway)
            finally:
                subprocess.run(["postfix", "-c", config, "stop"], check=False, capture_output=True, timeout=30)
                process.wait(20)
                shutil.rmtree(folder, ignore_errors=True)


def test_mail_of_a_postfix_arrives_with_all_its_parameters(inside: Inside) -> None:
    body = "Subject: ü\r\n\r\n.dot\r\n..\r\nlast ü\r\n".encode()
    with smtplib.SMTP("127.0.0.1", inside.port) as client:
        client.ehlo()
        client.mail("dörte@bank.example", ["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=Ab+2BC"])
        client.rcpt("bob@partner.example", ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob+2BTag@partner.example"])
        client.rcpt("用户@例子.example", ["NOTIFY=NEVER"])
        assert client.data(body)[0] == 250
        # A plain one afterwards, over what may be the same connection.
        client.sendmail("alice@bank.example", ["carol@partner.example"], b"Subject: 2\r\n\r\n" + b"x" * 5_000 + b"\r\n")
    messages = inside.wait_for(2)
    by_sender = {str(message["reverse_path"]): message for message in messages}
    first = by_sender["dörte@bank.example"]
    assert sorted(first["recipients"]) == ["bob@partner.example", "用户@例子.example"]  # type: ignore[call-overload]
    content = first["content"]
    assert isinstance(content, bytes)
    assert content.endswith(body.partition(b"\r\n\r\n")[2])
    assert "\r\nSubject: ü\r\n".encode() in content
    assert re.match(rb"Received: from mail\.bank\.example \(\[127\.0\.0\.1\]\)\r\n\tby mx", content)
    assert b"with UTF8SMTPS id" in content
    second = by_sender["alice@bank.example"]["content"]
    assert isinstance(second, bytes)
    assert b"for <carol@partner.example>" in second
    assert b"with ESMTPS id" in second


@pytest.mark.parametrize(
    "ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\r\n.\r\r\n"]
)
def test_what_is_smuggled_through_a_lenient_postfix_never_makes_two_of_one_of_ours(
    inside: Inside, ending: bytes
) -> None:
    """Postfix 3.7 takes some malformed endings for the end (set so here on purpose) and repairs the rest; whatever it
    hands to us arrives as exactly as many messages as it made."""
    smuggled = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\nDATA\r\nSubject: two\r\n\r\ntwo\r\n.\r\n"
    with socket.create_connection(("127.0.0.1", inside.port), timeout=20) as sock, sock.makefile("rb") as stream:
        sock.sendall(b"")
        assert stream.readline().startswith(b"220")
        sock.sendall(b"EHLO x\r\n")
        while stream.readline()[3:4] == b"-":
            pass
        sock.sendall(b"MAIL FROM:<a@bank.example>\r\nRCPT TO:<b@partner.example>\r\nDATA\r\n")
        assert [stream.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        sock.sendall(b"Subject: one\r\n\r\none" + ending + smuggled + b"QUIT\r\n")
        replies = stream.read()
    made = replies.count(b"queued as")
    assert made in (1, 2)
    for message in inside.wait_for(made):
        content = message["content"]
        assert isinstance(content, bytes)
        assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
