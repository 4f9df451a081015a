"""The timed look at the portal's pages: every few minutes, by one node at a time, an alert when they differ.

A thread of its own beside the keeper, since a slow public side must not hold up the mark. A side that gives no answer
is told once it stayed away for an hour: it says nothing about the pages, and what cannot be looked at is not watched.
So is a look that failed for any other reason.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.core.clock import HOUR, MINUTE
from relay.core.errors import LeaseLostError, LetterlockError
from relay.core.ports import Actor, Event
from relay.link.pages import Fetch, PagesUnreachableError, Release, compare_pages
from relay.log import Log
from relay.store.base import Database
from relay.store.repositories.jobs import claim_job, ensure_job, finish_job
from relay.store.repositories.mailbox_joins import open_joins
from relay.store.repositories.reply_links import open_reply_links

_log = Log("link")
JOB = "portal-pages"
INTERVAL_MS = 5 * MINUTE
_LEASE_MS = 10 * MINUTE
_LOOK_SECONDS = 10.0
_FIRST_SECONDS = 60.0
_TOLD_AGAIN_MS = 24 * HOUR
_MOST_NAMED = 5


@dataclass(slots=True)
class PageWatch:
    """Looks and alerts. One thread."""

    database: Database
    tenant: str
    actor: Actor
    fetch: Fetch
    read_release: Callable[[], Release]
    _told: tuple[str, ...] = ()
    _told_at: int = 0
    _away_since: int | None = field(default=None)
    _is_away_told: bool = False

    def run(self, stop: threading.Event) -> None:
        """Look until the event is set."""
        # Not at once: a host that has just started may look before its own way out is there.
        look_at = time.monotonic() + _FIRST_SECONDS
        while not stop.is_set():
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + _LOOK_SECONDS
                self.run_due()
            stop.wait(0.5)

    def run_due(self) -> bool:
        """Look if it is due and nobody else does it; return whether it was. Never raises."""
        try:
            with self.database.transaction() as tx:
                ensure_job(tx, self.tenant, JOB, INTERVAL_MS)
                lease = claim_job(tx, str(self.actor), _LEASE_MS, (JOB,))
            if lease is None:
                return False
            status = self.run_once()
            with self.database.transaction() as tx:
                finish_job(tx, lease, status)
        except LeaseLostError:
            _log.warning("pages-overtime")
        except LetterlockError as error:
            _log.warning("pages-failed", error=type(error).__name__)
        except Exception:  # nothing ends the watch
            _log.exception("pages-failed")
        return True

    def run_once(self) -> str:
        """Look once and alert where that is due; return a short status. Raises StorageError."""
        now = self.database.clock.now_ms()
        try:
            found = look(self.database, self.tenant, self.fetch, self.read_release())
        except PagesUnreachableError as error:
            self._note_away(now, str(error))
            return "away"
        except Exception as error:  # whatever the DMZ answers, or is missing here: it was not looked at
            _log.exception("pages-failed")
            self._note_away(now, type(error).__name__)
            return "failed"
        self._away_since, self._is_away_told = None, False
        if found and (tuple(found) != self._told or now - self._told_at >= _TOLD_AGAIN_MS):
            more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
            self._alert(f"the portal's pages are not those of this release: {'; '.join(found[:_MOST_NAMED])}{more}")
            self._told_at = now
        self._told = tuple(found)
        return f"{len(found)} differ" if found else "ok"

    def _note_away(self, now: int, why: str) -> None:
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since >= HOUR and not self._is_away_told:
            self._is_away_told = True
            self._alert(f"the portal's pages cannot be looked at from here for an hour: {why}")

    def _alert(self, reason: str) -> None:
        _log.error("pages-alert")
        with self.database.transaction() as tx:
            tx.append_event(Event("alert.raised", self.actor, self.tenant, detail={"reason": reason}))


def look(database: Database, tenant: str, fetch: Fetch, release: Release) -> list[str]:
    """Compare, with an open link of each kind where there is one. Raises PagesUnreachableError, StorageError."""
    with database.reading() as tx:
        links = open_reply_links(tx, tenant, limit=1)
        joins = next(iter(open_joins(tx, tenant, page=1)), None)
    return compare_pages(fetch, release, reply=links[0].token if links else "", join=joins.id if joins else "")
