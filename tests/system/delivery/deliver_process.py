"""A deliver process for the kill test: arguments are database URL, token folder, port of the next hop, owner."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from relay.core.clock import SystemClock
from relay.core.documents.routes import RoutesDocument
from relay.core.ports import Actor
from relay.delivery.attempt import Attempt
from relay.delivery.connections import ConnectionCache
from relay.delivery.deliver import DeliveryRun
from relay.delivery.main import Deliverer, LoopSettings
from relay.delivery.reports import DsnReports
from relay.delivery.route import MailerTable
from relay.delivery.settler import Settler
from relay.delivery.smtp import SessionOpener
from relay.keystore.software import SoftwareToken
from relay.store.base import Database


def main(url: str, token_folder: str, port: str, owner: str) -> None:
    clock, actor = SystemClock(), Actor("process", owner)
    database = Database.open(url, clock, owner)
    token = SoftwareToken.load(Path(token_folder), b"pin for the test", clock)
    document = {"routes": [{"pattern": "*", "hop": "outside", "host": "127.0.0.1", "port": int(port), "tls": "none"}]}
    table = MailerTable(RoutesDocument.from_json(document))
    cache = ConnectionCache(SessionOpener("gate.bank.example"))
    deliverer = Deliverer(
        database=database,
        attempt=Attempt(database, token, DeliveryRun(lambda: table, cache), actor),
        settler=Settler(
            database,
            DsnReports(
                database,
                token,
                "gate.bank.example",
                actor,
                lambda _: f"outside:127.0.0.1:{port}",
                is_own=lambda address: address.endswith("@bank.example"),
            ),
            token.spool_public_key,
            actor,
        ),
        connections=cache,
        table=lambda: table,
        owner=owner,
        settings=LoopSettings(threads=4, poll_seconds=0.05),
    )
    print("ready", flush=True)
    deliverer.run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
