"""A spool with queued mail, a key store, and a deliverer over them, on both databases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from relay.core.clock import ManualClock
from relay.core.decision import Decision, Method, Reason
from relay.core.documents.routes import RoutesDocument
from relay.core.envelope import Envelope, Recipient, SessionInfo, Side
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.delivery.attempt import Attempt
from relay.delivery.connections import ConnectionCache
from relay.delivery.deliver import DeliveryRun
from relay.delivery.endings import Ending
from relay.delivery.main import Deliverer, LoopSettings
from relay.delivery.reports import Reports
from relay.delivery.route import MailerTable
from relay.delivery.settler import Settler
from relay.delivery.smtp import SessionOpener
from relay.keystore.software import SoftwareToken
from relay.spool.claims import claim_work
from relay.spool.content import VariantWriter
from relay.spool.intake import SpoolIntake
from relay.spool.settle import Settlement, settle_many
from relay.spool.system_mail import SystemMail
from relay.spool.values import Delivery
from relay.store.base import Database
from relay.store.repositories.copies import StoredCopy, copies_of
from relay.store.repositories.decisions import insert_decisions
from tests.contract.store.databases import clock, database_url, db
from tests.integration.delivery.conftest import SHORT, certificates

__all__ = ["certificates", "clock", "database_url", "db"]

ACTOR = Actor("process", "test/deliver")
DATA = b"From: Anna Keller <anna.keller@bank.example>\r\nSubject: Angebot\r\n\r\nGuten Tag\r\n"
DEFAULT = (Recipient("jonas.weber@partner.example"),)


class NoReports:
    """Notes what would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def make(self, delivery: Delivery, endings: Sequence[Ending]) -> list[SystemMail]:
        self.told += [(e.action.value, e.copy.forward_path) for e in endings if e.action]
        return []


@dataclass
class Bench:
    """Everything a test of the loop needs."""

    database: Database
    clock: ManualClock
    token: SoftwareToken
    intake: SpoolIntake
    reports: NoReports = field(default_factory=NoReports)
    caches: list[ConnectionCache] = field(default_factory=list)
    monotonic: list[float] = field(default_factory=lambda: [0.0])

    def put(
        self,
        *recipients: Recipient,
        data: bytes = DATA,
        method: Method = Method.PASS,
        hop: str = "outside:127.0.0.1:1",
        variant: bytes | None = None,
        kind: str = "pdf",
        **envelope: object,
    ) -> str:
        """Queue one mail as the worker would; return its id."""
        values: dict[str, object] = {"reverse_path": "anna.keller@bank.example", **envelope}
        whole = Envelope(recipients=recipients or DEFAULT, **values)  # type: ignore[arg-type]
        session = SessionInfo("test", Side.INSIDE, "127.0.0.1", "client.bank.example")

        async def take() -> str:
            incoming = self.intake.open(session, whole)
            await incoming.write(data)
            await incoming.commit()
            return incoming.message_id

        message_id = asyncio.run(take())
        # PostgreSQL's own clock, moved by the offset, may stand a few milliseconds behind the one of before.
        self.clock.advance(20)
        (work,) = claim_work(self.database, "test/worker", 1)
        assert work.message.id == message_id
        decision = Decision(method, Reason.RULE, "For the test.")
        number = 0
        key = self.token.open_mail_key(message_id, work.key, _grant(message_id))
        with VariantWriter(self.database, message_id, "main", key, "test/worker") as writer:
            if variant is not None:
                writer.write(variant)
            with self.database.transaction() as tx:
                ids = insert_decisions(tx, "main", message_id, [(copy.id, decision) for copy in work.copies])
                if variant is not None:
                    number = writer.finish(tx, kind, whole.reverse_path)
                decided = [
                    Settlement(c.id, c.fence, State.DECIDED, decision_id=i)
                    for c, i in zip(work.copies, ids, strict=True)
                ]
                settle_many(tx, decided, ACTOR)
        self.clock.advance(20)
        (work,) = claim_work(self.database, "test/worker", 1)
        with self.database.transaction() as tx:
            queued = [Settlement(c.id, c.fence, State.QUEUED, variant=number, hop=hop) for c in work.copies]
            settle_many(tx, queued, ACTOR)
        self.clock.advance(20)
        return message_id

    def copies(self, message_id: str) -> list[StoredCopy]:
        with self.database.reading() as tx:
            return sorted(copies_of(tx, message_id), key=lambda copy: copy.forward_path)

    def states(self, message_id: str) -> list[str]:
        return [copy.state.value for copy in self.copies(message_id)]

    def deliverer(
        self, port: int, *, owner: str = "test/deliver", reports: Reports | None = None, **options: object
    ) -> Deliverer:
        """Make a deliverer whose only hop is a port on loopback."""
        document = {"routes": [{"pattern": "*", "hop": "outside", "host": "127.0.0.1", "port": port, "tls": "none"}]}
        table = MailerTable(RoutesDocument.from_json(document))
        opener = SessionOpener("gate.bank.example", options.pop("timeouts", SHORT))  # type: ignore[arg-type]
        cache = ConnectionCache(opener, monotonic=lambda: self.monotonic[0])
        self.caches.append(cache)
        settings = LoopSettings(threads=4, poll_seconds=0.02, grace_seconds=5.0)
        return Deliverer(
            database=self.database,
            attempt=Attempt(self.database, self.token, DeliveryRun(lambda: table, cache), ACTOR),
            settler=Settler(self.database, reports or self.reports, self.token.spool_public_key, ACTOR),
            connections=cache,
            table=lambda: table,
            owner=owner,
            settings=replace(settings, **options),  # type: ignore[arg-type]
        )


def _grant(message_id: str) -> object:
    from relay.core.ports import Grant

    return Grant("protect", message_id, str(ACTOR))


@pytest.fixture
def bench(db: Database, clock: ManualClock, tmp_path: Path) -> Iterator[Bench]:
    token = SoftwareToken.create(tmp_path / "token", b"pin for the test", clock, pin_memory_kib=64)
    intake = SpoolIntake(db, token.spool_public_key, "gate.bank.example", "main", 1_000_000, reserve=0)
    bench = Bench(db, clock, token, intake)
    yield bench
    intake.close()
    for cache in bench.caches:
        cache.close_all()
    token.close()


@contextmanager
def running(deliverer: Deliverer) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Run a deliverer in a thread; gives a function that waits until something holds."""
    stop = threading.Event()
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()

    def wait_until(holds: Callable[[], bool]) -> None:
        pause = threading.Event()
        for _ in range(1500):
            if holds():
                return
            pause.wait(0.01)
        raise AssertionError("it did not come to pass")

    try:
        yield wait_until
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
