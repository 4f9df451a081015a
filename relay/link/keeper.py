"""What the link does each minute beside pushing and pulling: late copies, ends of first passwords, expiry, hints.

Reports of the portal are unsigned hints (sealed-mailbox 15): they may end a first password or start a person's work,
and nothing else. In a cluster one node does it at a time, by a lease in the database.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Protocol

from relay.core.clock import DAY, HOUR, MINUTE, to_datetime
from relay.core.errors import LeaseLostError, LetterlockError
from relay.core.ports import Actor, Event
from relay.core.wire.sealed import MailboxDataError, parse_time
from relay.link.client import PortalLink
from relay.link.errors import LinkDownError
from relay.link.gate import Gate
from relay.link.wire import Report
from relay.log import Log
from relay.mailbox.boxes import recall_message
from relay.mailbox.incoming_sweep import sweep_entries
from relay.mailbox.locks import note_lock, reopen_locked
from relay.mailbox.renewals import queue_due_expiries, request_expiry
from relay.mailbox.reply_boxes import close_idle_reply_boxes
from relay.mailbox.states import BoxState, BoxStateError
from relay.store.base import Database, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories.jobs import claim_job, ensure_job, finish_job
from relay.store.repositories.mailbox_boxes import REPLY, Box, get_box
from relay.store.repositories.mailbox_entries import note_entry
from relay.store.repositories.mailbox_messages import messages_of_box, messages_to_expire
from relay.store.repositories.mailbox_pushes import forget_pushes
from relay.store.repositories.passwords import get_password

_log = Log("link")
JOB = "portal-keeper"
INTERVAL_MS = MINUTE
_LEASE_MS = 10 * MINUTE
_LOOK_SECONDS = 5.0
MAX_TRIES = 10
"""Wrong tries in all after which a first password ends (sealed-mailbox 11)."""
KEEP_PUSHES_MS = 14 * DAY
_TOLD_SENDERS = 3
_TOLD_OPENINGS = 24
"""Mails a day to a reader about openings in server mode."""
_REPORTS = 100
_REPORT_PAGES = 20


class Hints(Protocol):
    """Who is told of what the portal reports, in the transaction that notes it."""

    def locked(self, tx: Tx, box: Box, senders: frozenset[str]) -> None:
        """A reply page takes no more passwords."""
        ...

    def forgotten(self, tx: Tx, box: Box, senders: frozenset[str]) -> None:
        """Somebody says that a password was forgotten."""
        ...

    def opened_by_server(self, tx: Tx, box: Box, at: int) -> None:
        """The portal's own process opened a mailbox for a visit, at this time in milliseconds."""
        ...


def _read_time(untrusted_time: str, now: int) -> int:
    """Return the time of a hint, or now for one that is none or lies ahead."""
    with contextlib.suppress(MailboxDataError):
        return min(parse_time(untrusted_time), now)
    return now


