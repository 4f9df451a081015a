"""A real gateway for the system tests: the demo command with all its processes, driven only through its doors."""

from __future__ import annotations

import email
import email.policy
import json
import os
import random
import signal
import smtplib
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
WAIT_SECONDS = 60


@dataclass(frozen=True)
class Left:
    """One mail that left, as the catcher wrote it."""

    number: int
    mail_from: str
    rcpt_to: list[str]
    hop: str
    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The mail, parsed by Python's own parser."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def pdf(self) -> bytes:
        """The encrypted PDF of a carrier mail."""
        parts = [part for part in self.message.walk() if part.get_content_type() == "application/pdf"]
        assert len(parts) == 1, [part.get_content_type() for part in self.message.walk()]
        return parts[0].get_payload(decode=True)  # type: ignore[return-value]


def free_base_port() -> int:
    """Return a port with the seven behind it free, below those that Linux gives to clients (32768 and up).

    Each process of a parallel run has a range of its own: between looking and listening nobody else takes it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    bases = list(range(20000 + worker * 3000, 23000 + worker * 3000, 10))
    random.SystemRandom().shuffle(bases)
    for base in bases:
        try:
            for offset in range(8):
                with closing(socket.socket()) as sock:
                    sock.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")


@dataclass(frozen=True)
class CopyRow:
    """One recipient's copy as the database has it."""

    copy_id: str
    message_id: str
    to: str
    state: str
    status: str
    text: str
    method: str | None
    reason: str | None
    crashes: int
    owner: str


WAITING = ("received", "decided", "protected", "queued", "deferred")


