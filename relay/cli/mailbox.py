"""`letterlock mailbox`: partners' mailboxes in the portal. Shows states and times, never a password, code or subject.

Resend, reset and expire are orders to the link process, which first pulls what the portal still holds; the new first
password goes to the inside sender by e-mail and is shown to nobody here.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_DATAERR, EX_USAGE, CommandError
from relay.cli.mailbox_approvals import add_approvals, approving_actor
from relay.cli.options import open_inside, terminal_actor
from relay.core.clock import to_datetime

if TYPE_CHECKING:
    from relay.store.base import Tx
    from relay.store.repositories.mailbox_boxes import Box
    from relay.store.repositories.mailbox_messages import BoxMessage

_MOST = 1000
_STATES = ("first", "active", "expired", "closed")


def add(nouns: Any) -> None:
    """Add the commands."""
    mailbox = nouns.add_parser("mailbox", help="partners' mailboxes in the portal")
    verbs = mailbox.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list mailboxes: partner, state, unread and waiting mail")
    listing.add_argument("--state", choices=_STATES, help="only those in this state")
    listing.add_argument("--after", default="", metavar="ID", help="go on behind this mailbox")
    listing.add_argument("--old-root", action="store_true", help="only those that still pin another root than today's")
    listing.set_defaults(run=run_list)
    show = verbs.add_parser("show", help="all about one partner's mailbox: passwords made, messages, what waits")
    show.set_defaults(run=run_show)
    for verb, text in (
        ("resend", "a new first password, because the first one was lost before it was used"),
        ("reset", "a new first password, because the partner's own was lost; all kept mail opens with it"),
    ):
        renew = verbs.add_parser(verb, help=text)
        renew.add_argument("--sender", metavar="ADDRESS", help="the inside sender who gets it and calls the partner")
        renew.set_defaults(run=run_renew, cause=verb)
        renew.add_argument("address", nargs="?" if verb == "reset" else None, help="the partner")
        if verb == "reset":
            renew.add_argument("--all", action="store_true", help="every mailbox in use: the root has leaked")
            renew.add_argument("--yes", action="store_true", help="do not ask")
    revoke = verbs.add_parser("revoke", help="take a message out of the mailbox")
    revoke.set_defaults(run=run_revoke)
    close = verbs.add_parser("close", help="close the mailbox for ever and destroy what is in it")
    close.add_argument("--yes", action="store_true", help="do not ask")
    close.set_defaults(run=run_close)
    expire = verbs.add_parser("expire", help="end an unused first password now")
    expire.set_defaults(run=run_expire)
    add_approvals(verbs)
    change = verbs.add_parser("must-change", help="no mail before the partner has chosen a new password; after a theft")
    change.add_argument("address", nargs="?", help="the partner")
    change.add_argument("--all", action="store_true", help="every mailbox in use")
    change.set_defaults(run=run_must_change)
    unlock = verbs.add_parser(
        "unlock", help="open the reply pages of a partner's PDFs again after too many wrong tries"
    )
    unlock.set_defaults(run=run_unlock)
    for verb in (show, revoke, close, expire, unlock):
        verb.add_argument("address", help="the partner")
    revoke.add_argument("message", help="the message's id, as `show` prints it")


def run_list(options: argparse.Namespace) -> int:
    """Print mailboxes."""
    from relay.cli.portal_roots import read_pins
    from relay.store.repositories.mailbox_boxes import MAILBOX, list_boxes
    from relay.store.repositories.mailbox_messages import MAIL, messages_of_box
    from relay.store.repositories.partners import get_partner

    count = 0
    with open_inside(options) as (settings, database), database.reading() as tx:
        tenant = settings.host.tenant
        found = list_boxes(tx, tenant, kind=MAILBOX, state=options.state, after=options.after, limit=_MOST)
        pins = read_pins(tx, tenant) if options.old_root else None
        for box in found:
            pinned = "" if pins is None else pins.root_of(tx, box)
            if pins is not None and pinned in ("", pins.newest):
                continue
            mails = [one for one in messages_of_box(tx, tenant, box.id, is_kept=True) if one.kind == MAIL]
            unread = sum(one.read_at is None for one in mails)
            waiting = sum(one.pushed_at is None for one in mails)
            address = get_partner(tx, tenant, box.partner_id).address
            shown = f"{address}  {box.state:7}  messages {len(mails)}  unread {unread}"
            shown += f"  waiting {waiting}" if waiting else ""
            sys.stdout.write(f"{shown}  root {pinned}\n" if pinned else f"{shown}\n")
            count += 1
    if not count:
        sys.stdout.write("There is no such mailbox.\n")
    if len(found) == _MOST:
        sys.stdout.write(f"more: letterlock mailbox list --after {found[-1].id}\n")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print one partner's mailbox."""
    from relay.store.repositories.mailbox_generations import generations_of
    from relay.store.repositories.mailbox_messages import MAIL, messages_of_box
    from relay.store.repositories.mailbox_pushes import waiting_pushes

    with open_inside(options) as (settings, database), database.reading() as tx:
        tenant = settings.host.tenant
        box = _find(tx, tenant, options.address)
        kept = generations_of(tx, tenant, box.id)
        mails = [one for one in messages_of_box(tx, tenant, box.id) if one.kind == MAIL]
        waiting = waiting_pushes(tx, tenant, box_id=box.id)
    write = sys.stdout.write
    write(
        f"mailbox    {box.id}\nuser name  {box.login_name}\nstate      {box.state}\n"
        f"made       {_time(box.created_at)}\n"
    )
    if box.first_expires_at is not None:
        code = ", with a code by e-mail" if box.code_needed else ""
        write(f"first      told to {box.first_sender}, valid until {_time(box.first_expires_at)}{code}\n")
    write(f"opened     {_time(box.opened_at)}\n")
    for one in kept:
        by = "the gateway" if one.made_by == "relay" else "the partner"
        escrow = f"escrow card {one.escrow_card}" if one.escrow_card else "no escrow"
        ended = "  ended" if one.expired_at else ""
        write(f"password {one.gen}  {_time(one.made_at)}  by {by} ({one.cause})  {escrow}{ended}\n")
    for mail in mails:
        write(f"{mail.no:5}  {mail.id}  {_time(mail.created_at)}  from {mail.sender}  {_state(mail)}\n")
    for push in waiting:
        error = f"  {push.last_error}" if push.last_error else ""
        write(f"waiting for the portal: {push.kind} {push.ref}  tries {push.attempts}{error}\n")
    return 0


