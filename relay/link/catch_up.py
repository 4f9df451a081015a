"""Rekeys that an older database of ours has lost are taken before what was signed under them (sealed-mailbox 15, 16).

A relay restored from an older copy gets items of a generation that it never heard of: the rekey before them was
acknowledged in its other life. The portal keeps rekeys for 90 days; they are verified like any that is pulled. Entries
of a box come by seq, so all that lay before this one was taken; what lies behind it is left for its turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.wire.sealed import MailboxDataError
from relay.link.client import PortalLink
from relay.link.errors import LinkUnknownError
from relay.link.pulls import Taker
from relay.log import Log
from relay.mailbox.incoming_values import Entry, ItemEntry, RekeyEntry
from relay.store.base import Database
from relay.store.errors import NotFoundError
from relay.store.repositories.mailbox_boxes import get_box

_log = Log("link")


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Looks before each entry whether its generation is known. Safe for one thread a link."""

    database: Database
    tenant: str
    incoming: Taker

    def prepare(self, link: PortalLink, entry: Entry) -> None:
        """Take the rekeys up to the generation that an entry was made under. Raises temporary errors: then it waits."""
        if not isinstance(entry, ItemEntry | RekeyEntry):
            return
        wanted = entry.gen if isinstance(entry, ItemEntry) else entry.gen - 1
        try:
            with self.database.reading() as tx:
                known = get_box(tx, self.tenant, entry.box).gen
            if wanted <= known:
                return
            held = link.get_box(entry.box, known)
        except (NotFoundError, LinkUnknownError):
            return
        _log.warning("catching-up", known=known, wanted=wanted)
        for rekey in sorted(held.rekeys, key=lambda one: one.gen):
            if known < rekey.gen <= wanted:
                self.incoming.take(rekey, _no_chunks)


def _no_chunks(i: int, n: int) -> bytes:
    raise MailboxDataError("size", f"a rekey has no chunk {i}/{n}")
