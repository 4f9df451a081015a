"""`letterlock portal card requests|approve|refuse`: others agree before the root signs a card, where policy wants it.

The request stands in the database, and whoever gives the last word holds the ceremony. Cut off anywhere, or done by two
at once, it makes one card: the next `approve`, or `publish`, ends what is left (relay.cli.portal_ceremony).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside
from relay.cli.portal_ceremony import (
    ASKED,
    describe_made,
    end_with_card,
    find_made,
    hold_ceremony,
    organisation_name,
    portal_id,
    store_cards,
)

if TYPE_CHECKING:
    from relay.core.ports_mailbox import CardRequest
    from relay.settings import Settings
    from relay.store.base import Database
    from relay.store.repositories.approvals import Approval


def add_requests(verbs: Any) -> None:
    """Add the commands below `letterlock portal card`."""
    requests = verbs.add_parser("requests", help="the card that waits until others have agreed")
    requests.set_defaults(run=run_requests)
    approve = verbs.add_parser("approve", help="agree to a card that somebody else asked for; the last word makes it")
    approve.set_defaults(run=run_approve)
    refuse = verbs.add_parser("refuse", help="refuse it, or take an own request back")
    refuse.set_defaults(run=run_refuse)
    for verb in (approve, refuse):
        verb.add_argument("request", help="its id, as `requests` prints it")


def ask_for_card(database: Database, tenant: str, request: CardRequest, people: int) -> int:
    """Write a request down. Raises CommandError."""
    from relay.cli.mailbox_approvals import approving_actor
    from relay.mailbox.approvals import ask
    from relay.mailbox.renewals import RenewalRefusedError
    from relay.store.repositories.approvals import CARD

    try:
        with database.transaction() as tx:
            detail = {name: getattr(request, name) for name in ASKED}
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
    """Agree; with the last word, or for one whose ceremony broke off, make the card or end what is left."""
    from relay.cli.mailbox_approvals import approving_actor
    from relay.mailbox.approvals import ApprovalRefusedError, approve
    from relay.store.errors import NotFoundError
    from relay.store.repositories.approvals import APPROVED, CARD, get_approval

    with open_inside(options) as (settings, database):
        tenant = settings.host.tenant
        portal_id(settings)
        try:
            with database.transaction() as tx:
                one = get_approval(tx, tenant, options.request)
                if one.kind != CARD:
                    raise CommandError("That is no card: letterlock mailbox approve", EX_DATAERR)
                if one.state != APPROVED:
                    one = approve(tx, tenant, options.request, approving_actor())
                is_late = one.expires_at <= tx.now_ms()
        except NotFoundError as error:
            raise CommandError(f"{options.request}: there is no such request", EX_DATAERR) from error
        except ApprovalRefusedError as error:
            raise CommandError(str(error), EX_DATAERR) from error
        if one.state != APPROVED:
            sys.stdout.write("Noted. More have to agree: letterlock portal card requests\n")
            return 0
        sys.stdout.write(_make_approved(settings, database, one, is_late=is_late))
    return 0


def _make_approved(settings: Settings, database: Database, one: Approval, *, is_late: bool) -> str:
    from relay.cli.mailbox_approvals import approving_actor
    from relay.core.ports_mailbox import CardRequest
    from relay.store.repositories.mailbox_cards import newest_card
    from relay.wiring import open_keystore

    portal = portal_id(settings)
    with database.reading() as tx:
        stored = newest_card(tx, one.tenant)
        organisation = organisation_name(tx, settings)
    with open_keystore(settings, "operator") as keys:
        records = keys.list_cards(portal)
        made = find_made(one, records)
        if made is not None:
            with database.transaction() as tx:
                end_with_card(tx, one, made, approving_actor())
                store_cards(tx, one.tenant, records)
            return describe_made(made)
        if is_late:
            raise CommandError("This request has waited too long. Refuse it and ask for it anew.", EX_DATAERR)
        asked = {name: one.detail[name] for name in ASKED} | {"distrust": tuple(one.detail["distrust"])}
        request = CardRequest(portal=portal, org=organisation, after=stored.serial if stored else 0, **asked)
        return describe_made(hold_ceremony(keys, database, one.tenant, request, approving_actor(), approval=one))


def _is_made(settings: Settings, one: Approval) -> bool:
    from relay.wiring import open_keystore

    with open_keystore(settings, "operator") as keys:
        records = keys.list_cards(portal_id(settings))
    try:
        return find_made(one, records) is not None
    except CommandError:
        return False


def run_refuse(options: argparse.Namespace) -> int:
    """Refuse the request, unless its card is there already."""
    from relay.cli.mailbox_approvals import refuse_one
    from relay.store.repositories.approvals import APPROVED, CARD, list_approvals

    with open_inside(options) as (settings, database):
        with database.reading() as tx:
            agreed = [one for one in list_approvals(tx, settings.host.tenant, APPROVED) if one.kind == CARD]
        for one in agreed:
            if one.id == options.request and _is_made(settings, one):
                raise CommandError(
                    f"Its card is made. To store it: letterlock portal card approve {one.id}", EX_DATAERR
                )
        refuse_one(database, settings.host.tenant, options.request)
    sys.stdout.write("Refused. No card is made.\n")
    return 0
