"""A child of the worker's pool: walks the messages it is sent through the pipeline, one after the other."""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection
from pathlib import Path

from relay.core.errors import LetterlockError
from relay.log import Log, configure_logging
from relay.settings import load_settings

_log = Log("worker-child")


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
                try:
                    pipeline.handle(work)
                    pipe.send("done")
                except LetterlockError as error:
                    # Nothing could be written down: the lease runs out and the message comes again.
                    _log.error("handle-failed", message=work.message.id, error=type(error).__name__)
                    pipe.send("failed")