def run_renew(options: argparse.Namespace) -> int:
    """Order a new first password."""
    from relay.core.address import normalise_address
    from relay.mailbox.approvals import order_renewal, read_switches
    from relay.mailbox.renewals import RenewalRefusedError
    from relay.mailbox.states import BoxStateError
    from relay.store.repositories.mailbox_messages import senders_of_box

    if options.cause == "reset" and options.all == bool(options.address):
        raise CommandError("Name one partner, or say --all", EX_USAGE)
    if not options.address:
        return _reset_all(options)
    with open_inside(options) as (settings, database), database.transaction() as tx:
        tenant = settings.host.tenant
        box = _find(tx, tenant, options.address)
        senders = sorted(senders_of_box(tx, tenant, box.id, is_kept=False))
        if options.sender is not None:
            told = normalise_address(options.sender)
        elif len(senders) == 1:
            told = senders[0]
        else:
            raise CommandError(f"Say who is told, with --sender: {', '.join(senders)}", EX_DATAERR)
        try:
            people = read_switches(tx, tenant).reset_approval.people
            actor = approving_actor() if people else terminal_actor()
            waits = order_renewal(tx, tenant, box.id, options.cause, actor, told=told, people=people)
        except (BoxStateError, RenewalRefusedError) as error:
            raise CommandError(str(error), EX_DATAERR) from error
    if waits is not None:
        sys.stdout.write(f"It waits until {people} more have agreed: letterlock mailbox approve {waits.id}\n")
        return 0
    sys.stdout.write(f"Ordered. {told} gets the new first password by e-mail as soon as the portal has it.\n")
    return 0


