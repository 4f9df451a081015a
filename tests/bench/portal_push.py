"""Text mails into mailboxes beside text PDFs: rate from SMTP in to delivered, and CPU of every process inside.

Two gateways, turn about: one knows no portal; the other has one linked, so that its PDFs bring a ticket and a reply
link with them. Mail comes from Postfix's smtp-source and PDFs go to its smtp-sink, as in `whole`.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from portal.installation import Choices, pair_relay
from tests.bench.pdf import TEXT
from tests.bench.peers import ROOT, await_port, free_port
from tests.bench.portal_site import descendants, tree_cpu_seconds
from tests.bench.whole import delivered_count, pour_to_partners, run_sink
from tests.integration.portal.running import RunningPortal

PARTNERS = 8
_WARM = 4
_WAITING = """SELECT (SELECT count(*) FROM portal_push WHERE state = 'waiting')
  + (SELECT count(*) FROM copy WHERE state IN ('received', 'decided', 'protected', 'queued', 'deferred'))"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way for a mail to leave."""

    name: str
    mails: int
    rate: float
    """Delivered mails a second, those of the ticket's pushes not waited for."""
    cpu: dict[str, float]
    """Milliseconds a mail of each process inside, to the last push."""
    portal: float
    """Milliseconds a mail of the portal's processes."""

    @property
    def inside(self) -> float:
        """All processes inside together."""
        return sum(self.cpu.values())


class _Gateway:
    def __init__(self, port: int, database: Path, process: int, portal: int | None) -> None:
        self.port, self.database, self.process, self.portal = port, database, process, portal
        self.expected = 0

    def waiting(self) -> int:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute(_WAITING).fetchone()[0])

    def send(self, subject: str, each: int) -> None:
        """Send so many mails to each partner; returns when they are taken."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "anna@bank.example", "partners@partner.example", subject
        mail["Message-ID"] = "<1@bench.example>"
        mail.set_content(TEXT)
        with tempfile.NamedTemporaryFile(suffix=".eml") as file:
            # smtp-source wants LF and ends the lines itself.
            file.write(mail.as_bytes(policy=SMTP).replace(b"\r\n", b"\n"))
            file.flush()
            pour_to_partners(self.port, Path(file.name), each, range(PARTNERS))

    def wait(self, count: int) -> float:
        """Wait until so many mails were delivered; return when. Then wait until nothing is under way."""
        deadline = time.monotonic() + 600
        done = 0.0
        while not done or self.waiting():
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {delivered_count(self.database)} of {count} mails left")
            if not done and delivered_count(self.database) >= count:
                done = time.perf_counter()
            time.sleep(0.1)
        return done

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each process below the supervisor, with its children, by name."""
        found: dict[str, float] = {}
        for pid in _children(self.process):
            found[_name(pid)] = found.get(_name(pid), 0.0) + tree_cpu_seconds(pid)
        return found


def _children(root: int) -> list[int]:
    return [pid for pid in descendants(root) if pid != root and _parent(pid) == root]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return next((word.decode() for word in words if word.isalpha() and len(word) < 12), "other")


def measure_ways(each: int = 63, rounds: int = 3) -> list[Way]:
    """Return the three ways: PDF without a portal, PDF with reply link, webmail. Turn about; of each the cheapest round
    counts, as other work on the host only adds."""
    with _run_gateway(linked=False) as plain, _run_gateway(linked=True) as linked:
        plan = (
            ("PDF, no portal", plain, "Angebot"),
            ("PDF with reply link", linked, "{pdf} Angebot"),
            ("webmail", linked, "Angebot"),
        )
        found: dict[str, list[Way]] = {name: [] for name, *_ in plan}
        for number in range(rounds + 1):
            for name, gateway, subject in plan:
                way = _measure_one(gateway, name, subject, each if number else _WARM)
                if number:
                    found[name].append(way)
    return [
        replace(min(ways, key=lambda way: way.inside), rate=max(way.rate for way in ways)) for ways in found.values()
    ]


def _measure_one(gateway: _Gateway, name: str, subject: str, each: int) -> Way:
    mails = each * PARTNERS
    gateway.expected += mails
    before, portal_before = gateway.cpu(), tree_cpu_seconds(gateway.portal) if gateway.portal else 0.0
    began = time.perf_counter()
    gateway.send(subject, each)
    rate = mails / (gateway.wait(gateway.expected) - began)
    portal = (tree_cpu_seconds(gateway.portal) if gateway.portal else 0.0) - portal_before
    cpu = {process: 1000 * (used - before.get(process, 0.0)) / mails for process, used in gateway.cpu().items()}
    return Way(name, mails, rate, cpu, 1000 * portal / mails)


@contextmanager
def _run_gateway(*, linked: bool) -> Iterator[_Gateway]:
    """Run `letterlock serve`, and a portal where it is linked."""
    from relay.cli.installation import HostChoices, PortalChoices, create_installation
    from relay.core.documents.limits import ListenerLimits
    from relay.core.documents.listeners import Listener, ListenersDocument
    from relay.core.documents.routes import HopSide, Route, RoutesDocument, TlsPolicy
    from relay.core.documents.shipped import policy_with_portal, shipped_organisation
    from relay.core.envelope import Side
    from relay.core.ports import Actor

    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ll-bench-", ignore_cleanup_errors=True) as name, run_sink() as sink:
        folder = Path(name)
        portal: RunningPortal | None = None
        choices: PortalChoices | None = None
        if linked:
            link = f"127.0.0.1:{free_port()}"
            made = Choices("https://portal.bank.example", "Example Bank", "+49 241 123 456", "127.0.0.1:0", link)
            portal = RunningPortal.make(folder / "portal", made)
            peer = portal.settings.link.certificate
            assert peer is not None
            choices = PortalChoices(portal.settings.portal_id, f"https://{link}", peer)
        limits = ListenerLimits(messages_per_client_per_minute=10_000_000)
        listener = Listener("inside", Side.INSIDE, "127.0.0.1", port, ("127.0.0.0/8",), limits=limits)
        routes = tuple(
            Route(pattern, side, "127.0.0.1", sink, TlsPolicy.NONE)
            for pattern, side in (("bank.example", HopSide.INSIDE), ("*", HopSide.OUTSIDE))
        )
        organisation = replace(
            shipped_organisation("bank.example", "Example Bank"),
            listeners=ListenersDocument((listener,)),
            routes=RoutesDocument(routes),
        )
        if linked:
            organisation = replace(organisation, policy=policy_with_portal(organisation.policy))
        host = HostChoices("gateway.bank.example", portal_url="https://portal.bank.example", portal=choices)
        settings = create_installation(folder / "inside", host, organisation, Actor("operator", "bench"))
        if portal is not None:
            assert settings.portal is not None
            assert settings.portal.link is not None
            pair_relay(portal.settings, settings.portal.link.certificate)
            portal.start()
        with (folder / "log").open("wb") as log:
            serve = subprocess.Popen(
                [sys.executable, "-m", "relay.cli.main", "--config", str(settings.path), "serve"], cwd=ROOT, stderr=log
            )
        try:
            await_port(port)
            process = portal.process.pid if portal is not None and portal.process is not None else None
            yield _Gateway(port, settings.state_dir / "letterlock.db", serve.pid, process)
        finally:
            serve.terminate()
            serve.wait(60)
            if portal is not None:
                portal.stop()
