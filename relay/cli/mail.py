"""`letterlock trace`: one mail's events in order; `letterlock find`: which mails there were."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside
from relay.core.clock import to_datetime


def add(nouns: Any) -> None:
    """Add the commands."""
    trace = nouns.add_parser("trace", help="what happened to one mail, in order; without id: the newest mails")
    trace.add_argument("message", nargs="?", help="message id, as the 250 reply and the Received line show it")
    trace.add_argument("--address", help="mails from or to this address")
    trace.add_argument("--limit", type=int, default=20)
    trace.add_argument("--json", action="store_true")
    trace.set_defaults(run=run_trace)


def run_trace(options: argparse.Namespace) -> int:
    """Print events of a mail, or the newest mails."""
    return _trace_one(options) if options.message else _list(options)


def _list(options: argparse.Namespace) -> int:
    from relay.core.address import normalise_address
    from relay.store.repositories.copies import copies_of
    from relay.store.repositories.messages import find_messages

    address = normalise_address(options.address) if options.address else None
    with open_inside(options) as (settings, database), database.reading() as tx:
        for one in find_messages(tx, settings.host.tenant, address=address, limit=options.limit):
            when = to_datetime(one.received_at).strftime("%Y-%m-%d %H:%M:%S")
            copies = ", ".join(f"<{copy.forward_path}> {copy.state.value}" for copy in copies_of(tx, one.id))
            sys.stdout.write(f"{one.id}  {when}  {one.origin:6}  <{one.reverse_path}> -> {copies}\n")
    return 0


def _trace_one(options: argparse.Namespace) -> int:
    from relay.store.repositories.copies import copies_of
    from relay.store.repositories.events import events_of

    with open_inside(options) as (_, database), database.reading() as tx:
        events = events_of(tx, options.message)
        addresses = {copy.id: copy.forward_path for copy in copies_of(tx, options.message)}
    if not events:
        raise CommandError(f"{options.message}: nothing is known of such a mail", EX_DATAERR)
    for event in events:
        detail = json.loads(event.detail)
        if options.json:
            line = {"at": event.at, "kind": event.kind, "actor": event.actor, "copy": event.copy_id, **detail}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            continue
        when = to_datetime(event.at).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        whom = f" <{addresses[event.copy_id]}>" if event.copy_id in addresses else ""
        shown = " ".join(f"{name}={_show(value)}" for name, value in detail.items() if value not in (None, "", []))
        sys.stdout.write(f"{when}  {event.kind:22}  {event.actor}{whom}  {shown}\n")
    return 0


def _show(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    # Ids and names stand close together, sentences apart.
    return (" / " if any(" " in str(one) for one in value) else ",").join(map(str, value))
