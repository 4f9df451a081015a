"""A process that takes in mail, walks it through the queue and is killed at any moment. Run by the crash tests.

usage: crash_child.py URL PRIVATE-KEY-HEX NAME MODE; writes `ACK <message id>` to stdout for each commit that returned.
MODE `load`: many at once, for ever. MODE `few`: 20 mails one after the other, then ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

from relay.core.clock import SystemClock
from relay.core.envelope import Envelope, Recipient, SessionInfo, Side
from relay.core.errors import LetterlockError
from relay.core.lifecycle import State
from relay.core.ports import Actor, SpoolPublicKey
from relay.core.wire.hpke import SUITE_P256, Opener
from relay.spool.claims import claim_delivery, claim_work
from relay.spool.intake import SpoolIntake
from relay.spool.recovery import shred_finished
from relay.spool.settle import Settlement, settle_many, step
from relay.store.base import Database

SESSION = SessionInfo("inside", Side.INSIDE, "192.0.2.7", "mail.bank.example")
ACTOR = Actor("process", "child")


def work(db: Database, owner: str) -> None:
    """Claim, decide, queue, deliver: for ever."""
    while True:
        try:
            for item in claim_work(db, owner, 5):
                with db.transaction() as tx:
                    step(tx, [Settlement(c.id, c.fence, State.DECIDED) for c in item.copies], ACTOR)
                    settle_many(tx, [Settlement(c.id, c.fence, State.QUEUED, hop="out") for c in item.copies], ACTOR)
            for delivery in claim_delivery(db, owner, 5):
                with db.transaction() as tx:
                    settle_many(tx, [Settlement(c.id, c.fence, State.DELIVERED) for c in delivery.copies], ACTOR)
            shred_finished(db, 10)
        except LetterlockError as error:
            print("worker:", type(error).__name__, file=sys.stderr)
        time.sleep(0.002)


async def take_one(intake: SpoolIntake, number: int) -> None:
    """Take in one mail with two recipients; every tenth is a large one."""
    to = (Recipient("eva@partner.example"), Recipient("udo@partner.example"))
    incoming = intake.open(SESSION, Envelope("anna@bank.example", to))
    content = f"Message-ID: <{incoming.message_id}@bank.example>\r\n\r\n".encode()
    content += b"x" * (1_500_000 if number % 10 == 9 else 10_000)
    try:
        for start in range(0, len(content), 65536):
            await incoming.write(content[start : start + 65536])
        await incoming.commit()
    except LetterlockError as error:
        print("intake:", type(error).__name__, file=sys.stderr)
        await incoming.abort()
        await asyncio.sleep(0.05)
        return
    os.write(1, f"ACK {incoming.message_id}\n".encode())


async def load(intake: SpoolIntake) -> None:
    """Take in mail on ten connections for ever."""

    async def session() -> None:
        number = 0
        while True:
            await take_one(intake, number)
            number += 1

    await asyncio.gather(*(session() for _ in range(10)))


async def few(intake: SpoolIntake) -> None:
    """Take in 20 small mails, one after the other."""
    for _ in range(20):
        await take_one(intake, 0)


def main() -> None:
    """Run one mode."""
    url, private, name, mode = sys.argv[1:]
    opener = Opener(SUITE_P256, bytes.fromhex(private))
    public = SpoolPublicKey("epoch-1", SUITE_P256, opener.public_octets())
    db = Database.open(url, SystemClock(), name)
    intake = SpoolIntake(db, lambda: public, "gw.bank.example", "default", 50_000_000)
    if mode == "few":
        asyncio.run(few(intake))
        return
    for number in range(2):
        threading.Thread(target=work, args=(db, f"{name}/{number}"), daemon=True).start()
    asyncio.run(load(intake))


if __name__ == "__main__":
    main()
