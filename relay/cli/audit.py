"""`letterlock audit verify`: are the logs what was written?"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from relay.cli.exits import EX_DATAERR
from relay.cli.options import open_inside
from relay.core.clock import to_datetime


def add(nouns: Any) -> None:
    """Add the commands."""
    audit = nouns.add_parser("audit", help="the append-only logs")
    verbs = audit.add_subparsers(metavar="VERB", required=True)
    verify = verbs.add_parser("verify", help="check the hash chains of all events and of keyd's log")
    verify.set_defaults(run=run_verify)
    events = verbs.add_parser("events", help="print the newest events, newest first")
    events.add_argument("--kind", action="append", help="only this kind; repeat for more")
    events.add_argument("--limit", type=int, default=50)
    events.add_argument("--json", action="store_true")
    events.set_defaults(run=run_events)


def run_verify(options: argparse.Namespace) -> int:
    """Check both logs; 65 when something is wrong."""
    from relay.keystore.audit import list_segments, verify_audit
    from relay.scheduler.jobs import KEYD_HEAD
    from relay.store.repositories.events import chain_heads, general_events, verify

    with open_inside(options) as (settings, database):
        findings = [f"{one.chain} {one.seq}: {one.problem}" for one in verify(database)]
        with database.reading() as tx:
            heads = chain_heads(tx)
        directory = settings.state_dir / "keyd-audit"
        if directory.is_dir():
            report = verify_audit(list_segments(directory))
            if report.problem:
                findings.append(f"keyd, after line {report.seq}: {report.problem}")
            with database.reading() as tx:
                noted = general_events(tx, settings.host.tenant, (KEYD_HEAD,), limit=1)
            if noted and report.seq < int(json.loads(noted[0].detail)["seq"]):
                findings.append(f"keyd, after line {report.seq}: the log was longer once; its end is gone")
    for finding in findings:
        sys.stdout.write(finding + "\n")
    if findings:
        sys.stdout.write(f"{len(findings)} findings: the log was changed, or restored from a back-up\n")
        return EX_DATAERR
    sys.stdout.write(f"Good: {sum(seq for _, seq, _ in heads)} events in {len(heads)} chains, and keyd's log.\n")
    return 0


def run_events(options: argparse.Namespace) -> int:
    """Print events of all mails and of none."""
    from relay.store.repositories.events import recent_events

    with open_inside(options) as (settings, database), database.reading() as tx:
        events = recent_events(tx, settings.host.tenant, kinds=tuple(options.kind or ()), limit=options.limit)
    for event in events:
        detail = json.loads(event.detail)
        if options.json:
            line = {"at": event.at, "chain": event.chain, "seq": event.seq, "kind": event.kind, "actor": event.actor}
            sys.stdout.write(json.dumps({**line, "message": event.message_id, **detail}, ensure_ascii=False) + "\n")
        else:
            when = to_datetime(event.at).strftime("%Y-%m-%d %H:%M:%S")
            shown = " ".join(f"{name}={value}" for name, value in detail.items())
            sys.stdout.write(f"{when}  {event.kind:24}  {event.actor}  {event.message_id or '-'}  {shown}\n")
    return 0
