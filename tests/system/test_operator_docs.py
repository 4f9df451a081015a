"""The operator's pages are true: Postfix takes the documented files as they stand and relays as the page says, systemd
takes the units, and every settings key is explained (features A1, A9, G14)."""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.cli.installation import NO_PORTAL
from tests.integration.delivery.fault_server import FaultServer

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "operator"
FENCE = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
{documented}
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
"""


def documented(name: str) -> str:
    """Return the one fenced file of that name on the Postfix page."""
    found = [text for kind, text in FENCE.findall((PAGES / "postfix.md").read_text("utf-8")) if kind == name]
    assert len(found) == 1
    return str(found[0])


def postconf(folder: Path) -> str:
    """Return `postconf -n` of a configuration; a complaint of Postfix fails the test."""
    done = subprocess.run(["postconf", "-n", "-c", str(folder)], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def need_postfix() -> None:
    if shutil.which("postfix", path="/usr/sbin:/usr/bin") is None or os.geteuid() != 0:
        pytest.fail("this test asks Postfix itself: as root, after apt-get install -y postfix", pytrace=False)


def make_configuration(folder: Path, main: str, master: str = "") -> Path:
    """Write a configuration whose queue lies in the folder, too, so that the host's Postfix stays untouched."""
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    own = f"queue_directory = {folder}/queue\ndata_directory = {folder}/data\nmaillog_file = /dev/stdout\n"
    (folder / "etc/main.cf").write_text(main + own)
    (folder / "etc/master.cf").write_text(master)
    return folder / "etc"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's own folder, which is closed to Postfix's user.
    path = Path(tempfile.mkdtemp(prefix="ll-docs-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("name", ["main.cf", "main.cf.inside"])
def test_postfix_knows_every_documented_setting(name: str, folder: Path) -> None:
    need_postfix()
    text = documented(name)
    listed = postconf(make_configuration(folder, text))
    assert {line.partition(" =")[0] for line in text.splitlines() if " =" in line and line[0] != "#"} <= {
        line.partition(" =")[0] for line in listed.splitlines()
    }


def test_the_documented_gateway_relays_as_the_page_says(folder: Path) -> None:
    need_postfix()
    outer, inner = free_port(), free_port()
    knows = FaultServer(script=lambda _, command: "550 5.1.1 who is that?" if "<nobody@" in command else None)
    with FaultServer() as letterlock, knows as mail_server, FaultServer() as internet:
        main = documented("main.cf")
        # Only what names other hosts is moved to this one.
        for old, new in (
            ("[127.0.0.1]:2526", f"[127.0.0.1]:{letterlock.port}"),
            ("[mail.bank.example]:25", f"[127.0.0.1]:{mail_server.port}"),
            ("/etc/ssl/mx.bank.example.pem", ""),
            ("/etc/ssl/mx.bank.example.key", ""),
        ):
            assert main.count(old) == 1
            main = main.replace(old, new)
        main = main.replace("smtpd_tls_security_level = may", "smtpd_tls_security_level = none")
        main += f"relayhost = [127.0.0.1]:{internet.port}\nsmtp_host_lookup = native\ninet_interfaces = 127.0.0.1\n"
        main += "address_verify_poll_delay = 1s\n"
        main = main.replace("smtp_dns_support_level = dnssec", "").replace(
            "security_level = dane", "security_level = may"
        )
        listener = documented("master.cf")
        assert listener.count("127.0.0.1:10025") == 1
        master = MASTER_CF.format(port=outer, documented=listener.replace("127.0.0.1:10025", f"127.0.0.1:{inner}"))
        config = make_configuration(folder, main, master)
        subprocess.run(["postfix", "-c", str(config), "check"], check=True, capture_output=True, timeout=30)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["postfix", "-c", str(config), "start-fg"], stdout=log, stderr=log)
            try:
                wait_for_port(outer, folder / "log")
                data = b"From: <jonas@partner.example>\r\nDate: Mon, 16 Nov 2026 09:30:00 +0100\r\n\r\nin\r\n"
                assert send(outer, "other@elsewhere.example", data) == 554
                assert send(outer, "nobody@bank.example", data) == 550
                assert send(outer, "anna@bank.example", data) == 250
                wait_for_mail(letterlock, folder / "log")
                assert send(inner, "anybody@elsewhere.example", data.replace(b"in\r\n", b"out\r\n")) == 250
                wait_for_mail(internet, folder / "log")
            finally:
                subprocess.run(["postfix", "-c", str(config), "stop"], check=False, capture_output=True, timeout=30)
                process.wait(20)
        assert [mail.data.endswith(b"\r\n\r\nin\r\n") for mail in letterlock.mails] == [True]
        assert [mail.data.endswith(b"\r\n\r\nout\r\n") for mail in internet.mails] == [True]
        # Whether Anna exists was asked of the mail server, and no mail went there past Letterlock.
        assert mail_server.mails == []


def wait_for_port(port: int, log: Path) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                if sock.recv(3) == b"220":
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail("Postfix did not start:\n" + log.read_text())


def send(port: int, to: str, data: bytes) -> int:
    """Send a mail to one recipient; return the code of the RCPT. "Not known yet" (450) is asked again."""
    deadline = time.monotonic() + 60
    while True:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.ehlo("mail.partner.example")
            assert client.mail("jonas@partner.example")[0] == 250
            code = client.rcpt(to)[0]
            if code == 250:
                assert client.data(data)[0] == 250
        if code != 450 or time.monotonic() > deadline:
            return code


def wait_for_mail(server: FaultServer, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not server.mails and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.mails, log.read_text()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in PAGES.glob("units/letterlock*"):
        # The program need not be installed where the units look for it.
        text = unit.read_text("utf-8").replace("/opt/letterlock/bin/letterlock", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_process_has_a_unit_and_only_keyd_reaches_the_keys() -> None:
    from relay.cli.processes import INSIDE

    units = {unit.stem.removeprefix("letterlock-"): unit.read_text("utf-8") for unit in PAGES.glob("units/*.service")}
    assert units.keys() == set(INSIDE)
    for name, text in units.items():
        assert f"ExecStart=/opt/letterlock/bin/letterlock {name}\n" in text
        hidden = "InaccessiblePaths=/var/lib/letterlock/keys /var/lib/letterlock/secrets/token.pin" in text
        assert hidden is (name != "keyd")
        # systemd's own limit, five starts in ten seconds, would leave it down while a database is away.
        assert "StartLimitIntervalSec=0\n" in text
        assert "Restart=always\n" in text


def test_the_settings_page_explains_every_key() -> None:
    page = (PAGES / "README.md").read_text("utf-8")
    template = (ROOT / "templates/host/letterlock.toml").read_text("utf-8")
    # Keys in comments are those that a host may add.
    text = re.sub(r"^# (\w+ = |\[)", r"\1", template, flags=re.MULTILINE)
    text = (
        text.replace("$tls", 'certificate = ""\nkey = ""')
        .replace("$portal", re.sub("^# ", "", NO_PORTAL, flags=re.MULTILINE))
        .replace("$health_port", "0")
        .replace("$database", '""')
    )
    keys = {f"{table}.{key}" for table, values in tomllib.loads(text).items() for key in values}
    assert len(keys) > 15
    assert {key for key in keys if f"`{key}`" not in page} == set()