def _reset_all(options: argparse.Namespace) -> int:
    """Order a reset of every mailbox in use, for the sender who wrote to it last; each on its own."""
    from relay.mailbox.approvals import order_renewal, read_switches
    from relay.mailbox.renewals import RenewalRefusedError
    from relay.mailbox.states import BoxStateError
    from relay.store.repositories.mailbox_boxes import MAILBOX, list_boxes
    from relay.store.repositories.mailbox_messages import last_sender

    question = "Reset EVERY mailbox in use? All partners lose their passwords, and their senders have to phone."
    if not options.yes and not _confirm(question):
        sys.stdout.write("Nothing was done.\n")
        return 0
    count = left = 0
    with open_inside(options) as (settings, database):
        tenant = settings.host.tenant
        for state in ("first", "active"):
            after = ""
            while True:
                with database.reading() as tx:
                    people = read_switches(tx, tenant).reset_approval.people
                    found = list_boxes(tx, tenant, kind=MAILBOX, state=state, after=after, limit=_MOST)
                for box in found:
                    after = box.id
                    try:
                        with database.transaction() as tx:
                            told = last_sender(tx, tenant, box.id) or ""
                            order_renewal(
                                tx,
                                tenant,
                                box.id,
                                options.cause,
                                approving_actor() if people else terminal_actor(),
                                told=told,
                                people=people,
                                is_urgent=True,
                            )
                        count += 1
                    except (BoxStateError, RenewalRefusedError) as error:
                        # Its reader may close one meanwhile: the others get theirs all the same.
                        left += 1
                        sys.stdout.write(f"{box.login_name}: {error}\n")
                if len(found) < _MOST:
                    break
    agree = f" once {people} more have agreed: letterlock mailbox approve --all" if people else ""
    sys.stdout.write(f"{count} resets ordered{agree}; {left} left as they are. Expired mailboxes need none.\n")
    return EX_DATAERR if left else 0


def run_revoke(options: argparse.Namespace) -> int:
    """Take one message back."""
    from relay.mailbox.boxes import recall_message
    from relay.store.errors import NotFoundError
    from relay.store.repositories.mailbox_messages import get_box_message

    with open_inside(options) as (settings, database), database.transaction() as tx:
        tenant = settings.host.tenant
        box = _find(tx, tenant, options.address)
        try:
            message = get_box_message(tx, tenant, box.id, options.message)
        except NotFoundError as error:
            raise CommandError(
                f"{options.message}: not in this mailbox; see letterlock mailbox show {options.address}", EX_DATAERR
            ) from error
        if not recall_message(tx, tenant, box.id, message.id, terminal_actor(), why="recall"):
            raise CommandError("That message is gone already.", EX_DATAERR)
    read = f" It was read on {_time(message.read_at)}." if message.read_at else ""
    sys.stdout.write(f"Taken back; the portal drops it as soon as it is reached.{read}\n")
    return 0


def run_close(options: argparse.Namespace) -> int:
    """Close the mailbox for ever."""
    from relay.mailbox.boxes import close_box
    from relay.store.repositories.mailbox_boxes import get_box

    if not options.yes and not _confirm(f"Close the mailbox of {options.address} and destroy all mail in it?"):
        sys.stdout.write("Nothing was done.\n")
        return 0
    with open_inside(options) as (settings, database), database.transaction() as tx:
        box = _find(tx, settings.host.tenant, options.address)
        close_box(tx, get_box(tx, settings.host.tenant, box.id, lock=True), terminal_actor())
    sys.stdout.write("Closed. The next mail to this partner makes a new mailbox with a new first password.\n")
    return 0


