"""A fault at every stage of the whole gateway: nothing unprotected leaves, nothing acknowledged is lost, no 5xx for a
fault of ours, and it comes back by itself. Rows are those of docs/fault-matrix.md."""

from __future__ import annotations

import contextlib
import email.policy
import errno
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.integration.delivery.fault_server import CLOSE, HANG, FaultServer
from tests.system.gateway import ROOT, Gateway, Left
from tests.system.test_main_job import CANARY, outside, write_mail

ANNA = "anna@bank.example"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = Gateway(tmp_path_factory.mktemp("faults")).start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _nothing_in_clear(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "gateway" in request.fixturenames:
        gateway: Gateway = request.getfixturevalue("gateway")
        assert not [one for one in gateway.outbox() if one.hop == "outside" and CANARY.encode() in one.raw]


def try_to_send(gateway: Gateway, data: bytes, to: str, sender: str = ANNA, offset: int = 0) -> tuple[int, str]:
    """Hand a mail over; return the first refusal, or the last reply."""
    with smtplib.SMTP("127.0.0.1", gateway.base + offset, timeout=90) as client:
        client.ehlo("mail.bank.example")
        for code, text in (client.mail(sender), client.rcpt(to)):
            if code != 250:
                return code, text.decode()
        code, text = client.data(data)
        return code, text.decode()


def begin_data(sock: socket.socket, stream: BinaryIO, to: str) -> None:
    """Walk a bare connection up to the 354."""
    assert stream.readline().startswith(b"220")
    for command in ("EHLO x.bank.example", f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{to}>", "DATA"):
        sock.sendall(command.encode() + b"\r\n")
        while (line := stream.readline())[3:4] == b"-":
            pass
        assert line[:3] in (b"250", b"354"), line


def octets(to: str, subject: str = "Fault", padding: int = 0) -> bytes:
    mail = write_mail(to, subject)
    if padding:
        mail.add_attachment(os.urandom(padding), maintype="application", subtype="x", filename="a.bin")
    return mail.as_bytes(policy=email.policy.SMTP)


def leaves(gateway: Gateway, to: str, seconds: float = 120, *, retry: str = "") -> Left:
    """Wait until the mail to this address has left, protected; `retry`: a message whose back-off is cut short."""
    deadline = time.monotonic() + seconds
    while not (found := outside(gateway.outbox(), to)):
        assert time.monotonic() < deadline, (gateway.copies(retry or "none"), gateway.log())
        if retry:
            skip_waits(gateway, retry)
        time.sleep(0.3)
    assert all(one.pdf.startswith(b"%PDF-") for one in found)
    return found[0]


def skip_waits(gateway: Gateway, message_id: str) -> None:
    """Make postponed copies due now, as an operator would; what is busy by now is left."""
    for copy in gateway.copies(message_id):
        if copy.state in ("received", "decided") and copy.text and not copy.owner:
            with contextlib.suppress(AssertionError):
                gateway.cli("queue", "retry", copy.copy_id)


def signal_all(pids: list[int], number: int) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, number)


# --- keyd -------------------------------------------------------------------------------------------------------------


def test_keyd_silent_mail_is_accepted_waits_and_leaves_later(gateway: Gateway) -> None:
    """keyd hangs: smtpd needs it for nothing, the others wait, nothing is counted against the mail."""
    to = "keyd-silent@partner.example"
    frozen = gateway.pids("keyd")
    signal_all(frozen, signal.SIGSTOP)
    try:
        message_id = gateway.send(octets(to), ANNA, to)
        gateway.wait_until(lambda: "postponed" in gateway.cli("trace", message_id), 90)
        assert not outside(gateway.outbox(), to)
    finally:
        signal_all(frozen, signal.SIGCONT)
    leaves(gateway, to, retry=message_id)


def test_keyd_killed_and_its_sockets_gone(gateway: Gateway) -> None:
    to = "keyd-killed@partner.example"
    folder = gateway.state / "inside/run/keyd"
    signal_all(gateway.pids("keyd"), signal.SIGKILL)
    for path in folder.glob("*.sock"):
        path.unlink(missing_ok=True)
    message_id = gateway.send(octets(to), ANNA, to)
    gateway.wait_until(lambda: len(list(folder.glob("*.sock"))) >= 3)
    leaves(gateway, to, retry=message_id)


def test_keyds_sockets_removed_while_it_lives(gateway: Gateway) -> None:
    to = "keyd-sockets@partner.example"
    folder = gateway.state / "inside/run/keyd"
    for path in folder.glob("*.sock"):
        path.unlink()
    signal_all(gateway.pids("deliver"), signal.SIGKILL)
    message_id = gateway.send(octets(to), ANNA, to)
    gateway.wait_until(lambda: len(list(folder.glob("*.sock"))) >= 3)
    leaves(gateway, to, retry=message_id)


# --- database and disk ------------------------------------------------------------------------------------------------


def test_locked_database_is_451_and_heals(gateway: Gateway) -> None:
    to = "locked@partner.example"
    path = gateway.state / "inside/state/letterlock.db"
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        code, text = try_to_send(gateway, octets(to), to)
        assert code // 100 == 4, (code, text)
        held.execute("ROLLBACK")
    message_id = gateway.send(octets(to, "Again"), ANNA, to)
    leaves(gateway, to, retry=message_id)


def limit_files(pids: list[int], size: int) -> None:
    for pid in pids:
        subprocess.run(["prlimit", "--pid", str(pid), f"--fsize={size}:"], check=True, timeout=20)


UNLIMITED = -1


def test_a_spool_that_takes_no_octet_is_4xx_and_heals(gateway: Gateway) -> None:
    """Row 8: every write of smtpd fails with an I/O error."""
    to = "eio@partner.example"
    pids = gateway.pids("smtpd")
    limit_files(pids, 1)
    try:
        code, text = try_to_send(gateway, octets(to), to)
    finally:
        limit_files(pids, UNLIMITED)
    assert code in (451, 452), (code, text)
    assert "Errno" not in text
    assert "letterlock.db" not in text
    gateway.send(octets(to, "Again"), ANNA, to)
    leaves(gateway, to)


@pytest.mark.parametrize("name", ["worker", "deliver"])
def test_a_process_that_can_write_nothing_down_goes_on_afterwards(gateway: Gateway, name: str) -> None:
    """Row 6: mail in work while its database takes nothing is neither lost nor stuck for long."""
    to = f"stuck-{name}@partner.example"
    pids = gateway.pids(name)
    if name == "worker":
        pids += [pid for pid in gateway.children() if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    limit_files(pids, 1)
    try:
        message_id = gateway.send(octets(to), ANNA, to)
        gateway.wait_until(lambda: gateway.health()["status"] != "ok")
        time.sleep(2)
    finally:
        limit_files([pid for pid in pids if Path(f"/proc/{pid}").exists()], UNLIMITED)
    leaves(gateway, to, 180)
    assert gateway.wait_settled(message_id)[message_id][0].state == "delivered"
    gateway.wait_until(lambda: gateway.health()["status"] == "ok")


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, timeout=20
    )
    if done.returncode:
        pytest.skip("needs root and the right to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


@contextlib.contextmanager
def filled(folder: Path, leave: int) -> Iterator[None]:
    """Fill a disk but for some octets."""
    with (folder / "filler").open("wb") as out:
        while True:
            free = shutil.disk_usage(folder).free
            try:
                os.posix_fallocate(out.fileno(), 0, max(1, free - leave))
                break
            except OSError as error:
                # The gateway wrote between looking and taking.
                if error.errno != errno.ENOSPC:
                    raise
    try:
        yield
    finally:
        (folder / "filler").unlink()


def test_full_disk(tmp_path: Path) -> None:
    """Rows 6 and 7: below the reserve 452; waiting mail goes on; full in the middle of a large DATA 452; it heals."""
    with small_disk(tmp_path / "disk", 400) as disk:
        gateway = Gateway(disk).start()
        try:
            signal_all(gateway.pids("deliver"), signal.SIGSTOP)
            before = gateway.send(octets("before@partner.example"), ANNA, "before@partner.example")
            gateway.wait_until(lambda: gateway.copies(before)[0].state == "queued")
            with filled(disk, 90 << 20):
                time.sleep(1)  # intake looks at the space four times a second
                code, text = try_to_send(gateway, octets("full@partner.example"), "full@partner.example")
                assert (code, text.split()[0]) == (452, "4.3.1"), (code, text)
                signal_all(gateway.pids("deliver"), signal.SIGCONT)
                leaves(gateway, "before@partner.example")
                assert gateway.wait_settled(before)[before][0].state == "delivered"
            assert fill_in_the_middle(gateway, disk) in (451, 452)
            after = "after@partner.example"
            gateway.send(octets(after), ANNA, after)
            leaves(gateway, after)
            # What the broken mail had written ahead is swept by itself.
            gateway.set_clock(120)
            gateway.wait_until(lambda: not gateway.sql("SELECT * FROM incoming"), 120)
            assert not outside(gateway.outbox(), "middle@partner.example")
            assert not [one for one in gateway.copies() if one.to == "middle@partner.example"]
            assert "Good" in gateway.cli("audit", "verify")
        finally:
            gateway.stop()


def fill_in_the_middle(gateway: Gateway, disk: Path) -> int:
    data = octets("middle@partner.example", padding=25 << 20)
    with socket.create_connection(("127.0.0.1", gateway.base), 90) as sock, sock.makefile("rb") as stream:
        begin_data(sock, stream, "middle@partner.example")
        sock.sendall(data[: 5 << 20])
        gateway.wait_until(lambda: gateway.sql("SELECT * FROM incoming"))
        with filled(disk, 64 << 10):
            sock.sendall(data[5 << 20 :] + b".\r\n")
            return int(stream.readline()[:3])


def test_no_room_for_the_finished_pdf(tmp_path: Path) -> None:
    """The disk of temporary files is full: the mail waits, and leaves when there is room."""
    gateway = Gateway(tmp_path / "state").start()
    to = "tmp@partner.example"
    try:
        with small_disk(gateway.state / "inside/state/tmp", 1):
            message_id = gateway.send(octets(to, padding=6 << 20), ANNA, to)
            gateway.wait_until(lambda: "postponed" in gateway.cli("trace", message_id), 90)
            copy = gateway.copies(message_id)[0]
            assert (copy.state, copy.crashes) == ("decided", 0), copy
        leaves(gateway, to, retry=message_id)
    finally:
        gateway.stop()


# --- renderer, templates, documents -----------------------------------------------------------------------------------


def test_renderer_killed_again_and_again(gateway: Gateway) -> None:
    ids = {}
    for number in range(6):
        to = f"render{number}@partner.example"
        mail = write_mail(to)
        mail.add_alternative(f"<p>{CANARY}</p>" + "<table><tr><td>x</td></tr></table>" * 300, subtype="html")
        ids[to] = gateway.send(mail, ANNA, to)
    killed = 0
    while any(gateway.copies(one)[0].state in ("received", "decided") for one in ids.values()) and killed < 4:
        for pid in gateway.children():
            with contextlib.suppress(OSError):
                if b"pdfmail.html.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes() and killed < 4:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        time.sleep(0.05)
    assert killed
    for to, message_id in ids.items():
        leaves(gateway, to, 180, retry=message_id)


def test_templates_that_cannot_be_read(tmp_path: Path) -> None:
    """In a mount namespace of its own the gateway's wording vanishes: mail waits and is not set aside."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, timeout=20).returncode:
        pytest.skip("needs root and the right to make a mount namespace")
    gateway = Gateway(tmp_path / "state", prefix=("unshare", "-m")).start()
    to = "words@partner.example"
    assert gateway.process is not None
    inside = ["nsenter", "-t", str(gateway.process.pid), "-m"]
    templates = str(ROOT / "templates/mail")
    try:
        subprocess.run([*inside, "mount", "-t", "tmpfs", "tmpfs", templates], check=True, timeout=20)
        message_id = gateway.send(octets(to), ANNA, to)
        gateway.wait_until(lambda: "postponed" in gateway.cli("trace", message_id), 90)
        assert gateway.copies(message_id)[0].state in ("received", "decided")
        subprocess.run([*inside, "umount", templates], check=True, timeout=20)
        leaves(gateway, to, retry=message_id)
    finally:
        gateway.stop()


def write_document(gateway: Gateway, kind: str, content: str) -> None:
    """Spoil the active document as a slip of an administrator's own SQL would: a new version that cannot be read."""
    path = gateway.state / "inside/state/letterlock.db"
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE configuration SET version = version + 1000, content = ? WHERE kind = ? AND state = 'active'",
            [content, kind],
        )


@pytest.mark.parametrize("content", ["{", '{"rules": 5}', '{"methods": ["pass"], "nonsense": 1}'])
def test_a_broken_policy_stops_mail_and_nothing_else(gateway: Gateway, content: str) -> None:
    to = f"policy{len(content)}@partner.example"
    good = gateway.cli("org", "show", "policy")
    write_document(gateway, "policy", content)
    try:
        time.sleep(1.5)
        message_id = gateway.send(octets(to), ANNA, to)
        gateway.wait_until(lambda: "postponed" in gateway.cli("trace", message_id), 90)
        assert gateway.copies(message_id)[0].crashes == 0
        assert "policy" in gateway_check(gateway)
    finally:
        write_document(gateway, "policy", good)
    time.sleep(1.5)
    leaves(gateway, to, retry=message_id)


def gateway_check(gateway: Gateway) -> str:
    command = ["--config", str(gateway.state / "inside"), "config", "check"]
    done = subprocess.run(
        [str(ROOT / ".venv/bin/python"), "-m", "relay.cli.main", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_policy_changed_after_the_decision_changes_nothing_on_the_way(gateway: Gateway) -> None:
    """Row 22: what was decided and made is what leaves; the next mail goes by the new policy."""
    to = "between@partner.example"
    pids = gateway.pids("deliver")
    good = gateway.cli("org", "show", "policy")
    signal_all(pids, signal.SIGSTOP)
    try:
        first = gateway.send(octets(to), ANNA, to)
        gateway.wait_until(lambda: gateway.copies(first)[0].state == "queued")
        rule = {"id": "now-clear", "when": {"recipient": [to]}, "then": [{"action": "pass"}]}
        gateway.put("policy", lambda document: document["rules"].insert(0, rule))
    finally:
        signal_all(pids, signal.SIGCONT)
    leaves(gateway, to)
    assert gateway.copies(first)[0].method == "pdf"
    time.sleep(1.5)
    second = gateway.send(write_mail(to, "Public", "Public text"), ANNA, to)
    assert gateway.wait_settled(second)[second][0].method == "pass"
    write_document(gateway, "policy", good)


def test_a_fault_of_ours_that_lasts_is_told_and_ends_with_a_person(tmp_path: Path) -> None:
    """Never bounced: after hours the operator hears of it, after days the mail is set aside; then it can go on."""
    gateway = Gateway(tmp_path / "state").start()
    to = "lasting@partner.example"
    good = gateway.cli("org", "show", "policy")
    try:
        write_document(gateway, "policy", "{")
        time.sleep(1.5)
        message_id = gateway.send(octets(to), ANNA, to)
        gateway.wait_until(lambda: "postponed" in gateway.cli("trace", message_id))
        for seconds, word in ((5 * 3600, "alert.raised"), (6 * 86_400, "copy.shunted")):
            gateway.set_clock(seconds)
            gateway.wait_until(lambda word=word: word in gateway.cli("trace", message_id))  # type: ignore[misc]
        assert gateway.cli("trace", message_id).count("alert.raised") == 1
        write_document(gateway, "policy", good)
        gateway.set_clock(7 * 86_400)
        # The operator and the sender, each by a mail of his own.
        expected = {"postmaster@bank.example", ANNA}
        gateway.wait(lambda left: expected <= {one.rcpt_to[0] for one in left if message_id.encode() in one.raw}, 180)
        assert not [one for one in gateway.outbox() if b"multipart/report" in one.raw]
        gateway.cli("queue", "release", message_id)
        leaves(gateway, to)
    finally:
        gateway.stop()


# --- next hops --------------------------------------------------------------------------------------------------------


class Hops:
    """Next hops that go wrong, each for a domain of its own, and heal together."""

    def __init__(self, gateway: Gateway, stack: contextlib.ExitStack) -> None:
        self.gateway = gateway
        self.is_healed = False
        self.dots = 0
        self.servers: dict[str, FaultServer] = {}
        scripts: dict[str, Callable[[Any, str], str | None]] = {
            "soft": lambda _d, command: "451 4.7.1 later" if command.startswith("RCPT") else None,
            "greeting": lambda _d, command: "554 5.3.2 no service" if command == "<connect>" else None,
            "hard": lambda _d, command: "550 5.1.1 unknown" if "nobody@" in command else None,
            "dot": self._lose_after_the_dot,
            "hang": lambda _d, command: HANG if command == "DATA" else None,
            "notls": lambda _d, _command: None,
        }
        for name, script in scripts.items():
            healing = script if name in ("hard", "notls", "dot") else self._until_healed(script)
            self.servers[name] = stack.enter_context(FaultServer(script=healing))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.down_port = probe.getsockname()[1]
        gateway.put("routes", self._add_routes)

    def _until_healed(self, script: Callable[[Any, str], str | None]) -> Callable[[Any, str], str | None]:
        return lambda dialogue, command: None if self.is_healed else script(dialogue, command)

    def _lose_after_the_dot(self, _dialogue: Any, command: str) -> str | None:
        if command == "<dot>":
            self.dots += 1
            return CLOSE if self.dots == 1 else None
        return None

    def _add_routes(self, document: dict[str, Any]) -> None:
        model = next(one for one in document["routes"] if one["pattern"] == "*")
        ports = {name: server.port for name, server in self.servers.items()} | {"down": self.down_port}
        for name, port in ports.items():
            tls = "encrypt" if name == "notls" else "none"
            document["routes"].append(model | {"pattern": f"{name}.example", "port": port, "tls": tls})


def reports_to(gateway: Gateway, sender: str) -> list[Left]:
    return [one for one in gateway.outbox() if one.rcpt_to == [sender] and b"multipart/report" in one.raw]


def test_next_hops_that_fail_in_every_way(tmp_path: Path) -> None:
    """Rows 14, 15, 16, 17: 4xx, refused greeting, one recipient of three, lost after the dot, hanging, without TLS."""
    gateway = Gateway(tmp_path / "state").start()
    with contextlib.ExitStack() as stack:
        stack.callback(gateway.stop)
        hops = Hops(gateway, stack)
        time.sleep(1.5)
        sent: dict[str, str] = {}
        for name in ("soft", "greeting", "dot", "hang", "notls", "down"):
            sender, to = f"{name}@bank.example", f"jonas@{name}.example"
            sent[name] = gateway.send(write_mail(to, sender=sender), sender, to)
        three = [f"{one}@hard.example" for one in ("first", "nobody", "last")]
        hard = gateway.send(write_mail(three[0], sender="hard@bank.example"), "hard@bank.example", *three)
        gateway.send(octets("fine@partner.example"), ANNA, "fine@partner.example")
        leaves(gateway, "fine@partner.example")

        states = {copy.to: copy.state for copy in gateway.wait_settled(hard)[hard]}
        assert states == {three[0]: "delivered", three[1]: "failed", three[2]: "delivered"}
        gateway.wait_until(lambda: reports_to(gateway, "hard@bank.example"))
        (report,) = reports_to(gateway, "hard@bank.example")
        assert report.mail_from == ""
        named = re.findall(rb"(?im)^final-recipient: *rfc822; *(\S+)", report.raw)
        assert named == [b"nobody@hard.example"]
        assert CANARY.encode() not in report.raw
        assert b"application/pdf" not in report.raw

        waiting = {name: sent[name] for name in ("soft", "greeting", "notls", "down")}
        gateway.wait_until(
            lambda: all(tried(gateway, one) for one in waiting.values()),
            120,
        )
        assert not [one for one in waiting.values() if gateway.copies(one)[0].state not in ("queued", "deferred")]
        # Row 15: the same octets a second time, and the same Message-ID.
        gateway.set_clock(120)
        gateway.wait_until(lambda: len(hops.servers["dot"].mails) >= 2, 180)
        assert hops.servers["dot"].mails[0].data == hops.servers["dot"].mails[1].data

        hops.is_healed = True
        healed = stack.enter_context(FaultServer(port=hops.down_port))
        for number, name in enumerate(("soft", "greeting", "down")):
            gateway.set_clock(600 + number)
            server = healed if name == "down" else hops.servers[name]
            gateway.wait_until(lambda server=server: server.mails, 240)  # type: ignore[misc]
            assert CANARY.encode() not in server.mails[0].data
            assert b"application/pdf" in server.mails[0].data

        # Row 17: what must be encrypted and cannot be is never sent; after days the sender hears so.
        gateway.set_clock(6 * 86_400)
        gateway.wait_until(lambda: reports_to(gateway, "notls@bank.example"), 700)
        failed = reports_to(gateway, "notls@bank.example")[-1]
        assert b"Action: failed" in failed.raw
        assert b"4.4.7" in failed.raw
        assert not hops.servers["notls"].mails
        assert not any(CANARY.encode() in mail.data for server in hops.servers.values() for mail in server.mails)
        assert "Good" in gateway.cli("audit", "verify")


def tried(gateway: Gateway, message_id: str) -> bool:
    rows = gateway.sql("SELECT attempts FROM copy WHERE message_id = ? AND state IN ('queued', 'deferred')", message_id)
    return all(int(str(row[0])) > 0 for row in rows)


# --- clocks, signals, frozen processes --------------------------------------------------------------------------------


def test_the_clock_jumps_forward_and_back(gateway: Gateway) -> None:
    """An hour ahead and back again: mail goes on at both times, nothing expires, the log stays good."""
    for number, seconds in enumerate((3600, 0, -3600, 0)):
        gateway.set_clock(seconds)
        to = f"clock{number}@partner.example"
        message_id = gateway.send(octets(to), ANNA, to)
        leaves(gateway, to)
        assert gateway.wait_settled(message_id)[message_id][0].state == "delivered"
        # Timed jobs go on too: finished mail is shredded within seconds.
        gateway.wait_until(lambda one=message_id: "message.shredded" in gateway.cli("trace", one), 60)  # type: ignore[misc]
    assert not [one for one in gateway.copies() if one.state in ("failed", "shunted")]
    assert "Good" in gateway.cli("audit", "verify")


@pytest.mark.parametrize("name", ["worker", "deliver", "scheduler"])
def test_a_frozen_process_delays_and_loses_nothing(gateway: Gateway, name: str) -> None:
    to = f"frozen-{name}@partner.example"
    pids = gateway.pids(name)
    signal_all(pids, signal.SIGSTOP)
    try:
        # Frozen while it held the writers' lock it may stop intake too, which then says so.
        code, _ = try_to_send(gateway, octets(to), to)
        assert code == 250 or code // 100 == 4
        assert gateway.health()["status"] == "failing"
    finally:
        signal_all(pids, signal.SIGCONT)
    if code != 250:
        gateway.send(octets(to), ANNA, to)
    leaves(gateway, to)
    gateway.wait_until(lambda: gateway.health()["status"] == "ok")


def test_sigterm_in_the_middle_of_data(tmp_path: Path) -> None:
    """Row 3: what runs is finished or refused for now; what was acknowledged is there after the next start."""
    gateway = Gateway(tmp_path / "state").start()
    to = "term@partner.example"
    data = octets(to, padding=2 << 20)
    with socket.create_connection(("127.0.0.1", gateway.base), 60) as sock, sock.makefile("rb") as stream:
        begin_data(sock, stream, to)
        sock.sendall(data[: 1 << 20])
        assert gateway.process is not None
        signal_all(gateway.pids("smtpd"), signal.SIGTERM)
        time.sleep(0.5)
        gateway.process.send_signal(signal.SIGTERM)
        sock.sendall(data[1 << 20 :] + b".\r\n")
        reply = stream.readline()
    assert gateway.stop() == 0
    assert reply[:3] in (b"250", b"421", b"451"), reply
    gateway.start()
    try:
        if reply.startswith(b"250"):
            leaves(gateway, to)
        else:
            assert not [one for one in gateway.copies() if one.to == to]
    finally:
        gateway.stop()


# --- row 5 ------------------------------------------------------------------------------------------------------------


def test_every_250_follows_a_finished_sync(gateway: Gateway, tmp_path: Path) -> None:
    """Row 5 on the real process: between one acknowledgement and the next lies a completed fdatasync of the WAL."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-s", "16", "-e", "trace=fdatasync,fsync,sendto,write,sendmsg", "-o", str(trace)]
    pids = gateway.pids("smtpd")
    for pid in pids:
        command += ["-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
        assert strace.stderr is not None
        for _ in pids:
            if b"attached" not in strace.stderr.readline():
                pytest.skip("needs the right to trace")
        for number in range(12):
            gateway.send(octets(f"sync{number}@partner.example"), ANNA, f"sync{number}@partner.example")
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=30)
    synced, acknowledged = False, 0
    for line in trace.read_text(errors="replace").splitlines():
        is_sync = "letterlock.db-wal" in line and "fdatasync(" in line and line.rstrip().endswith("= 0")
        is_resumed = "fdatasync resumed" in line and line.rstrip().endswith("= 0")
        if is_sync or is_resumed:
            synced = True
        elif re.search(r'(sendto|write|sendmsg)\(.*"250 2\.0\.0', line):
            assert synced, line
            synced = False
            acknowledged += 1
    assert acknowledged == 12


# --- row 24 -----------------------------------------------------------------------------------------------------------


def test_our_own_mail_sent_back_to_us_ends_in_a_report(gateway: Gateway) -> None:
    """Row 24: what passes us again and again is found out by our own trace fields; RFC 5321 6.3, status 5.4.6."""
    sender, to = "loop.sender@bank.example", "loop@bank.example"
    data = write_mail(to, "Round", sender=sender).as_bytes(policy=email.policy.SMTP)
    for _ in range(60):
        message_id = gateway.send(data, sender, to)
        (copy,) = gateway.wait_settled(message_id)[message_id]
        if copy.state != "delivered":
            break
        data = next(one.raw for one in reversed(gateway.outbox()) if one.rcpt_to == [to])
    assert (copy.state, copy.status, copy.reason) == ("failed", "5.4.6", "loop")
    gateway.wait_until(lambda: reports_to(gateway, sender))
    (report,) = reports_to(gateway, sender)
    assert b"5.4.6" in report.raw
    assert json.loads(gateway.cli("queue", "list", "--to", to, "--json") or "{}") == {}
