"""`letterlock portal check --pages` and `letterlock portal skip`: looks at the pages, and lets a stuck push go."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from relay.cli.exits import EX_DATAERR, EX_UNAVAILABLE, CommandError
from relay.cli.options import open_inside, terminal_actor

EX_DIFFERENT = 1
"""The pages are not those of this release."""


def add_skip(things: Any) -> None:
    """Add the command."""
    skip = things.add_parser("skip", help="let a restored portal open without what fails for one mailbox")
    skip.add_argument("box", help="its id, as the alert names it")
    skip.set_defaults(run=run_skip)


def run_pages(options: argparse.Namespace) -> int:
    """Compare the public pages and scripts with this release; 1 when they differ, 69 when they cannot be fetched."""
    from relay.link.page_watch import look
    from relay.link.pages import PagesUnreachableError, open_fetch
    from relay.wiring.link import read_release

    with open_inside(options) as (settings, database):
        if settings.portal is None:
            raise CommandError("There is no portal: letterlock portal pair", EX_UNAVAILABLE)
        try:
            found = look(database, settings.host.tenant, open_fetch(settings.portal.url), read_release())
        except PagesUnreachableError as error:
            raise CommandError(f"the portal's pages cannot be fetched: {error}", EX_UNAVAILABLE) from error
    for words in found:
        sys.stdout.write(f"{words}\n")
    if found:
        sys.stdout.write(
            "The pages are not those of this release. Where nobody is changing the portal's version just now, take\n"
            "its host off the net and see docs/operator/portal.md, stolen host.\n"
        )
        return EX_DIFFERENT
    sys.stdout.write("The pages and scripts are those of this release.\n")
    return 0


def run_skip(options: argparse.Namespace) -> int:
    """Drop what waits for one mailbox and keeps a restored portal shut."""
    from relay.core.ports import Event
    from relay.mailbox.states import BoxState
    from relay.store.errors import NotFoundError
    from relay.store.repositories import mailbox_pushes as pushes
    from relay.store.repositories.mailbox_boxes import get_box

    with open_inside(options) as (settings, database), database.transaction() as tx:
        tenant = settings.host.tenant
        try:
            box = get_box(tx, tenant, options.box, lock=True)
        except NotFoundError as error:
            raise CommandError(f"{options.box}: there is no such mailbox", EX_DATAERR) from error
        kinds = [pushes.BOX, pushes.END, pushes.DELETE]
        count = pushes.drop_pushes(tx, tenant, options.box, kinds, state=pushes.SKIPPED)
        if not count:
            raise CommandError(f"{options.box}: nothing waits that would hold up the portal", EX_DATAERR)
        is_closed = box.state == BoxState.CLOSED
        if is_closed and not pushes.is_waiting(tx, tenant, pushes.LATE_END, box=box.id):
            # Nothing but this ever closes it there; nobody could order it anew.
            pushes.add_push(tx, tenant, pushes.LATE_END, box=box.id, ref="close")
        detail = {"box": options.box, "dropped": count}
        tx.append_event(Event("portal.skipped", terminal_actor(), tenant, detail=detail))
    sys.stdout.write(f"{count} dropped; the portal opens as soon as nothing else holds it up. ")
    if is_closed:
        sys.stdout.write(
            "This mailbox is closed\nhere. Until the portal has taken that, which is tried on, it may open there.\n"
        )
    else:
        sys.stdout.write(
            "For this mailbox it may hold an\n"
            "older password or deleted mail: give it a new password (letterlock mailbox reset) or close it.\n"
        )
    return 0
