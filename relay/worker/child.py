"""A child of the worker's pool: walks the messages it is sent through the pipeline, one after the other."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from relay.core.errors import LetterlockError
from relay.log import Log, configure_logging
from relay.settings import load_settings
from relay.worker.pool import allow_cpu

_log = Log("worker-child")
EX_SOFTWARE = 70
DONE, FAILED = "done", "failed"
"""Answers after each message: its copies stand where they should, or the database took nothing down."""


def run_child(pipe: Connection, settings_path: str, slot: int) -> None:
    """Entry of a pool child. `None` on the pipe, or its end, is the end."""
    from relay.wiring.worker import make_pipeline

    # The parent stops its children in good order; a Ctrl-C at the terminal is not theirs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = load_settings(Path(settings_path))
    configure_logging(f"worker-{slot}", settings.log_level)
    with make_pipeline(settings, slot) as pipeline:
        while True:
            try:
                works = pipe.recv()
            except (EOFError, OSError):
                return
            if works is None:
                return
            for work in works:
                allow_cpu(settings.worker.job_seconds)
                try:
                    pipeline.handle(work)
                    pipe.send(DONE)
                except LetterlockError as error:
                    # Nothing could be written down: the worker gives the message back.
                    _log.error("handle-failed", message=work.message.id, error=type(error).__name__)
                    pipe.send(FAILED)
                except Exception:  # counted as a crash; Python's own report of it could quote the mail
                    _log.exception("handle-crashed", message=work.message.id)
                    os._exit(EX_SOFTWARE)