@dataclass
class Gateway:
    """One running demo."""

    state: Path
    base: int = field(default_factory=free_base_port)
    process: subprocess.Popen[str] | None = None
    output: str = ""
    prefix: tuple[str, ...] = ()
    """A command to start the demo by."""
    portal: bool = False
    """With the portal, which takes some seconds more."""
    _left: dict[tuple[str, int], Left] = field(default_factory=dict, repr=False)

    def start(self, *arguments: str) -> Gateway:
        """Start and wait for `ready` alone on a line."""
        self.process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "relay.cli.main", "demo", "--state", str(self.state),
             "--base-port", str(self.base), "--no-sample", *(() if self.portal else ("--no-portal",)), *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        lines = []
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            lines.append(line)
            if line == "ready\n":
                self.output = "".join(lines)
                return self
            if not line and self.process.poll() is not None:
                break
        raise AssertionError("not ready: " + "".join(lines))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop in good order and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        self.output += self.process.communicate(timeout=60)[0]
        return self.process.returncode

    def kill(self) -> None:
        """Kill every process at once, as a power cut would."""
        assert self.process is not None
        for pid in [*self.children(), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def children(self) -> list[int]:
        """Return all processes below the demo, by walking /proc."""
        assert self.process is not None
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(entry.name)] = int(fields[1])
        found: list[int] = []
        frontier = {self.process.pid}
        while frontier:
            frontier = {pid for pid, parent in parents.items() if parent in frontier and pid not in found}
            found.extend(frontier)
        return found

    def pids(self, name: str) -> list[int]:
        """Return the processes whose command line ends in this process name."""
        result = []
        for pid in self.children():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if name.encode() in words:
                result.append(pid)
        return result

    def send(
        self, data: bytes | EmailMessage, mail_from: str, *to: str, offset: int = 0, options: tuple[str, ...] = ()
    ) -> str:
        """Hand a mail over from inside (offset 0) or as from the Internet (1); return the queue id of the 250."""
        raw = data.as_bytes(policy=email.policy.SMTP) if isinstance(data, EmailMessage) else data
        with smtplib.SMTP("127.0.0.1", self.base + offset, timeout=60) as client:
            client.ehlo("mail.bank.example")
            code, text = client.mail(mail_from, list(options))
            assert code == 250, (code, text)
            for one in to:
                code, text = client.rcpt(one)
                assert code == 250, (code, text)
            code, text = client.data(raw)
            assert code == 250, (code, text)
        return text.decode().split()[-1]

    def outbox(self) -> list[Left]:
        """Return what has left so far, in order."""
        found = []
        for path in sorted((self.state / "outbox").glob("[0-9]*.json")):
            # Thousands may lie there, and a test asks again and again.
            place = (path.name, path.stat().st_mtime_ns)
            if place not in self._left:
                about = json.loads(path.read_text())
                raw = path.with_suffix(".eml").read_bytes()
                self._left[place] = Left(int(path.stem), about["mail_from"], about["rcpt_to"], about["hop"], raw)
            found.append(self._left[place])
        return found

    def wait(self, enough: Callable[[list[Left]], object], seconds: float = WAIT_SECONDS) -> list[Left]:
        """Wait until what has left is enough, and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            left = self.outbox()
            if enough(left):
                return left
            time.sleep(0.1)
        raise AssertionError(f"waited in vain; left: {[(one.hop, one.rcpt_to) for one in self.outbox()]}\n{self.log()}")

    def wait_for(self, count: int, seconds: float = WAIT_SECONDS) -> list[Left]:
        """Wait until so many mails have left."""
        return self.wait(lambda left: len(left) >= count, seconds)

    def cli(self, *arguments: str, code: int = 0) -> str:
        """Run `letterlock` on this installation and return its stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "relay.cli.main", "--config", str(self.state / "inside"), *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Read the SQLite file from outside, as an operator's tool would."""
        path = self.state / "inside/state/letterlock.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement, parameters).fetchall()

    def copies(self, message_id: str = "") -> list[CopyRow]:
        """Return the copies of a message, or of all."""
        rows = self.sql(
            "SELECT c.id, c.message_id, c.forward_path, c.state, c.last_status, c.last_text, d.method, d.reason,"
            " c.crashes, c.owner FROM copy c LEFT JOIN decision d ON d.id = c.decision_id"
            " WHERE ? IN ('', c.message_id) ORDER BY c.id",
            message_id,
        )
        return [CopyRow(*row) for row in rows]  # type: ignore[arg-type]

    def wait_until(self, condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def wait_settled(self, *message_ids: str, seconds: float = WAIT_SECONDS) -> dict[str, list[CopyRow]]:
        """Wait until no copy of these messages has work left for the gateway; return the copies by message."""
        found: dict[str, list[CopyRow]] = {}

        def is_settled() -> bool:
            found.clear()
            for copy in self.copies():
                if copy.message_id in message_ids:
                    found.setdefault(copy.message_id, []).append(copy)
            assert set(found) == set(message_ids)
            return not any(copy.state in WAITING for copies in found.values() for copy in copies)

        self.wait_until(is_settled, seconds)
        return found

    def set_clock(self, seconds: int) -> None:
        """Move the clock of all processes and wait until they have looked."""
        (self.state / "inside/run/clock.offset").write_text(str(seconds))
        time.sleep(1.2)

    def health(self) -> dict[str, object]:
        """Return what GET /health says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.base + 7}/health", timeout=20) as answer:
                return json.load(answer)  # type: ignore[no-any-return]
        except urllib.error.HTTPError as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def put(self, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change an active document by the command line."""
        document = json.loads(self.cli("org", "show", kind))
        change(document)
        path = self.state / f"{kind}.json"
        path.write_text(json.dumps(document))
        self.cli("org", "put", kind, str(path))

    def log(self) -> str:
        """Return the end of the processes' log."""
        return (self.state / "log.jsonl").read_text(errors="replace")[-4000:]


def password_of(notice: Left) -> str:
    """Return the password that a notice tells: the line of four groups."""
    import re

    text = notice.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    found = re.findall(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b", text)
    assert found, text
    return found[0]  # type: ignore[no-any-return]


def poppler_text(pdf: bytes, password: str, tmp: Path) -> str:
    """Return the text that poppler reads with the password."""
    path = tmp / "read.pdf"
    path.write_bytes(pdf)
    done = subprocess.run(["pdftotext", "-upw", password, str(path), "-"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def poppler_refuses(pdf: bytes, tmp: Path) -> bool:
    """Tell whether poppler opens the PDF without a password."""
    path = tmp / "locked.pdf"
    path.write_bytes(pdf)
    done = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, text=True, timeout=60)
    return done.returncode != 0 and "Incorrect password" in done.stderr


def poppler_files(pdf: bytes, password: str, tmp: Path) -> dict[str, bytes]:
    """Return the files that poppler detaches."""
    path, folder = tmp / "files.pdf", tmp / "files"
    path.write_bytes(pdf)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    done = subprocess.run(
        ["pdfdetach", "-upw", password, "-saveall", "-o", str(folder), str(path)], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return {one.name: one.read_bytes() for one in folder.iterdir()}
