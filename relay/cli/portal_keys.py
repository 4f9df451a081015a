"""`letterlock portal card`: the key ceremony of the portal's cards (sealed-mailbox 2, 6).

keyd makes root, sign, reply and escrow keys inside the token and hands out cards alone; here they are stored and queued
for the portal. keyd first, database second: what a break between the two leaves is mended by `publish`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_CONFIG, EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor

if TYPE_CHECKING:
    from relay.core.ports import Actor
    from relay.core.ports_mailbox import CardRequest, MailboxKeys
    from relay.core.wire.sealed import Card, CardRecord
    from relay.settings import Settings
    from relay.store.base import Database, Tx

CARD_CREATED = "card.created"
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
    listing.set_defaults(run=run_list)
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
    from relay.store.repositories.mailbox_cards import newest_card
    from relay.wiring import open_keystore

    with open_inside(options) as (settings, database):
        portal = _portal_id(settings)
        with database.reading() as tx:
            stored = newest_card(tx, settings.host.tenant)
            organisation = _organisation_name(tx, settings)
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
            )
            record = hold_ceremony(keys, database, settings.host.tenant, request, terminal_actor())
    card = read_card(record.card)
    sys.stdout.write(
        f"Card {card.serial} is made and goes to the portal. Print of its root: {root_print(card.root)}\n"
        "Back the token up now (letterlock backup): without the escrow key a reset loses old mail.\n"
    )
    return 0


def _wants_escrow(said: bool | None, records: Sequence[CardRecord]) -> bool:
    from relay.core.wire.sealed import read_card

    if said is not None:
        return said
    return not records or read_card(records[-1].card).escrow is not None


def hold_ceremony(keys: MailboxKeys, database: Database, tenant: str, request: CardRequest, actor: Actor) -> CardRecord:
    """Let keyd make a card, store it with all that changed, queue it for the portal, and return it.

    Raises KeyStoreError, MailboxDataError, StorageError.
    """
    from relay.core.ports import Event
    from relay.core.wire.sealed import read_card

    record = keys.create_card(request, actor)
    records = keys.list_cards(request.portal)
    with database.transaction() as tx:
        store_cards(tx, tenant, records)
        detail: dict[str, str | int | bool | list[str] | None] = {
            "serial": read_card(record.card).serial,
            "escrow": request.escrow,
            "distrust": [str(serial) for serial in request.distrust],
            "new_root": request.new_root,
            "drop_roots": request.drop_roots,
        }
        tx.append_event(Event(CARD_CREATED, actor, tenant, detail=detail))
    return record


def store_cards(tx: Tx, tenant: str, records: Sequence[CardRecord], *, push_all: bool = False) -> int:
    """Store cards that are new or have other signatures and queue them for the portal; return how many were queued."""
    from relay.core.wire.sealed import read_card
    from relay.store.repositories.mailbox_cards import list_cards, save_card
    from relay.store.repositories.mailbox_pushes import CARD, add_push

    stored = {card.serial: card.record for card in list_cards(tx, tenant)}
    count = 0
    for record in records:
        serial, text = read_card(record.card).serial, record.encode().decode("ascii")
        if stored.get(serial) != text:
            save_card(tx, tenant, serial, text)
        elif not push_all:
            continue
        add_push(tx, tenant, CARD, ref=str(serial))
        count += 1
    return count


def run_publish(options: argparse.Namespace) -> int:
    """Store and queue all cards that keyd has."""
    from relay.core.ports import Event
    from relay.wiring import open_keystore

    with open_inside(options) as (settings, database):
        with open_keystore(settings, "operator") as keys:
            records = keys.list_cards(_portal_id(settings))
        with database.transaction() as tx:
            count = store_cards(tx, settings.host.tenant, records, push_all=True)
            tx.append_event(Event(CARD_PUBLISHED, terminal_actor(), settings.host.tenant, detail={"count": count}))
    sys.stdout.write(f"{count} cards go to the portal.\n")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """List the stored cards, oldest first."""
    from relay.core.wire.sealed import decode_record, read_card
    from relay.store.repositories.mailbox_cards import list_cards

    with open_inside(options) as (settings, database), database.reading() as tx:
        cards = [read_card(decode_record(row.record.encode()).card) for row in list_cards(tx, settings.host.tenant)]
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


def _describe(card: Card, newest: Card | None) -> dict[str, Any]:
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


def root_print(root: bytes) -> str:
    """Return a root's print for people: the pin R of registration links, in groups of four hexadecimal digits."""
    from relay.core.wire.sealed import root_pin

    digits = root_pin(root).hex()
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))


def _portal_id(settings: Settings) -> str:
    if settings.portal is None or not settings.portal.portal_id:
        raise CommandError(
            "portal.id is missing in the settings. Copy the 22 characters that the portal shows", EX_CONFIG
        )
    return settings.portal.portal_id


def _organisation_name(tx: Tx, settings: Settings) -> str:
    from relay.organisation import load_organisation
    from relay.store.repositories.configuration import active_documents

    organisation = load_organisation(active_documents(tx, settings.host.tenant))
    return organisation.brands.find("default").organisation