class Keeper:
    """The minute's work. One thread."""

    def __init__(
        self,
        *,
        database: Database,
        tenant: str,
        actor: Actor,
        make_link: Callable[[], PortalLink],
        gate: Gate,
        hints: Hints,
        look_after_late: Callable[[], int],
        compare: Callable[[PortalLink], None],
        is_mark_due: Callable[[], bool],
        renew_words: Callable[[], int] = lambda: 0,
    ) -> None:
        """`look_after_late`: the pusher's; `compare`, `is_mark_due`: look at the mark (relay.link.reconcile);
        `renew_words`: confirms mailboxes again that lost our word (relay.mailbox.account_words)."""
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._make_link = make_link
        self._gate = gate
        self._hints = hints
        self._look_after_late = look_after_late
        self._compare = compare
        self._is_mark_due = is_mark_due
        self._renew_words = renew_words
        self._hourly_at: dict[str, int] = {}
        """When each of the hour's jobs was done last."""
        self._link: PortalLink | None = None
        self._look_at = 0.0
        self._is_known = False
        self._is_mark_missing = False
        """The portal was away when the mark was due: readers wait for it, so it is tried again each second."""

    def run(self, stop: threading.Event) -> None:
        """Work until the event is set."""
        next_at = 0.0
        while not stop.is_set():
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + 1.0
                if not self.run_due() and (self._is_mark_missing or self._is_mark_due()):
                    self._try_mark()
            stop.wait(0.5)

    def run_due(self) -> bool:
        """Do the minute's work if it is due and nobody else does it; return whether it was. Never raises."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_SECONDS
        try:
            with self._database.transaction() as tx:
                if not self._is_known:
                    ensure_job(tx, self._tenant, JOB, INTERVAL_MS)
                lease = claim_job(tx, str(self._actor), _LEASE_MS, (JOB,))
            self._is_known = True
            if lease is None:
                return False
            status = self.run_once()
            with self._database.transaction() as tx:
                finish_job(tx, lease, status)
        except LeaseLostError:
            _log.warning("keeper-overtime")
        except LetterlockError as error:
            _log.warning("keeper-failed", error=type(error).__name__)
        return True

    def run_once(self) -> str:
        """Do all of it; what fails is logged and done the next time. Return a short status."""
        failed: list[str] = []
        for name, step in (
            ("late", self._keep_late),
            ("expiry", self._keep_expiry),
            ("forget", self._forget),
            ("mark", self._keep_mark),
            ("reports", self._keep_reports),
            ("hourly", self._keep_hourly),
        ):
            try:
                step()
            except LinkDownError as error:
                self._gate.note_down(error)
                failed.append(name)
            except LetterlockError as error:
                _log.warning("keeper-step-failed", step=name, error=type(error).__name__)
                failed.append(name)
            except Exception:  # one broken step must not stop the others
                _log.exception("keeper-step-failed", step=name)
                failed.append(name)
        return "failed: " + " ".join(failed) if failed else "ok"

    def _try_mark(self) -> None:
        try:
            self._keep_mark()
        except LetterlockError as error:
            _log.info("portal-still-away", error=type(error).__name__)

    def close(self) -> None:
        """Close the connection; a call that waits ends."""
        if self._link is not None:
            self._link.close()

    # --- without the portal -------------------------------------------------------------------------------------------

    def _keep_late(self) -> None:
        while self._look_after_late():
            continue

    def _keep_expiry(self) -> None:
        queue_due_expiries(self._database, self._tenant, self._actor)
        with self._database.reading() as tx:
            due = messages_to_expire(tx, self._tenant, tx.now_ms())
        for message in due:
            with self._database.transaction() as tx:
                recall_message(tx, self._tenant, message.box, message.id, self._actor, why="expiry")
        close_idle_reply_boxes(self._database, self._tenant, self._actor)

    def _forget(self) -> None:
        with self._database.transaction() as tx:
            forget_pushes(tx, self._tenant, tx.now_ms() - KEEP_PUSHES_MS)

    def _keep_hourly(self) -> None:
        """Each by itself: a key daemon that is away keeps no disk from being swept. What failed is done next time."""
        now = self._database.clock.now_ms()
        failed: Exception | None = None
        jobs: tuple[tuple[str, Callable[[], object]], ...] = (
            ("sweep", lambda: sweep_entries(self._database, self._tenant)),
            ("reopen", lambda: reopen_locked(self._database, self._tenant, self._actor)),
            ("words", self._renew_words),
        )
        for name, job in jobs:
            if name in self._hourly_at and now - self._hourly_at[name] < HOUR:
                continue
            try:
                job()
                self._hourly_at[name] = now
            except Exception as error:  # it is raised below, and stops no other
                failed = failed or error
        if failed is not None:
            raise failed

    # --- with the portal ----------------------------------------------------------------------------------------------

    def _own_link(self) -> PortalLink:
        if self._link is None:
            self._link = self._make_link()
        return self._link

    def _keep_mark(self) -> None:
        self._is_mark_missing = True
        if self._gate.is_open:
            self._compare(self._own_link())
            self._gate.note_up()
            self._is_mark_missing = False

    def _keep_reports(self) -> None:
        if not self._gate.is_open:
            return
        link = self._own_link()
        # A portal that has no end of hints holds up nothing else.
        for _ in range(_REPORT_PAGES):
            reports = link.get_reports(_REPORTS)
            for report in reports:
                self._apply(report)
            if reports:
                link.ack_reports(max(report.seq for report in reports))
            if len(reports) < _REPORTS:
                return

    def _apply(self, report: Report) -> None:
        """Act on one hint; again is the same."""
        with self._database.transaction() as tx:
            try:
                box = get_box(tx, self._tenant, report.box, lock=True)
            except NotFoundError:
                return
            if report.gen is not None and report.gen != box.gen:
                # About a password that another has replaced: it must not end the new one.
                return
            match report.kind:
                case "wrong" | "locked" if box.kind != REPLY:
                    self._note_tries(tx, box, MAX_TRIES if report.kind == "locked" else report.count)
                case "locked":
                    note_lock(tx, box)
                    self._tell_once_a_day(tx, box, "locked")
                case "forgot":
                    self._tell_once_a_day(tx, box, "forgot")
                case "simple":
                    self._note_server_mode(tx, box, report)

    def _note_tries(self, tx: Tx, box: Box, count: int) -> None:
        if count < MAX_TRIES or box.state != BoxState.FIRST:
            return
        try:
            request_expiry(tx, self._tenant, box.id, self._actor, why="tries")
        except BoxStateError:
            return

    def _tell_once_a_day(self, tx: Tx, box: Box, kind: str) -> None:
        """A hostile portal may invent hints: it wins a notice a day."""
        if box.state == BoxState.CLOSED:
            return
        day = to_datetime(tx.now_ms()).date().isoformat()
        if not note_entry(tx, self._tenant, box.id, f"{kind}/{day}", kind="report", result="taken"):
            return
        senders = self._senders(tx, box)
        if not senders:
            return
        if kind == "locked":
            self._hints.locked(tx, box, senders)
        else:
            self._hints.forgotten(tx, box, senders)

    def _note_server_mode(self, tx: Tx, box: Box, report: Report) -> None:
        """Write down each opening and tell the reader; a portal that invents them wins so many mails a day."""
        seen = f"simple/{report.seq}/{report.time}"
        is_new = note_entry(tx, self._tenant, box.id, seen, kind="report", result="taken")
        if not is_new or box.kind == REPLY or box.state == BoxState.CLOSED:
            return
        tx.append_event(
            Event("mailbox.server-mode", self._actor, self._tenant, detail={"box": box.id, "times": report.count})
        )
        now = tx.now_ms()
        day = to_datetime(now).date().isoformat()
        for number in range(_TOLD_OPENINGS):
            if note_entry(tx, self._tenant, box.id, f"simple/{day}/{number}", kind="report", result="taken"):
                self._hints.opened_by_server(tx, box, _read_time(report.time, now))
                return

    def _senders(self, tx: Tx, box: Box) -> frozenset[str]:
        """Return who wrote to this box lately; of a reply box, whose password it is."""
        if box.kind == REPLY and box.password_id is not None:
            try:
                return frozenset({get_password(tx, self._tenant, box.password_id).sender})
            except NotFoundError:
                return frozenset()
        newest_first = reversed(messages_of_box(tx, self._tenant, box.id))
        senders = dict.fromkeys(message.sender for message in newest_first if message.sender)
        return frozenset(list(senders)[:_TOLD_SENDERS])
