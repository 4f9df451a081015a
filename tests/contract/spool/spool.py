"""A spool to test with: intake with a real key, and short ways to put mail in and look at it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from relay.core.decision import Decision, Method, Reason
from relay.core.envelope import Envelope, Recipient, SessionInfo, Side
from relay.core.lifecycle import State
from relay.core.ports import Actor, SpoolPublicKey, WrappedMailKey
from relay.core.wire.hpke import SUITE_P256, Opener, generate_private
from relay.core.wire.mailkey import open_mail_key
from relay.spool.claims import claim_work
from relay.spool.content import open_content
from relay.spool.intake import SpoolIntake
from relay.spool.settle import Settlement, settle_many, step
from relay.store.base import Database
from relay.store.repositories.copies import StoredCopy, copies_of
from relay.store.repositories.decisions import insert_decisions
from relay.store.repositories.messages import get_key
from tests.contract.store.databases import SteppedClock, clock, database_url, db

__all__ = ["ACTOR", "MAX_MESSAGE", "TENANT", "Spool", "clock", "database_url", "db", "make_spool", "spool"]

TENANT = "default"
ACTOR = Actor("process", "test/worker")
MAX_MESSAGE = 50_000_000
SESSION = SessionInfo(listener="inside", side=Side.INSIDE, client_ip="192.0.2.7", helo="mail.bank.example")


@dataclass
class Spool:
    db: Database
    clock: SteppedClock
    intake: SpoolIntake
    opener: Opener
    public: SpoolPublicKey

    def put(self, *recipients: str, content: bytes = b"Subject: x\r\n\r\nbody\r\n", sender: str = "") -> str:
        """Take in a mail and return its id."""
        return asyncio.run(self.put_async(*recipients, content=content, sender=sender))

    async def put_async(self, *recipients: str, content: bytes = b"Subject: x\r\n\r\n", sender: str = "") -> str:
        to = tuple(Recipient(address) for address in recipients or ("eva@partner.example",))
        incoming = self.intake.open(SESSION, Envelope(sender or "anna@bank.example", to))
        await incoming.write(content)
        await incoming.commit()
        return incoming.message_id

    def put_many(self, count: int) -> list[str]:
        async def all_at_once() -> list[str]:
            return await asyncio.gather(*(self.put_async(f"p{n}@partner.example") for n in range(count)))

        return asyncio.run(all_at_once())

    def queue(self, *, hop: str = "outside", owner: str = "worker", variant: int = 0) -> list[StoredCopy]:
        """Walk everything due for the worker to the queue and return those copies."""
        moved: list[StoredCopy] = []
        while works := claim_work(self.db, owner, 100):
            with self.db.transaction() as tx:
                for work in works:
                    decision = Decision(Method.PASS, Reason.RULE, "Test.")
                    ids = insert_decisions(tx, TENANT, work.message.id, [(c.id, decision) for c in work.copies])
                    steps = [
                        Settlement(c.id, c.fence, State.DECIDED, decision_id=d)
                        for c, d in zip(work.copies, ids, strict=True)
                    ]
                    step(tx, steps, ACTOR)
                    done = [Settlement(c.id, c.fence, State.QUEUED, variant=variant, hop=hop) for c in work.copies]
                    settle_many(tx, done, ACTOR)
                    moved += work.copies
        return moved

    def key(self, message_id: str) -> bytes:
        with self.db.reading() as tx:
            wrapped: WrappedMailKey = get_key(tx, message_id)
        return open_mail_key(self.opener, message_id, wrapped)

    def content(self, message_id: str, variant: int = 0) -> bytes:
        with open_content(self.db, message_id, variant, self.key(message_id)).open() as stream:
            return stream.read()

    def copies(self, message_id: str) -> list[StoredCopy]:
        with self.db.reading() as tx:
            return copies_of(tx, message_id)

    def copy(self, message_id: str) -> StoredCopy:
        (copy,) = self.copies(message_id)
        return copy

    def count(self, table: str) -> int:
        with self.db.reading() as tx:
            row = tx.fetch_one(f"SELECT count(*) FROM {table}")
        assert row is not None
        return int(row[0])


def make_spool(db: Database, clock: SteppedClock, **options: int) -> Spool:
    private = generate_private(SUITE_P256)
    opener = Opener(SUITE_P256, private)
    public = SpoolPublicKey("epoch-1", SUITE_P256, opener.public_octets())
    intake = SpoolIntake(db, lambda: public, "gw.bank.example", TENANT, MAX_MESSAGE, **options)
    return Spool(db, clock, intake, opener, public)


@pytest.fixture
def spool(db: Database, clock: SteppedClock) -> Iterator[Spool]:
    made = make_spool(db, clock)
    yield made
    made.intake.close()
