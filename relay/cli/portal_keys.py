"""`letterlock portal card`: the key ceremony of the portal's cards (sealed-mailbox 2, 6).

keyd makes root, sign, reply and escrow keys inside the token and hands out cards alone; here they are stored and queued
for the portal. keyd first, database second: what a break between the two leaves is mended by `publish`. By policy
others have to agree first: the request stands in the database, and whoever gives the last word holds the ceremony.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_CONFIG, EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor

if TYPE_CHECKING:
    from relay.core.ports import Actor
    from relay.core.ports_mailbox import CardRequest, MailboxKeys
    from relay.core.wire.sealed import Card, CardRecord
    from relay.settings import Settings
    from relay.store.base import Database, Tx

_ASKED = ("escrow", "distrust", "new_root", "drop_roots")
"""What a request says of the card that is to be."""
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
    listing.add_argument("--boxes", action="store_true", help="how many mailboxes in use pin each root")
    listing.set_defaults(run=run_list)
    requests = verbs.add_parser("requests", help="the card that waits until others have agreed")
    requests.set_defaults(run=run_requests)
    approve = verbs.add_parser("approve", help="agree to a card that somebody else asked for; the last word makes it")
    approve.set_defaults(run=run_approve)
    refuse = verbs.add_parser("refuse", help="refuse it, or take an own request back")
    refuse.set_defaults(run=run_refuse)
    for verb in (approve, refuse):
        verb.add_argument("request", help="its id, as `requests` prints it")
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
    from relay.mailbox.approvals import read_switches
    from relay.store.repositories.mailbox_cards import newest_card
    from relay.wiring import open_keystore

    with open_inside(options) as (settings, database):
        portal = _portal_id(settings)
        with database.reading() as tx:
            stored = newest_card(tx, settings.host.tenant)
            organisation = _organisation_name(tx, settings)
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
            )
            if people:
                return _ask(database, settings.host.tenant, request, people)
            record = hold_ceremony(keys, database, settings.host.tenant, request, terminal_actor())
    _say_made(record)
    return 0


def _say_made(record: CardRecord) -> None:
    from relay.cli.portal_roots import root_print
    from relay.core.wire.sealed import read_card

    card = read_card(record.card)
    sys.stdout.write(
        f"Card {card.serial} is made and goes to the portal. Print of its root: {root_print(card.root)}\n"
        "Back the token up now (letterlock backup): without the escrow key a reset loses old mail.\n"
    )


def _ask(database: Database, tenant: str, request: CardRequest, people: int) -> int:
    from relay.cli.mailbox_approvals import approving_actor
    from relay.mailbox.approvals import ask
    from relay.mailbox.renewals import RenewalRefusedError
    from relay.store.repositories.approvals import CARD

    try:
        with database.transaction() as tx:
            # Its number is looked up when it is made.
            detail = {name: getattr(request, name) for name in _ASKED}
            one = ask(tx, tenant, CARD, approving_actor(), people=people, detail=detail)
    except RenewalRefusedError as error:
        raise CommandError(f"{error} See: letterlock portal card requests", EX_DATAERR) from error
    sys.stdout.write(f"It waits until {people} more have agreed: letterlock portal card approve {one.id}\n")
    return 0


def run_requests(options: argparse.Namespace) -> int:
    """Print what waits, with what the card is to be."""
    from relay.cli.mailbox_approvals import show_request
    from relay.store.repositories.approvals import APPROVED, CARD, WAITING, list_approvals

    with open_inside(options) as (settings, database), database.reading() as tx:
        found = [one for one in list_approvals(tx, settings.host.tenant, WAITING, APPROVED) if one.kind == CARD]
        shown = [show_request(tx, one, _describe_request(one.detail)) for one in found]
    sys.stdout.write("".join(shown) or "Nothing waits.\n")
    return 0


def _describe_request(detail: Mapping[str, Any]) -> str:
    words = ["with escrow" if detail["escrow"] else "NO ESCROW"]
    words += ["new root"] if detail["new_root"] else []
    words += ["OLD ROOTS ARE DESTROYED"] if detail["drop_roots"] else []
    words += [f"distrusts {', '.join(map(str, detail['distrust']))}"] if detail["distrust"] else []
    return ", ".join(words)


def run_approve(options: argparse.Namespace) -> int:
    """Agree; with the last word, or for one whose ceremony broke off, make the card."""
    from relay.cli.mailbox_approvals import approving_actor
    from relay.core.ports_mailbox import CardRequest
    from relay.mailbox.approvals import ApprovalRefusedError, approve
    from relay.store.errors import NotFoundError
    from relay.store.repositories.approvals import APPROVED, CARD, DONE, end_approval, get_approval
    from relay.store.repositories.mailbox_cards import newest_card
    from relay.wiring import open_keystore

    with open_inside(options) as (settings, database):
        tenant, portal = settings.host.tenant, _portal_id(settings)
        try:
            with database.transaction() as tx:
                one = get_approval(tx, tenant, options.request)
                if one.kind != CARD:
                    raise CommandError("That is no card: letterlock mailbox approve", EX_DATAERR)
                if one.state != APPROVED or one.expires_at <= tx.now_ms():
                    one = approve(tx, tenant, options.request, approving_actor())
                stored = newest_card(tx, tenant)
                organisation = _organisation_name(tx, settings)
        except NotFoundError as error:
            raise CommandError(f"{options.request}: there is no such request", EX_DATAERR) from error
        except ApprovalRefusedError as error:
            raise CommandError(str(error), EX_DATAERR) from error
        if one.state != APPROVED:
            sys.stdout.write("Noted. More have to agree: letterlock portal card requests\n")
            return 0
        asked = {name: one.detail[name] for name in _ASKED} | {"distrust": tuple(one.detail["distrust"])}
        after = stored.serial if stored else 0
        request = CardRequest(portal=portal, org=organisation, after=after, **asked)
        with open_keystore(settings, "operator") as keys:
            record = hold_ceremony(keys, database, tenant, request, approving_actor())
        with database.transaction() as tx:
            end_approval(tx, one, DONE, str(approving_actor()))
    _say_made(record)
    return 0


def run_refuse(options: argparse.Namespace) -> int:
    """Refuse the request."""
    from relay.cli.mailbox_approvals import refuse_one

    with open_inside(options) as (settings, database):
        refuse_one(database, settings.host.tenant, options.request)
    sys.stdout.write("Refused. No card is made.\n")
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
