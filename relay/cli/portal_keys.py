"""`letterlock portal card`: the key ceremony of the portal's cards (sealed-mailbox 2, 6).

keyd makes root, sign, reply and escrow keys inside the token and hands out cards alone; here they are stored and queued
for the portal. keyd first, database second: what a break between the two leaves is mended by `publish`. Where policy
wants others to agree first: relay.cli.portal_card_requests.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor
from relay.cli.portal_card_requests import add_requests, ask_for_card
from relay.cli.portal_ceremony import (
    describe_made,
    end_fulfilled,
    hold_ceremony,
    organisation_name,
    portal_id,
    store_cards,
)

if TYPE_CHECKING:
    from relay.core.wire.sealed import Card, CardRecord

CARD_PUBLISHED = "card.published"


def add_card(things: Any) -> None:
    """Add the commands below `letterlock portal`."""
    card = things.add_parser("card", help="make, list, rotate, distrust cards")
    verbs = card.add_subparsers(metavar="VERB", required=True)
    new = verbs.add_parser("new", help="the first card: root, sign, reply and escrow key")
    new.set_defaults(run=run_new, distrust=(), new_root=False, drop_roots=False)
    rotate = verbs.add_parser("rotate", help="a card with new keys; replies go to it, the old sign key is destroyed")
    rotate.add_argument("--new-root", action="store_true", help="a new root too; all cards are signed by both")
    rotate.add_argument(
        "--drop-roots", action="store_true", help="destroy the roots before it: boxes that pin one stop"
    )
    rotate.set_defaults(run=run_rotate, distrust=())
    distrust = verbs.add_parser("distrust", help="after a leak: a new card; mail signed under the named ones is marked")
    distrust.add_argument("serial", type=int, nargs="+")
    distrust.set_defaults(run=run_distrust, new_root=False, drop_roots=False)
    for verb in (new, rotate, distrust):
        escrow = "with an escrow key; without one a reset loses old mail. As before if not said, at first with one"
        verb.add_argument("--escrow", action=argparse.BooleanOptionalAction, default=None, help=escrow)
    listing = verbs.add_parser("list", help="list the cards with the prints of their roots")
    listing.add_argument("--json", action="store_true")
    listing.add_argument("--boxes", action="store_true", help="how many mailboxes in use pin each root")
    listing.set_defaults(run=run_list)
    add_requests(verbs)
    publish = verbs.add_parser("publish", help="store keyd's cards and queue them for the portal once more")
    publish.set_defaults(run=run_publish)


def run_new(options: argparse.Namespace) -> int:
    """Make the first card."""
    return _make(options, is_first=True)


def run_rotate(options: argparse.Namespace) -> int:
    """Make the next card."""
    return _make(options, is_first=False)


def run_distrust(options: argparse.Namespace) -> int:
    """Make a card that distrusts others."""
    options.distrust = tuple(options.serial)
    return _make(options, is_first=False)


def _make(options: argparse.Namespace, *, is_first: bool) -> int:
    from relay.core.ports_mailbox import CardRequest
    from relay.core.wire.sealed import read_card
    from relay.mailbox.approvals import read_switches
    from relay.store.repositories.mailbox_cards import newest_card
    from relay.wiring import open_keystore

    with open_inside(options) as (settings, database):
        portal = portal_id(settings)
        with database.reading() as tx:
            stored = newest_card(tx, settings.host.tenant)
            organisation = organisation_name(tx, settings)
            people = read_switches(tx, settings.host.tenant).ceremony_approval.people
        with open_keystore(settings, "operator") as keys:
            records = keys.list_cards(portal)
            if is_first and (stored is not None or records):
                raise CommandError("There is a card. Make the next: letterlock portal card rotate", EX_DATAERR)
            if not is_first and not records:
                raise CommandError("There is no card yet. Make the first: letterlock portal card new", EX_DATAERR)
            request = CardRequest(
                portal=portal,
                org=organisation,
                escrow=_wants_escrow(options.escrow, records),
                distrust=options.distrust,
                new_root=options.new_root,
                drop_roots=options.drop_roots,
                after=stored.serial if stored else 0,
                newest=read_card(records[-1].card).serial if records else 0,
            )
            if people:
                return ask_for_card(database, settings.host.tenant, request, people)
            record = hold_ceremony(keys, database, settings.host.tenant, request, terminal_actor())
    sys.stdout.write(describe_made(record))
    return 0


def _wants_escrow(said: bool | None, records: Sequence[CardRecord]) -> bool:
    from relay.core.wire.sealed import read_card

    if said is not None:
        return said
    return not records or read_card(records[-1].card).escrow is not None


def run_publish(options: argparse.Namespace) -> int:
    """Store and queue all cards that keyd has, and end the requests that they fulfil."""
    from relay.core.ports import Event
    from relay.wiring import open_keystore

    with open_inside(options) as (settings, database):
        with open_keystore(settings, "operator") as keys:
            records = keys.list_cards(portal_id(settings))
        with database.transaction() as tx:
            count = store_cards(tx, settings.host.tenant, records, push_all=True)
            end_fulfilled(tx, settings.host.tenant, records, terminal_actor())
            tx.append_event(Event(CARD_PUBLISHED, terminal_actor(), settings.host.tenant, detail={"count": count}))
    sys.stdout.write(f"{count} cards go to the portal.\n")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """List the stored cards, oldest first."""
    from relay.cli.portal_roots import count_boxes
    from relay.core.wire.sealed import decode_record, read_card
    from relay.store.repositories.mailbox_cards import list_cards

    with open_inside(options) as (settings, database), database.reading() as tx:
        cards = [read_card(decode_record(row.record.encode()).card) for row in list_cards(tx, settings.host.tenant)]
        boxes = count_boxes(tx, settings.host.tenant) if options.boxes else None
    if boxes is not None:
        return _show_boxes(boxes, cards, is_json=options.json)
    newest = cards[-1] if cards else None
    rows = [_describe(card, newest) for card in cards]
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return 0
    for row in rows:
        escrow = "escrow" if row["escrow"] else "no escrow"
        sys.stdout.write(f"{row['serial']:>4}  {row['time']}  {row['state']:<10}  root {row['root']}  {escrow}\n")
    if not rows:
        sys.stdout.write("There is no card yet. Make the first: letterlock portal card new\n")
    return 0


def _show_boxes(boxes: Mapping[str, int], cards: Sequence[Card], *, is_json: bool) -> int:
    from relay.cli.portal_roots import root_print

    newest = root_print(cards[-1].root) if cards else ""
    roots = dict.fromkeys([*(root_print(card.root) for card in cards), *boxes])
    rows = [{"root": root, "boxes": boxes.get(root, 0), "in_use": root == newest} for root in roots]
    if is_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return 0
    for row in rows:
        state = "in use" if row["in_use"] else "old: letterlock mailbox list --old-root"
        sys.stdout.write(f"root {row['root']}  mailboxes {row['boxes']}  {state}\n")
    return 0


def _describe(card: Card, newest: Card | None) -> dict[str, Any]:
    from relay.cli.portal_roots import root_print

    state = "superseded"
    if newest is not None and card.serial == newest.serial:
        state = "in use"
    elif newest is not None and card.serial in newest.distrust:
        state = "distrusted"
    return {
        "serial": card.serial,
        "time": card.time,
        "state": state,
        "root": root_print(card.root),
        "escrow": card.escrow is not None,
        "organisation": card.org,
    }