def run_expire(options: argparse.Namespace) -> int:
    """Order the end of a first password."""
    from relay.mailbox.renewals import request_expiry
    from relay.mailbox.states import BoxStateError

    with open_inside(options) as (settings, database), database.transaction() as tx:
        box = _find(tx, settings.host.tenant, options.address)
        try:
            request_expiry(tx, settings.host.tenant, box.id, terminal_actor(), why="operator")
        except BoxStateError as error:
            raise CommandError(str(error), EX_DATAERR) from error
    sys.stdout.write("Ordered. The first password opens nothing any more as soon as the portal is reached.\n")
    return 0


def run_unlock(options: argparse.Namespace) -> int:
    """Open the reply pages of a partner's PDFs again."""
    from relay.core.address import normalise_address
    from relay.mailbox.locks import reopen
    from relay.store.repositories.mailbox_boxes import boxes_of_partner
    from relay.store.repositories.partners import find_partner

    address = normalise_address(options.address)
    with open_inside(options) as (settings, database), database.transaction() as tx:
        tenant = settings.host.tenant
        partner = find_partner(tx, tenant, address)
        found = boxes_of_partner(tx, tenant, partner.id) if partner is not None else []
        count = sum(reopen(tx, tenant, box.id, terminal_actor()) for box in found)
    if not count:
        raise CommandError(f"{address}: no PDF of ours has a reply page", EX_DATAERR)
    sys.stdout.write(f"{count} reply pages take passwords again as soon as the portal is reached.\n")
    return 0


def run_must_change(options: argparse.Namespace) -> int:
    """Demand a new password of one partner or of all."""
    from relay.mailbox.boxes import demand_change
    from relay.store.repositories.mailbox_boxes import MAILBOX, get_box, list_boxes

    if options.all == bool(options.address):
        raise CommandError("Name one partner, or say --all", EX_USAGE)
    count, after = 0, ""
    with open_inside(options) as (settings, database):
        tenant = settings.host.tenant
        while True:
            with database.transaction() as tx:
                if options.address:
                    found = [_find(tx, tenant, options.address)]
                else:
                    found = list_boxes(tx, tenant, kind=MAILBOX, state="active", after=after, limit=_MOST)
                for box in found:
                    count += demand_change(tx, get_box(tx, tenant, box.id, lock=True), terminal_actor())
            if options.address or len(found) < _MOST:
                break
            after = found[-1].id
    sys.stdout.write(f"{count} mailboxes ask for a new password as soon as the portal is reached.\n")
    return 0


def _find(tx: Tx, tenant: str, untrusted_address: str) -> Box:
    """Return the partner's open mailbox. Raises CommandError."""
    from relay.core.address import normalise_address
    from relay.store.repositories.mailbox_boxes import find_open_mailbox
    from relay.store.repositories.partners import find_partner

    address = normalise_address(untrusted_address)
    partner = find_partner(tx, tenant, address)
    box = find_open_mailbox(tx, tenant, partner.id) if partner is not None else None
    if box is None:
        raise CommandError(f"{address}: has no open mailbox; see letterlock mailbox list", EX_DATAERR)
    return box


def _confirm(question: str) -> bool:
    sys.stdout.write(f"{question} [yes/no] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "yes"


def _state(mail: BoxMessage) -> str:
    if mail.deleted_at is not None:
        return f"removed {_time(mail.deleted_at)}"
    if mail.read_at is not None:
        return f"read {_time(mail.read_at)}"
    return f"in the portal, kept until {_time(mail.expires_at)}" if mail.pushed_at else "waits for the portal"


def _time(at_ms: int | None) -> str:
    return "not yet" if at_ms is None else to_datetime(at_ms).strftime("%Y-%m-%d %H:%M")
