"""Word to the inside sender whose mail was shunted, or waits in the worker for hours because of a fault of ours.

The same kind of notice as for held mail, once. It is made here and not where the copy is set aside: whatever kills a
worker cannot keep its sender from being told. Of the mail it knows the envelope alone, so it shows no subject; it goes
to own addresses only, and who that is the stored decision says, else the reverse-path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from relay.actions.mailer import Mailer
from relay.core.address import domain_of
from relay.core.clock import SECOND, to_datetime
from relay.core.documents.domains import Language
from relay.core.documents.organisation import Organisation
from relay.core.ports import Event
from relay.organisation import make_is_own
from relay.spool.asides import AsideCopy, copies_set_aside
from relay.store.base import Database
from relay.store.repositories.events import general_events

SENT = "asides.told"
_MOST = 50
"""Copies named in one notice."""
_TOGETHER = 50
"""Notices queued by one transaction."""
_GRACE_MS = 3 * SECOND
"""What other processes are just committing carries an earlier time: it is told next time, not missed."""


class AsideJob:
    """Tells senders, each once for each copy."""

    def __init__(self, database: Database, organisation: Callable[[], Organisation], mailer: Mailer) -> None:
        self._database = database
        self._organisation = organisation
        self._is_own = make_is_own(organisation)
        self._mailer = mailer

    def run(self) -> str:
        """Look and tell; return a short status. Raises LetterlockError."""
        tenant = self._mailer.tenant
        with self._database.reading() as tx:
            until = tx.now_ms() - _GRACE_MS
            marks = [int(json.loads(one.detail)["until"]) for one in general_events(tx, tenant, (SENT,), limit=20)]
            # After the clock was set back some lie in the future: better told twice than not at all.
            since = next((mark for mark in marks if mark <= until), None)
            # Before the first look there was nobody who told: what is old by then stays as it is.
            found = [] if since is None else copies_set_aside(tx, tenant, since, until)
        by_sender: dict[str, list[AsideCopy]] = {}
        for one in found:
            to = one.sender or (one.reverse_path if self._is_own(one.reverse_path) else "")
            if to:
                by_sender.setdefault(to, []).append(one)
        if since is not None and not by_sender:
            return "told 0"
        mails = [self._mailer.make_notice("aside-notice", to, *self._text(to, own)) for to, own in by_sender.items()]
        for start in range(0, len(mails), _TOGETHER):
            # A fault of hours may concern everybody: other writers get their turn. Cut off here, some are told twice.
            with self._database.transaction() as tx:
                for mail in mails[start : start + _TOGETHER]:
                    self._mailer.send(tx, mail)
        with self._database.transaction() as tx:
            tx.append_event(Event(SENT, self._mailer.actor, tenant, detail={"until": until, "senders": len(mails)}))
        return f"told {len(mails)}"

    def _text(self, to: str, copies: Sequence[AsideCopy]) -> tuple[str, dict[str, str]]:
        """Return the notice's language and its values."""
        organisation = self._organisation()
        own = organisation.domains.find(domain_of(to))
        brand = organisation.brands.find((own or organisation.domains.domains[0]).brand)
        values = {
            "shunted": _list([one for one in copies if one.is_shunted]),
            "waiting": _list([one for one in copies if not one.is_shunted]),
            "recipients": ", ".join(dict.fromkeys(one.forward_path for one in copies[:3]))
            + ", ..." * (len(copies) > 3),
            "organisation": brand.organisation,
        }
        return (own.language if own else Language.ENGLISH).value, values


def _list(copies: Sequence[AsideCopy]) -> str:
    lines = [
        f"    {to_datetime(one.received_at):%Y-%m-%d %H:%M} UTC  {one.forward_path}  {one.message_id}"
        for one in copies[:_MOST]
    ]
    return "\n".join(lines + ["    ..."] * (len(copies) > _MOST))
