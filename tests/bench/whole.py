"""The whole gateway: text PDFs a second from SMTP in to protected mail out, and memory for a 25 MB mail.

Mail comes from Postfix's smtp-source and goes to its smtp-sink, both in C, so that the two cores are the gateway's.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from tests.bench.pdf import TEXT
from tests.bench.peers import ROOT, await_port, free_port
from tests.system.gateway import Gateway


@contextmanager
def run_sink() -> Iterator[int]:
    """Run Postfix's smtp-sink; yield its port."""
    port = free_port()
    sink = subprocess.Popen(
        ["/usr/sbin/smtp-sink", *(["-u", "nobody"] if os.geteuid() == 0 else []), f"127.0.0.1:{port}", "512"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        sink.terminate()
        sink.wait(10)


@contextmanager
def _gateway() -> Iterator[tuple[int, Path]]:
    """Run `letterlock serve` between its port and smtp-sink; yield the inside port and the database."""
    from relay.cli.installation import HostChoices, create_installation
    from relay.core.documents.limits import ListenerLimits
    from relay.core.documents.listeners import Listener, ListenersDocument
    from relay.core.documents.routes import HopSide, Route, RoutesDocument, TlsPolicy
    from relay.core.documents.shipped import shipped_organisation
    from relay.core.envelope import Side
    from relay.core.ports import Actor

    folder, port = Path(tempfile.mkdtemp(prefix="ll-bench-")), free_port()
    limits = ListenerLimits(messages_per_client_per_minute=10_000_000)
    listener = Listener("inside", Side.INSIDE, "127.0.0.1", port, ("127.0.0.0/8",), limits=limits)
    with run_sink() as sink_port:
        routes = tuple(
            Route(pattern, side, "127.0.0.1", sink_port, TlsPolicy.NONE)
            for pattern, side in (("bank.example", HopSide.INSIDE), ("*", HopSide.OUTSIDE))
        )
        organisation = replace(
            shipped_organisation("bank.example", "Example Bank"),
            listeners=ListenersDocument((listener,)),
            routes=RoutesDocument(routes),
        )
        choices = HostChoices("gateway.bank.example", portal_url="https://portal.bank.example")
        settings = create_installation(folder / "inside", choices, organisation, Actor("operator", "bench"))
        serve = subprocess.Popen(
            [sys.executable, "-m", "relay.cli.main", "--config", str(settings.path), "serve"],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_port(port)
            yield port, settings.state_dir / "letterlock.db"
        finally:
            serve.terminate()
            serve.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def delivered_count(database: Path) -> int:
    """Return how many mails to partners have been delivered."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM copy WHERE state = 'delivered' AND forward_path LIKE '%@partner.example'"
        return int(connection.execute(query).fetchone()[0])


def pour_to_partners(port: int, message: Path, count: int, partners: range) -> None:
    """Send `count` mails to each partner in turn, by one smtp-source each."""
    senders = [
        subprocess.Popen(
            [
                "/usr/sbin/smtp-source",
                "-d",
                "-s",
                "2",
                "-m",
                str(count),
                "-F",
                str(message),
                "-f",
                "anna@bank.example",
                "-t",
                f"p{number}@partner.example",
                f"127.0.0.1:{port}",
            ]
        )
        for number in partners
    ]
    for sender in senders:
        assert sender.wait(300) == 0


def text_mails(each: int = 250, partners: int = 8) -> float:
    """Return protected text mails a second through all processes, to partners whose passwords are known."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "anna@bank.example", "partners@partner.example", "Angebot"
    mail["Message-ID"] = "<1@bench.example>"
    mail.set_content(TEXT)
    with tempfile.NamedTemporaryFile(suffix=".eml") as file, _gateway() as (port, database):
        # smtp-source wants LF and ends the lines itself.
        file.write(mail.as_bytes(policy=SMTP).replace(b"\r\n", b"\n"))
        file.flush()
        pour_to_partners(port, Path(file.name), 2, range(partners))
        _await_delivered(database, 2 * partners)
        began = time.perf_counter()
        pour_to_partners(port, Path(file.name), each, range(partners))
        _await_delivered(database, (2 + each) * partners)
        return each * partners / (time.perf_counter() - began)


def _await_delivered(database: Path, count: int) -> None:
    deadline = time.monotonic() + 300
    while (found := delivered_count(database)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {found} of {count} mails left")
        time.sleep(0.2)


def _count(gateway: Gateway) -> int:
    return sum(1 for _ in (gateway.state / "outbox").glob("[0-9]*.json"))


def _await(gateway: Gateway, mails: int, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while _count(gateway) < mails:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {_count(gateway)} of {mails} mails left")
        time.sleep(0.02)


def large_mail_memory(octets: int = 25 * 1024 * 1024) -> dict[str, float]:
    """Return the peak RSS in MB of each process after a mail with one attachment of so many octets."""
    with tempfile.TemporaryDirectory(prefix="ll-bench-") as folder:
        gateway = Gateway(Path(folder) / "state").start()
        try:
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "anna@bank.example", "jonas@partner.example", "Big"
            mail.set_content(TEXT)
            mail.add_attachment(os.urandom(octets), maintype="application", subtype="octet-stream", filename="big.bin")
            gateway.send(mail, "anna@bank.example", "jonas@partner.example")
            _await(gateway, 2)
            peaks = {name: _peak(gateway.pids(name)) for name in ("smtpd", "deliver", "keyd")}
            children = [pid for pid in gateway.children() if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            return peaks | {"worker": _peak(gateway.pids("worker")), "worker child": _peak(children)}
        finally:
            gateway.stop()


def _peak(pids: list[int]) -> float:
    peaks = []
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks.append(int(line.split()[1]) / 1024)
    return max(peaks, default=0.0)
