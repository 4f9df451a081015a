"""Several intake processes on one set of listening sockets.

Does: bind the listeners once, start the processes that accept on them, restart one that dies, gather their health
under `smtpd`, end all when a document changes. Its memory holds no mail.
Must not: accept a connection, write to the database (each process has a chain of events of its own).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from relay.organisation import CurrentOrganisation
from relay.process.health import HealthSocket, ask_health
from relay.process.life import say_ready, stop_on_signals
from relay.process.supervisor import WATCH_SECONDS, ProcessSpec, StartError, Supervisor
from relay.settings import Settings
from relay.smtpd.acceptor import make_board
from relay.smtpd.server import bind_listeners
from relay.wiring import open_database
from relay.wiring.intake import Share, make_smtpd_config, watch_documents

_STOP_SECONDS = 27.0
"""Less than whoever stops us allows, so that nobody is left behind."""


def run_intake_group(settings: Settings) -> int:
    """Run until SIGTERM or a change of documents; return the exit code. Raises ConfigurationError, StorageError."""
    stop = stop_on_signals()
    database = open_database(settings, "smtpd")
    try:
        organisation = CurrentOrganisation(database, settings.host.tenant)
        config = make_smtpd_config(settings, organisation())
        watch_documents(organisation, stop)
        sockets = bind_listeners(config)
        pairs = tuple((one.name, sock.fileno()) for one, sock in zip(config.listeners, sockets, strict=True))
        count = settings.smtpd.processes
        board = make_board(count)
        shares = [Share(slot, pairs, board, count) for slot in range(count)]
        command = (sys.executable, "-m", "relay.cli.main", "--config", str(settings.path), "smtpd")
        supervisor = Supervisor(
            [ProcessSpec(one.process, (*command, *one.to_options()), stop_seconds=_STOP_SECONDS) for one in shares],
            pass_fds=[board, *(number for _, number in pairs)],
            together=True,
        )
        names = [one.process for one in shares]
        health = HealthSocket(
            settings.run_dir, "smtpd", lambda: merge_reports([ask_health(settings.run_dir, name) for name in names])
        )
        try:
            supervisor.start()
            say_ready()
            while not stop.wait(WATCH_SECONDS):
                supervisor.watch()
        except StartError as error:
            # Its own words are on stderr.
            return error.exit_code
        finally:
            # First of all: what is not accepted any more must not be left to wait in the backlog.
            for sock in sockets:
                sock.close()
            supervisor.stop()
            os.close(board)
            stop.set()
            health.close()
    finally:
        database.close()
    return 0


def merge_reports(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add the counters up; of times the latest counts. One that is silent while others take mail is `degraded`."""
    answers = [one for one in reports if "error" not in one]
    merged: dict[str, Any] = {"status": "ok", "processes": len(answers)}
    if any(one.get("status") == "failing" for one in answers) or not answers:
        merged["status"] = "failing"
    elif len(answers) < len(reports):
        merged["status"] = "degraded"
    for one in answers:
        for name, value in one.items():
            if isinstance(value, bool):
                merged[name] = merged.get(name, False) or value
            elif isinstance(value, int):
                merged[name] = max(merged.get(name, 0), value) if name.endswith("_ms") else merged.get(name, 0) + value
    return merged
