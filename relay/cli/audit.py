"""`letterlock audit verify`: are the logs what was written?"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from relay.cli.exits import EX_DATAERR
from relay.cli.options import open_inside


def add(nouns: Any) -> None:
    """Add the commands."""
    audit = nouns.add_parser("audit", help="the append-only logs")
    verbs = audit.add_subparsers(metavar="VERB", required=True)
    verify = verbs.add_parser("verify", help="check the hash chains of all events and of keyd's log")
    verify.set_defaults(run=run_verify)


def run_verify(options: argparse.Namespace) -> int:
    """Check both logs; 65 when something is wrong."""
    from relay.keystore.audit import list_segments, verify_audit
    from relay.store.repositories.events import chain_heads, verify

    with open_inside(options) as (settings, database):
        findings = [f"{one.chain} {one.seq}: {one.problem}" for one in verify(database)]
        with database.reading() as tx:
            heads = chain_heads(tx)
        directory = settings.state_dir / "keyd-audit"
        if directory.is_dir():
            report = verify_audit(list_segments(directory))
            if report.problem:
                findings.append(f"keyd, after line {report.seq}: {report.problem}")
    for finding in findings:
        sys.stdout.write(finding + "\n")
    if findings:
        sys.stdout.write(f"{len(findings)} findings: the log was changed, or restored from a back-up\n")
        return EX_DATAERR
    sys.stdout.write(f"Good: {sum(seq for _, seq, _ in heads)} events in {len(heads)} chains, and keyd's log.\n")
    return 0
