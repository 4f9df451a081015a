"""A real Postfix as the next hop: it takes what we send, passes it on byte for byte, and we understand its refusals."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.core.documents.routes import TlsPolicy
from relay.core.envelope import BodyType
from relay.delivery.connections import ConnectionCache
from relay.delivery.deliver import DeliveryRun
from relay.delivery.link import Timeouts
from relay.delivery.outcome import Deferred, Delivered, Failed
from relay.delivery.route import Hop
from relay.delivery.smtp import SessionOpener
from tests.integration.delivery.conftest import Certificates, OneHop, certificates, make_parcel
from tests.integration.delivery.fault_server import FaultServer

__all__ = ["certificates"]

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.partner.example
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
smtp_host_lookup = native
smtputf8_enable = yes
message_size_limit = 60000000
smtpd_forbid_bare_newline = normalize
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ nobody@partner.example = 550 5.1.1 unknown }}, \
 {{ later@partner.example = 450 4.2.0 later }} }}, permit_mynetworks, reject
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {certificate}
smtpd_tls_security_level = may
maillog_file = {log}
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
class Postfix:
    port: int
    sink: FaultServer
    caches: list[ConnectionCache] = field(default_factory=list)

    def run(self, tls: TlsPolicy = TlsPolicy.NONE, **hop: object) -> DeliveryRun:
        table = OneHop(Hop("outside", "localhost", self.port, tls, **hop))  # type: ignore[arg-type]
        cache = ConnectionCache(SessionOpener("gate.bank.example", Timeouts(quit=1)))
        self.caches.append(cache)
        return DeliveryRun(lambda: table, cache)

    def wait_for_mails(self, number: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.sink.mails) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.sink.mails) == number


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def postfix(certificates: Certificates) -> Iterator[Postfix]:
    if shutil.which("postfix", path="/usr/sbin:/usr/bin") is None or os.geteuid() != 0:
        pytest.fail("this test starts a Postfix of its own: as root, after apt-get install -y postfix", pytrace=False)
    # Not below pytest's own folder, which is closed to Postfix's user.
    folder = Path(tempfile.mkdtemp(prefix="ll-postfix-"))
    folder.chmod(0o755)
    config, queue, data = folder / "etc", folder / "queue", folder / "data"
    for each in (config, queue, data):
        each.mkdir()
    shutil.chown(data, "postfix")
    certificate = folder / "certificate.pem"
    certificate.write_bytes((certificates.folder / "good.pem").read_bytes())
    certificate.chmod(0o600)
    with FaultServer() as sink:
        port = _free_port()
        values = {"queue": queue, "data": data, "sink": sink.port, "certificate": certificate, "log": "/dev/stdout"}
        (config / "main.cf").write_text(MAIN_CF.format(**values))
        (config / "master.cf").write_text(MASTER_CF.format(port=port))
        subprocess.run(["postfix", "-c", str(config), "check"], check=True, capture_output=True, timeout=30)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["postfix", "-c", str(config), "start-fg"], stdout=log, stderr=log)
            try:
                _wait_for(port, process, folder / "log")
                server = Postfix(port, sink)
                yield server
                for cache in server.caches:
                    cache.close_all()
            finally:
                subprocess.run(["postfix", "-c", str(config), "stop"], check=False, capture_output=True, timeout=30)
                process.wait(20)
                shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                if sock.recv(3) == b"220":
                    return
        except OSError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail("Postfix did not start:\n" + log.read_text())


@pytest.fixture(autouse=True)
def _empty(postfix: Postfix) -> None:
    postfix.sink.mails.clear()


def test_mail_goes_through_byte_for_byte_with_its_parameters(postfix):
    data = "Subject: Grüße\r\nMIME-Version: 1.0\r\n\r\n.Punkt\r\n..\r\nStraße\r\n".encode()
    parcel = make_parcel(
        data=data,
        body_type=BodyType.EIGHT_BIT_MIME,
        smtputf8=True,
        dsn_ret="HDRS",
        dsn_envid="envelope-7",
        notify=frozenset({"FAILURE"}),
        orcpt="rfc822;jonas.weber@partner.example",
    )
    outcome = postfix.run().deliver(parcel)["copy0"]
    assert isinstance(outcome, Delivered)
    assert outcome.status == "2.0.0"
    assert outcome.dsn_passed_on
    postfix.wait_for_mails(1)
    mail = postfix.sink.mails[0]
    # Postfix prepends its own Received and appends what a mail without Date and From lacks, before our first field.
    assert mail.data.endswith(data.partition(b"\r\n\r\n")[2])
    assert "Grüße".encode() in mail.data
    assert "ENVID=envelope-7" in mail.mail_line
    assert "RET=HDRS" in mail.mail_line
    assert "SMTPUTF8" in mail.mail_line
    assert "NOTIFY=FAILURE" in mail.rcpt_lines[0]
    assert "ORCPT=rfc822;jonas.weber@partner.example" in mail.rcpt_lines[0]


def test_each_recipient_has_an_outcome_of_its_own(postfix):
    names = ("good@partner.example", "nobody@partner.example", "later@partner.example", "fine@partner.example")
    outcomes = postfix.run().deliver(make_parcel(*names))
    assert [type(outcomes[f"copy{n}"]) for n in range(4)] == [Delivered, Failed, Deferred, Delivered]
    assert outcomes["copy1"].status == "5.1.1"
    assert outcomes["copy2"].status == "4.2.0"
    postfix.wait_for_mails(1)
    assert len(postfix.sink.mails[0].rcpt_lines) == 2


def test_verified_tls(postfix, certificates):
    outcome = postfix.run(TlsPolicy.VERIFY, ca_file=certificates.ca_file).deliver(make_parcel())["copy0"]
    assert isinstance(outcome, Delivered)
    assert outcome.tls is not None
    refused = postfix.run(TlsPolicy.VERIFY).deliver(make_parcel())["copy0"]
    assert isinstance(refused, Deferred)
    assert refused.status == "4.7.5"
    postfix.wait_for_mails(1)


def test_one_session_carries_many_mails(postfix):
    run = postfix.run()
    for _ in range(30):
        assert isinstance(run.deliver(make_parcel())["copy0"], Delivered)
    postfix.wait_for_mails(30)


@pytest.mark.parametrize("tls", [TlsPolicy.NONE, TlsPolicy.ENCRYPT])
def test_45_megabytes(postfix, tls):
    line = b"." + b"x" * 75 + b"\r\n"
    data = b"From: a@bank.example\r\nSubject: x\r\n\r\n" + line * (45_000_000 // len(line))
    assert isinstance(postfix.run(tls).deliver(make_parcel(data=data))["copy0"], Delivered)
    postfix.wait_for_mails(1)
    body = postfix.sink.mails[0].data.partition(b"\r\n\r\n")[2]
    assert hashlib.sha256(body).digest() == hashlib.sha256(data.partition(b"\r\n\r\n")[2]).digest()


def test_too_large_is_refused_before_a_byte_is_sent(postfix):
    data = b"Subject: x\r\n\r\n" + (b"y" * 76 + b"\r\n") * 800_000
    outcome = postfix.run().deliver(make_parcel(data=data))["copy0"]
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.3.4"


def test_bare_line_ends_do_not_become_a_second_mail(postfix):
    """Row 23 at this end: nothing that a lenient next hop could take for the end of data leaves us."""
    for ending in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r"):
        data = b"Subject: x\r\n\r\na" + ending + b"MAIL FROM:<evil@evil.example>\r\n"
        outcome = postfix.run().deliver(make_parcel(data=data))["copy0"]
        assert isinstance(outcome, Deferred)
    good = postfix.run().deliver(make_parcel())["copy0"]
    assert isinstance(good, Delivered)
    postfix.wait_for_mails(1)
