"""Alerts: one mail to the alert address for what was held, shunted or failed since the last one.

A digest and not a mail each, so that a broken hop does not flood an operator. It names ids and addresses, no subjects.
Each own domain has its address for this; what concerns no own domain goes to the first one's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from relay.actions.mailer import Mailer
from relay.core.address import domain_of
from relay.core.clock import MINUTE, SECOND
from relay.core.documents.domains import OwnDomain
from relay.core.documents.organisation import Organisation
from relay.core.ports import Event
from relay.spool.asides import concerned_addresses
from relay.spool.system_mail import SystemMail
from relay.store.base import Database
from relay.store.chain import StoredEvent
from relay.store.repositories.events import append, events_between, general_events

ALERTING = ("copy.held", "copy.shunted", "alert.raised")
SENT = "alert.sent"
_MOST = 50
"""Lines of one digest."""
_READ = 10_000
"""Events of one look. What a flood has beyond them the next digest tells: one domain's takes no other's away."""
QUIET_MS = 5 * MINUTE


class AlertJob:
    """Sends the digest when there is something to tell and the last one is old enough."""

    def __init__(self, database: Database, organisation: Callable[[], Organisation], mailer: Mailer) -> None:
        self._database = database
        self._organisation = organisation
        self._mailer = mailer

    def run(self) -> str:
        """Look and tell; return a short status."""
        now = self._mailer.clock.now_ms()
        with self._database.reading() as tx:
            sent = general_events(tx, self._mailer.tenant, (SENT,), limit=20)
            # After the clock was set back some lie in the future: better told twice than not at all.
            last = next((event for event in sent if event.at <= now), None)
            since = int(json.loads(last.detail)["until"]) if last else 0
            # What other processes are just committing carries an earlier time: it is told next time, not missed.
            until = now - 3 * SECOND
            fresh = events_between(tx, self._mailer.tenant, ALERTING, since_ms=since, until_ms=until, limit=_READ)
        if len(fresh) == _READ:
            # Oldest first; the next look goes on where this one ends, with all of that millisecond.
            until = max(fresh[-1].at, fresh[0].at + 1)
            fresh = [event for event in fresh if event.at < until]
        if not fresh or (last and now - last.at < QUIET_MS):
            return f"waiting {len(fresh)}"
        mails = [self._make(own, events) for own, events in self._by_address(fresh).values()]
        with self._database.transaction() as tx:
            for mail in mails:
                self._mailer.send(tx, mail)
            append(
                tx, Event(SENT, self._mailer.actor, self._mailer.tenant, detail={"until": until, "events": len(fresh)})
            )
        return f"told {len(fresh)}"

    def _by_address(self, events: Sequence[StoredEvent]) -> dict[str, tuple[OwnDomain, list[StoredEvent]]]:
        """Return the events for each alert address, with the domain that it is of."""
        domains = self._organisation().domains
        with self._database.reading() as tx:
            places = concerned_addresses(tx, [event.message_id for event in events if event.message_id])
        found: dict[str, tuple[OwnDomain, list[StoredEvent]]] = {}
        for event in events:
            addresses = places.get(event.message_id or "", ())
            own = next((one for address in addresses if (one := domains.find(domain_of(address)))), domains.domains[0])
            found.setdefault(own.alert_address(), (own, []))[1].append(event)
        return found

    def _make(self, own: OwnDomain, events: Sequence[StoredEvent]) -> SystemMail:
        lines = ["..."] * (len(events) > _MOST) + [self._line(event) for event in events[-_MOST:]]
        values = {"events": "\n".join(lines), "count": str(len(events)), "hostname": self._mailer.hostname}
        return self._mailer.make_notice("alert", own.alert_address(), own.language.value, values)

    @staticmethod
    def _line(event: StoredEvent) -> str:
        when = datetime.fromtimestamp(event.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        detail = json.loads(event.detail)
        why = " ".join(str(detail.get(name, "")) for name in ("status", "text", "reason") if detail.get(name))
        return f"{when}  {event.kind.partition('.')[2]:8}  {event.message_id or '-'}  {why}"
