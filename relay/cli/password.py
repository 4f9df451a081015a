"""`letterlock password`: the passwords of sender and partner."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor
from relay.core.clock import to_datetime


def add(nouns: Any) -> None:
    """Add the commands."""
    password = nouns.add_parser("password", help="passwords of sender and partner")
    verbs = password.add_subparsers(metavar="VERB", required=True)
    rotate = verbs.add_parser("rotate", help="retire a pair's password: the next mail makes a new one and tells it")
    listing = verbs.add_parser("list", help="list a pair's passwords: versions and times, never the passwords")
    for verb, run in ((rotate, run_rotate), (listing, run_list)):
        verb.add_argument("--sender", required=True, metavar="ADDRESS", help="the inside sender")
        verb.add_argument("--partner", required=True, metavar="ADDRESS", help="the partner outside")
        verb.set_defaults(run=run)
    rotate.add_argument(
        "--leaked", action="store_true", help="somebody else knows it: close the reply pages of its PDFs at once, too"
    )


def run_rotate(options: argparse.Namespace) -> int:
    """Retire the pair's password in use."""
    from relay.core.address import normalise_address
    from relay.mailbox.reply_boxes import close_leaked_reply_boxes
    from relay.store.repositories.partners import find_partner
    from relay.store.repositories.passwords import passwords_of_pair, retire_pair

    sender, address = normalise_address(options.sender), normalise_address(options.partner)
    with open_inside(options) as (settings, database), database.transaction() as tx:
        partner = find_partner(tx, settings.host.tenant, address)
        if partner is None:
            raise CommandError(f"{address}: no mail was ever protected for this partner", EX_DATAERR)
        tenant, actor = settings.host.tenant, terminal_actor()
        count = retire_pair(tx, tenant, sender, partner.id, actor)
        if options.leaked:
            known = [one.id for one in passwords_of_pair(tx, tenant, sender, partner.id)]
            closed = close_leaked_reply_boxes(tx, tenant, known, actor)
            sys.stdout.write(f"Reply pages closed: {closed}\n")
    if not count:
        sys.stdout.write("This pair has no password in use; the next mail makes one.\n")
    else:
        sys.stdout.write(
            "Retired. The next mail makes a new password and tells the sender. Old PDFs keep the old one.\n"
        )
    return 0


def run_list(options: argparse.Namespace) -> int:
    """List versions and times."""
    from relay.core.address import normalise_address
    from relay.store.repositories.partners import find_partner
    from relay.store.repositories.passwords import passwords_of_pair

    sender, address = normalise_address(options.sender), normalise_address(options.partner)
    with open_inside(options) as (settings, database), database.reading() as tx:
        partner = find_partner(tx, settings.host.tenant, address)
        rows = passwords_of_pair(tx, settings.host.tenant, sender, partner.id) if partner else []
    for row in rows:
        state = "retired" if row.retired_at else "in use"
        told = to_datetime(row.told_at).strftime("%Y-%m-%d %H:%M") if row.told_at else "not yet"
        made = to_datetime(row.created_at).strftime("%Y-%m-%d %H:%M")
        sys.stdout.write(f"version {row.version}  {row.kind:7}  made {made}  told {told}  {state}\n")
    if not rows:
        sys.stdout.write("This pair has no password yet.\n")
    return 0
