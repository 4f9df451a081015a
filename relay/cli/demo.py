"""`letterlock demo`: the whole product on loopback, with a sample organisation and a page that shows what left."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def add(nouns: Any) -> None:
    """Add the command."""
    demo = nouns.add_parser("demo", help="run everything on this machine with a sample organisation; nothing to set up")
    demo.add_argument("--state", type=Path, default=Path("demo-state"), help="folder for all it keeps (./demo-state)")
    demo.add_argument("--base-port", type=int, default=8025, help="first of eight ports (8025)")
    demo.add_argument("--no-sample", action="store_true", help="do not send the sample mail")
    demo.add_argument("--database", metavar="URL", help="postgresql://user@host/name instead of SQLite (first start)")
    demo.add_argument("--no-portal", action="store_true", help="no portal (said at the first start): PDF for everybody")
    demo.set_defaults(run=_run)


def _run(options: Any) -> int:
    from relay.demo.run import run_demo

    return run_demo(
        options.state,
        options.base_port,
        send_sample=not options.no_sample,
        with_portal=not options.no_portal,
        database_url=options.database,
    )
