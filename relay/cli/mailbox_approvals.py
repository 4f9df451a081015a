"""`letterlock mailbox requests|approve|refuse`: four eyes before a partner's mailbox gets a new first password.

Who is at the terminal is asked of the kernel alone, for anybody sets his environment as he likes: the login uid, which
does not change behind su and sudo, or where the kernel keeps none, whose process it is. Rules: relay.mailbox.approvals.
"""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_DATAERR, EX_USAGE, CommandError
from relay.cli.options import open_inside
from relay.core.clock import to_datetime
from relay.core.ports import Actor

if TYPE_CHECKING:
    from relay.store.base import Database, Tx
    from relay.store.repositories.approvals import Approval

_LOGIN_UID = Path("/proc/self/loginuid")
_NO_LOGIN = 2**32 - 1


def approving_actor() -> Actor:
    """Return who is at the terminal, by the login that the kernel remembers (audit's loginuid), else by the process.

    Never by the environment. Without a login uid whoever is root is one and the same person, and so agrees to nothing
    that root has asked for.
    """
    uid = os.getuid()
    try:
        login = int(_LOGIN_UID.read_text("ascii"))
        uid = login if login != _NO_LOGIN else uid
    except (OSError, ValueError):
        pass  # a kernel without audit
    try:
        return Actor("operator", pwd.getpwuid(uid).pw_name)
    except KeyError:
        return Actor("operator", f"uid-{uid}")


def add_approvals(verbs: Any) -> None:
    """Add the commands below `letterlock mailbox`."""
    requests = verbs.add_parser("requests", help="new passwords that wait until others have agreed")
    requests.set_defaults(run=run_requests)
    approve = verbs.add_parser("approve", help="agree to a new password that somebody else asked for")
    approve.add_argument("--all", action="store_true", help="to all that wait; behind mailbox reset --all")
    approve.set_defaults(run=run_approve)
    refuse = verbs.add_parser("refuse", help="refuse it, or take an own request back; the sender hears of it")
    refuse.set_defaults(run=run_refuse)
    approve.add_argument("request", nargs="?", help="its id, as `requests` prints it")
    refuse.add_argument("request", help="its id, as `requests` prints it")


def run_requests(options: argparse.Namespace) -> int:
    """Print what waits."""
    from relay.store.repositories.approvals import CARD, WAITING, list_approvals

    with open_inside(options) as (settings, database), database.reading() as tx:
        found = [one for one in list_approvals(tx, settings.host.tenant, WAITING) if one.kind != CARD]
        shown = [show_request(tx, one, _partner_of(tx, one)) for one in found]
    sys.stdout.write("".join(shown) or "Nothing waits.\n")
    return 0


def show_request(tx: Tx, one: Approval, about: str) -> str:
    """Return a request as a line."""
    from relay.store.repositories.approvals import votes_of

    given = len(votes_of(tx, one))
    told = f"  for {one.told}" if one.told else ""
    return (
        f"{one.id}  {one.kind:6}  {about}{told}  asked by {one.asked_by}  agreed {given} of {one.needed}"
        f"  until {to_datetime(one.expires_at).strftime('%Y-%m-%d %H:%M')}\n"
    )


def _partner_of(tx: Tx, one: Approval) -> str:
    from relay.store.repositories.mailbox_boxes import get_box
    from relay.store.repositories.partners import get_partner

    return get_partner(tx, one.tenant, get_box(tx, one.tenant, one.box).partner_id).address


def run_approve(options: argparse.Namespace) -> int:
    """Agree to one request, or to all."""
    from relay.mailbox.approvals import ApprovalRefusedError
    from relay.mailbox.renewals import RenewalRefusedError
    from relay.mailbox.states import BoxStateError
    from relay.store.repositories.approvals import CARD, WAITING, list_approvals

    if options.all == bool(options.request):
        raise CommandError("Name one request, or say --all", EX_USAGE)
    with open_inside(options) as (settings, database):
        tenant = settings.host.tenant
        if not options.all:
            sys.stdout.write(_approve_one(database, tenant, options.request))
            return 0
        with database.reading() as tx:
            waiting = [one.id for one in list_approvals(tx, tenant, WAITING) if one.kind != CARD]
        failed = 0
        for request in waiting:
            try:
                sys.stdout.write(f"{request}: {_approve_one(database, tenant, request)}")
            except (CommandError, ApprovalRefusedError, RenewalRefusedError, BoxStateError) as error:
                failed += 1
                sys.stdout.write(f"{request}: {error}\n")
    sys.stdout.write(f"{len(waiting) - failed} agreed to, {failed} not.\n")
    return EX_DATAERR if failed else 0


def _approve_one(database: Database, tenant: str, request: str) -> str:
    from relay.mailbox.approvals import ApprovalRefusedError, approve
    from relay.mailbox.renewals import RenewalRefusedError
    from relay.mailbox.states import BoxStateError
    from relay.store.errors import NotFoundError
    from relay.store.repositories.approvals import CARD, WAITING, get_approval, votes_of

    try:
        with database.transaction() as tx:
            if get_approval(tx, tenant, request).kind == CARD:
                raise CommandError("That is a card: letterlock portal card approve", EX_DATAERR)
            one = approve(tx, tenant, request, approving_actor())
            left = one.needed - len(votes_of(tx, one))
    except NotFoundError as error:
        raise CommandError(f"{request}: no such request; see letterlock mailbox requests", EX_DATAERR) from error
    except (ApprovalRefusedError, RenewalRefusedError, BoxStateError) as error:
        raise CommandError(str(error), EX_DATAERR) from error
    if one.state == WAITING:
        return f"Noted. {left} more has to agree.\n" if left == 1 else f"Noted. {left} more have to agree.\n"
    return f"Ordered. {one.told} gets the new first password by e-mail as soon as the portal has it.\n"


def run_refuse(options: argparse.Namespace) -> int:
    """Refuse one request."""
    with open_inside(options) as (settings, database):
        one = refuse_one(database, settings.host.tenant, options.request)
    sys.stdout.write(f"Refused. {one.told} hears of it by e-mail.\n")
    return 0


def refuse_one(database: Database, tenant: str, request: str) -> Approval:
    """Refuse a request. Raises CommandError."""
    from relay.mailbox.approvals import ApprovalRefusedError, refuse
    from relay.store.errors import NotFoundError

    try:
        with database.transaction() as tx:
            return refuse(tx, tenant, request, approving_actor())
    except NotFoundError as error:
        raise CommandError(f"{request}: there is no such request", EX_DATAERR) from error
    except ApprovalRefusedError as error:
        raise CommandError(str(error), EX_DATAERR) from error
