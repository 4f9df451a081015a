"""`letterlock queue`: what waits, and what a person can do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor
from relay.core.clock import to_datetime
from relay.core.ids import is_id
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.store.base import Database


def add(nouns: Any) -> None:
    """Add the commands."""
    queue = nouns.add_parser("queue", help="waiting mail: list, show, hold, release, retry, drop")
    verbs = queue.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list waiting copies, oldest first")
    listing.add_argument("--state", choices=[state.value for state in State])
    listing.add_argument("--to", metavar="ADDRESS")
    listing.add_argument("--limit", type=int, default=100)
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="show a message and all its copies")
    show.add_argument("message")
    show.set_defaults(run=run_show)
    for name, text in (
        ("hold", "keep from being sent"),
        ("release", "let go on: what was held or shunted is decided anew"),
        ("retry", "try now"),
        ("drop", "delete without a report to the sender"),
    ):
        parser = verbs.add_parser(name, help=text)
        parser.add_argument("id", nargs="+", help="copy id, or message id for all its copies")
        if name in ("hold", "drop"):
            parser.add_argument("--reason", required=True, help="stands in the log")
        if name == "release":
            parser.add_argument(
                "--as", dest="method", choices=["pdf", "pass"], help="decide it yourself; `pass` sends it in clear"
            )
        parser.set_defaults(run=run_operation, operation=name)


def _when(ms: int) -> str:
    return to_datetime(ms).strftime("%Y-%m-%d %H:%M:%S")


def run_list(options: argparse.Namespace) -> int:
    """List waiting copies."""
    from relay.core.address import normalise_address
    from relay.spool.operations import list_queue

    states = frozenset({State(options.state)}) if options.state else None
    address = normalise_address(options.to) if options.to else None
    with open_inside(options) as (settings, database):
        entries = list_queue(database, settings.host.tenant, states=states, address=address, limit=options.limit)
    for one in entries:
        if options.json:
            line = {
                "copy": one.copy.id,
                "message": one.message.id,
                "state": one.copy.state.value,
                "from": one.message.reverse_path,
                "to": one.copy.forward_path,
                "size": one.message.size,
                "received": one.message.received_at,
                "next": one.copy.next_at,
                "attempts": one.copy.attempts,
                "status": one.copy.last_status,
                "why": one.copy.last_text,
                "working": one.is_leased,
            }
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(
                f"{one.copy.id}  {one.copy.state.value:10}  {_when(one.message.received_at)}  {one.message.size:>10}  "
                f"<{one.message.reverse_path}> -> <{one.copy.forward_path}>\n"
            )
            if one.copy.last_text:
                sys.stdout.write(f"    {one.copy.last_status} {one.copy.last_text}\n")
    if not entries and not options.json:
        sys.stdout.write("Nothing waits.\n")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Show a message with all its copies and their decisions."""
    from relay.spool.operations import show_message
    from relay.store.repositories.decisions import decisions_of

    with open_inside(options) as (settings, database):
        entries = show_message(database, settings.host.tenant, _check_id(options.message))
        with database.reading() as tx:
            decisions = {one.id: one.decision for one in decisions_of(tx, options.message)}
    message = entries[0].message
    sys.stdout.write(
        f"message   {message.id}\n"
        f"received  {_when(message.received_at)} UTC by {message.listener or 'the gateway itself'}"
        f" from {message.client_ip or '-'}\n"
        f"from      <{message.reverse_path}>\n"
        f"size      {message.size} octets\n"
    )
    for one in entries:
        copy = one.copy
        sys.stdout.write(f"\ncopy      {copy.id}\nto        <{copy.forward_path}>\nstate     {copy.state.value}\n")
        decision = decisions.get(copy.decision_id or "")
        if decision is not None:
            sys.stdout.write(f"decision  {decision.method.value} ({decision.reason.value}): {decision.explanation}\n")
            for warning in decision.warnings:
                sys.stdout.write(f"warning   {warning}\n")
        if copy.last_text or copy.last_status:
            sys.stdout.write(f"last      {copy.last_status} {copy.last_text}\n")
        sys.stdout.write(f"tries     {copy.attempts}, next {_when(copy.next_at)} UTC\n")
    return 0


def run_operation(options: argparse.Namespace) -> int:
    """Do one operation on copies, or on all copies of a message."""
    from relay.spool import operations
    from relay.spool.errors import LifecycleError

    actor = terminal_actor()
    calls: dict[str, Callable[[Database, str, Sequence[str], Actor], int]] = {
        "hold": lambda db, tenant, ids, who: operations.hold(db, tenant, ids, who, options.reason),
        "drop": lambda db, tenant, ids, who: operations.drop(db, tenant, ids, who, options.reason),
        "retry": operations.retry,
        "release": lambda db, tenant, ids, who: operations.release(
            db, tenant, ids, who, decision=_own_decision(options.method, who)
        ),
    }
    with open_inside(options) as (settings, database):
        ids = [copy_id for one in options.id for copy_id in _copy_ids(database, settings.host.tenant, one)]
        try:
            count = calls[options.operation](database, settings.host.tenant, ids, actor)
        except LifecycleError as error:
            # No later try would change it, so not the exit code that asks for one.
            raise CommandError(str(error), EX_DATAERR) from error
    sys.stdout.write(f"{options.operation}: {count} {'copy' if count == 1 else 'copies'}\n")
    return 0


def _own_decision(method: str | None, actor: Actor) -> Any:
    from relay.core.decision import Decision, Method, Reason

    if method is None:
        return None
    return Decision(Method(method), Reason.OPERATOR, f"Released as {method} by {actor}.")


def _copy_ids(database: Database, tenant: str, text: str) -> list[str]:
    from relay.spool.operations import show_message
    from relay.store.errors import NotFoundError
    from relay.store.repositories.copies import fetch_copies

    _check_id(text)
    with database.reading() as tx:
        if fetch_copies(tx, [text]):
            return [text]
    try:
        entries = show_message(database, tenant, text)
    except NotFoundError as error:
        raise CommandError(
            f"{text}: there is no such copy or message. See: letterlock queue list", EX_DATAERR
        ) from error
    from relay.core.lifecycle import FINAL

    return [one.copy.id for one in entries if one.copy.state not in FINAL]


def _check_id(text: str) -> str:
    if not is_id(text):
        raise CommandError(f"{text!r} is not an id. Ids have 22 characters; see: letterlock queue list")
    return text
