"""Is cost flat in the size of the queue? Claim and settle with 100 and with 100,000 waiting mails."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from relay.core.clock import SystemClock
from relay.core.envelope import Envelope, Recipient, SessionInfo, Side
from relay.core.ids import new_id
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.spool.claims import claim_work
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database
from relay.store.migrate import upgrade

_ACTOR = Actor("process", "bench")


def claim_cost(waiting: int, rounds: int = 100, batch: int = 8) -> float:
    """Return milliseconds to claim and settle one message out of so many waiting ones (SQLite)."""
    with tempfile.TemporaryDirectory(prefix="ll-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'queue.db'}"
        upgrade(url)
        database = Database.open(url, SystemClock(), "bench/queue")
        try:
            _fill(database, waiting + rounds * batch)
            began, done = time.perf_counter(), 0
            for _ in range(rounds):
                works = claim_work(database, "bench", batch)
                with database.transaction() as tx:
                    settle_many(
                        tx,
                        [Settlement(c.id, c.fence, State.FAILED) for work in works for c in work.copies],
                        _ACTOR,
                    )
                done += len(works)
            return 1000 * (time.perf_counter() - began) / done
        finally:
            database.close()


def _fill(database: Database, count: int) -> None:
    from relay.core.envelope import BodyType
    from relay.core.ports import WrappedMailKey
    from relay.store.repositories.copies import INSERT_COPY, new_copy_row
    from relay.store.repositories.messages import StoredMessage, insert_messages

    for start in range(0, count, 5000):
        with database.transaction() as tx:
            now = tx.now_ms()
            messages = [
                StoredMessage(
                    id=new_id(), tenant="main", received_at=now, listener="inside", side=Side.INSIDE,
                    client_ip="127.0.0.1", helo="x", tls=None, login=None, reverse_path="a@bank.example",
                    dsn_ret=None, dsn_envid=None, body_type=BodyType.SEVEN_BIT, smtputf8=False, requiretls=False,
                    size=10_000, sha256="0" * 64, origin="client", cause=None, shredded_at=None,
                )
                for _ in range(min(5000, count - start))
            ]  # fmt: skip
            insert_messages(tx, messages, [WrappedMailKey("e1-00000000", 2, bytes(97)) for _ in messages])
            tx.run_many(
                INSERT_COPY, [new_copy_row(m.id, "main", Recipient("p@partner.example"), now) for m in messages]
            )


__all__ = ["Envelope", "SessionInfo", "claim_cost"]
