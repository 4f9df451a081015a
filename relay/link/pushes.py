"""Pushing to the portal: rows of `portal_push` in their order, a box's next one after the one before it is done.

The row's lease and the copy's next attempt are stored before anything is sent. When the portal has said 201 or 200, one
transaction settles the copy as delivered, notes the push and queues what is told of it; so a notice exists exactly if
the portal shows the mail. A copy that is held, dropped or decided another way meanwhile is not pushed. A link that is
down closes the gate: what waits is not tried, and the senders are told of the delay and the end by the same reports as
for any next hop (relay design 6, row 26). Obeys sealed-mailbox 7, 11, 15.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from relay.core.approval import PROTECTING
from relay.core.clock import SECOND
from relay.core.errors import KeyStoreError, LeaseLostError, LetterlockError
from relay.core.lifecycle import State
from relay.core.ports import Actor, Event, SpoolPublicKey
from relay.link.client import PortalLink
from relay.link.errors import LinkConflictError, LinkDownError, LinkRefusedError
from relay.link.gate import Gate
from relay.link.marks import Marks
from relay.link.ports import AfterPush, CopyEnd, CopyEndings, Renew
from relay.link.steps import Fate, PushConflictError, Steps
from relay.link.wire import End, MalformedAnswerError
from relay.log import Log
from relay.spool.backoff import next_delay_ms
from relay.spool.claims import clean_stop, extend, give_back, late_portal_copies, lease_portal_copy, release_owner
from relay.spool.settle import Settlement, settle_many
from relay.spool.system_mail import new_system_message
from relay.spool.values import Delivery
from relay.store.base import Database, Tx
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import get_box
from relay.store.repositories.mailbox_messages import drop_message
from relay.store.repositories.mailbox_pushes import PUSH_LEASE_MS, Push

_log = Log("link")
_PULL_FIRST_MS = 2 * SECOND
_LONGEST_DELAY_MS = 600 * SECOND
_LATE_AT_ONCE = 50
_TO_ALERT = (LinkRefusedError, LinkConflictError, PushConflictError, MalformedAnswerError)


@dataclass(frozen=True, slots=True)
class PusherSettings:
    """Sizes and times. Seconds."""

    threads: int = 4
    poll_seconds: float = 1.0
    grace_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class _Claimed:
    push: Push
    delivery: Delivery | None


class Pusher:
    """The pushing half of `letterlock link`. `run_once` and `run` from one thread."""

    def __init__(
        self,
        *,
        database: Database,
        tenant: str,
        actor: Actor,
        steps: Steps,
        make_link: Callable[[], PortalLink],
        gate: Gate,
        endings: CopyEndings,
        after: AfterPush,
        renew: Renew,
        spool_public: Callable[[], SpoolPublicKey],
        marks: Marks,
        settings: PusherSettings | None = None,
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._owner = str(actor)
        self._steps = steps
        self._make_link = make_link
        self._gate = gate
        self._endings = endings
        self._after = after
        self._renewing = renew
        self._spool_public = spool_public
        self._marks = marks
        self._settings = settings or PusherSettings()
        self._local = threading.local()
        self._links: list[PortalLink] = []
        self._lock = threading.Lock()
        self._threads: set[Future[None]] = set()
        self._open: dict[int, _Claimed] = {}
        """What is worked on, by seq."""
        self._is_stopping = False
        self._extended = time.monotonic()
        self._alerted: set[int] = set()
        self.counts = {"pushed": 0, "deferred": 0, "dropped": 0}

    def begin(self, *, host_fell: bool = False) -> None:
        """Free what a former life of this process held. Raises StorageError."""
        release_owner(self._database, self._owner, host_fell=host_fell)
        with self._database.transaction() as tx:
            pushes.release_pushes(tx, self._owner)

    def run(self, stop: threading.Event, wait: Callable[[float], None]) -> None:
        """Push until the event is set; `wait(seconds)` returns early when there is work."""
        with ThreadPoolExecutor(self._settings.threads, "push") as pool:
            while not stop.is_set():
                claimed = self._claim_safely(pool)
                self._keep_leases()
                if not claimed:
                    wait(self._settings.poll_seconds)
            self._finish()

    def run_once(self) -> int:
        """Push all that is due now, in this thread; return how many rows. For tests and tools."""
        done = 0
        while self._gate.is_open and (claimed := self._claim(1)):
            for one in claimed:
                self._work(one)
            done += len(claimed)
        return done

    # --- claiming -----------------------------------------------------------------------------------------------------

    def _claim_safely(self, pool: ThreadPoolExecutor) -> int:
        free = self._settings.threads - len(self._threads)
        if free <= 0 or not self._gate.is_open:
            return 0
        try:
            claimed = self._claim(free)
        except LetterlockError as error:
            _log.error("claim-failed", error=type(error).__name__)
            return 0
        for one in claimed:
            with self._lock:
                future = pool.submit(self._work_on, one)
                self._threads.add(future)
            future.add_done_callback(self._note_end)
        return len(claimed)

    def _work_on(self, first: _Claimed) -> None:
        """Work on one row after the other until nothing is due: a thread, not the loop's pace, is what limits."""
        one: _Claimed | None = first
        while one is not None:
            with self._lock:
                self._open[one.push.seq] = one
            try:
                self._work(one)
            finally:
                with self._lock:
                    del self._open[one.push.seq]
            one = self._claim_next()

    def _claim_next(self) -> _Claimed | None:
        if self._is_stopping or not self._gate.is_open:
            return None
        try:
            return next(iter(self._claim(1)), None)
        except LetterlockError as error:
            _log.error("claim-failed", error=type(error).__name__)
            return None

    def _claim(self, limit: int) -> list[_Claimed]:
        """Return leased rows; what may not be pushed any more is dropped on the way."""
        with self._database.reading() as tx:
            if not pushes.is_push_due(tx, self._tenant):
                return []
        while True:
            with self._database.transaction() as tx:
                found = pushes.claim_pushes(tx, self._tenant, self._owner, limit)
                claimed = [one for push in found if (one := self._lease_copy(tx, push)) is not None]
            if claimed or not found:
                return claimed

    def _lease_copy(self, tx: Tx, push: Push) -> _Claimed | None:
        if push.kind != pushes.MESSAGE or push.copy_id is None:
            return _Claimed(push, None)
        try:
            delivery = lease_portal_copy(tx, self._owner, push.copy_id)
        except LeaseLostError:
            pushes.postpone_push(tx, push, self._owner, next_at=tx.now_ms() + 5 * SECOND, error=pushes.COPY_BUSY)
            return None
        if delivery is None or not _is_approved(delivery):
            self._drop(tx, push)
            return None
        return _Claimed(push, delivery)

    def _drop(self, tx: Tx, push: Push) -> None:
        """The copy goes another way now: its sealed form is destroyed, here and where a part of it may lie already."""
        self.counts["dropped"] += 1
        pushes.finish_push(tx, push, self._owner, state=pushes.DROPPED)
        drop_message(tx, self._tenant, push.box, push.ref)
        if push.attempts:
            get_box(tx, self._tenant, push.box, lock=True)
            pushes.add_push(tx, self._tenant, pushes.DELETE, box=push.box, ref=push.ref)

    def _note_end(self, future: Future[None]) -> None:
        with self._lock:
            self._threads.discard(future)

    # --- one row, in a thread -----------------------------------------------------------------------------------------

    def _work(self, one: _Claimed) -> None:
        try:
            self._work_safely(one)
        except LeaseLostError:
            _log.warning("lease-lost", seq=one.push.seq, kind=one.push.kind)
        except LetterlockError as error:
            # Not even the failure could be written down: the lease runs out and the row is tried again.
            _log.error("push-unsettled", seq=one.push.seq, kind=one.push.kind, error=type(error).__name__)
        except Exception:  # whatever it is delays this box and stops no other
            _log.exception("push-failed", seq=one.push.seq, kind=one.push.kind)

    def _work_safely(self, one: _Claimed) -> None:
        push = one.push
        try:
            with self._marks.writing():
                fate = self._steps.run(self._own_link(), push)
        except LinkDownError as error:
            self._gate.note_down(error)
            self._postpone(one, error, max(1.0, self._gate.seconds_to_wait()) * SECOND)
            return
        except LetterlockError as error:
            delay = min(next_delay_ms(push.attempts + 1), _LONGEST_DELAY_MS)
            # A key daemon that is being started again costs seconds.
            self._postpone(one, error, 5 * SECOND if isinstance(error, KeyStoreError) else delay)
            return
        self._gate.note_up()
        if fate is Fate.PULL_FIRST:
            # The puller polls all the time; it needs no word.
            with self._database.transaction() as tx:
                pushes.postpone_push(
                    tx, push, self._owner, next_at=tx.now_ms() + _PULL_FIRST_MS, error=pushes.PULL_FIRST
                )
            return
        if push.kind == pushes.RENEW:
            self._renew(one)
        else:
            self._finish_row(one, fate)

    def _renew(self, one: _Claimed) -> None:
        push = one.push
        try:
            store = self._renewing(push)
            with self._database.transaction() as tx:
                state = pushes.DROPPED if store is None else pushes.DONE
                if not pushes.finish_push(tx, push, self._owner, state=state):
                    raise LeaseLostError(f"push {push.seq}")
                if store is not None:
                    store(tx)
                elif push.ref != "expire":
                    pushes.add_push(tx, self._tenant, pushes.END, box=push.box, ref=End.THAW.value)
        except LeaseLostError:
            raise
        except LetterlockError as error:
            # The box was moved meanwhile, or keyd is away: anew, from the freeze on.
            self._postpone(one, error, 5 * SECOND)

    def _finish_row(self, one: _Claimed, fate: Fate) -> None:
        push = one.push
        end = CopyEnd(())
        if one.delivery is not None:
            end = self._endings.delivered(one.delivery) if fate is Fate.DONE else _shunt(one.delivery)
        with self._database.transaction() as tx:
            state = pushes.DONE if fate is Fate.DONE else pushes.DROPPED
            if not pushes.finish_push(tx, push, self._owner, state=state):
                raise LeaseLostError(f"push {push.seq}")
            self._settle(tx, one, end)
            if fate is Fate.DONE:
                self._note_done(tx, push)
        if fate is Fate.DONE:
            self.counts["pushed"] += 1
            _log.info("pushed", seq=push.seq, kind=push.kind, attempts=push.attempts + 1)

    def _note_done(self, tx: Tx, push: Push) -> None:
        if push.kind == pushes.MESSAGE:
            self._after.message_pushed(tx, push)
        elif push.kind == pushes.BOX:
            self._after.box_pushed(tx, push)
        elif push.kind == pushes.JOIN:
            self._after.join_pushed(tx, push)

    def _postpone(self, one: _Claimed, error: LetterlockError, delay_ms: float) -> None:
        push = one.push
        self.counts["deferred"] += 1
        _log.warning("push-deferred", seq=push.seq, kind=push.kind, error=type(error).__name__)
        end = CopyEnd(())
        if one.delivery is not None:
            status = error.status if error.temporary else "4.4.0"
            end = self._endings.deferred(one.delivery, status, f"the portal: {type(error).__name__}")
        with self._database.transaction() as tx:
            next_at = tx.now_ms() + int(delay_ms)
            if not pushes.postpone_push(tx, push, self._owner, next_at=next_at, error=type(error).__name__):
                raise LeaseLostError(f"push {push.seq}")
            self._settle(tx, one, end)
            if isinstance(error, _TO_ALERT) and push.seq not in self._alerted:
                self._alerted.add(push.seq)
                detail = {"reason": f"the portal did not take a {push.kind}: {error}", "status": error.status}
                tx.append_event(Event("alert.raised", self._actor, self._tenant, detail=detail))

    def _settle(self, tx: Tx, one: _Claimed, end: CopyEnd) -> None:
        settle_many(tx, list(end.settlements), self._actor)
        for mail in end.mails:
            new_system_message(tx, self._spool_public, self._tenant, mail, self._actor)
        if one.delivery is not None and not end.settlements:
            give_back(tx, one.delivery.copies)

    # --- late copies --------------------------------------------------------------------------------------------------

    def look_after_late(self) -> int:
        """Tell senders of copies that wait too long, and give up those that waited for days; return how many.

        Also while the link is down, when nothing is tried. Raises StorageError.
        """
        with self._database.reading() as tx:
            late = late_portal_copies(tx, self._tenant, _LATE_AT_ONCE)
        told = 0
        for copy_id in late:
            try:
                with self._database.transaction() as tx:
                    delivery = lease_portal_copy(tx, self._owner, copy_id)
                if delivery is None:
                    continue
                end = self._endings.deferred(delivery, "4.4.1", "the portal cannot be reached")
                with self._database.transaction() as tx:
                    self._settle(tx, _Claimed(_NO_PUSH, delivery), end)
                told += 1
            except LeaseLostError:
                continue
        return told

    # --- housekeeping -------------------------------------------------------------------------------------------------

    def _own_link(self) -> PortalLink:
        link: PortalLink | None = getattr(self._local, "link", None)
        if link is None:
            link = self._local.link = self._make_link()
            with self._lock:
                self._links.append(link)
        return link

    def _keep_leases(self) -> None:
        now = time.monotonic()
        if now - self._extended < PUSH_LEASE_MS / 3000:
            return
        self._extended = now
        with self._lock:
            working = list(self._open.values())
        try:
            extend(self._database, self._owner, [c for one in working if one.delivery for c in one.delivery.copies])
            with self._database.transaction() as tx:
                pushes.extend_pushes(tx, self._owner, [one.push.seq for one in working])
        except LetterlockError as error:
            _log.warning("extend-failed", error=type(error).__name__)

    def _finish(self) -> None:
        self._is_stopping = True
        deadline = time.monotonic() + self._settings.grace_seconds
        with self._lock:
            threads = list(self._threads)
        for future in threads:
            # Without the lock: whoever is told of the end takes it.
            future.cancel()
        while self._threads and time.monotonic() < deadline:
            time.sleep(0.02)
        # What still runs is broken off and postponed.
        self.close()
        while self._threads:
            time.sleep(0.02)
        try:
            clean_stop(self._database, self._owner)
            with self._database.transaction() as tx:
                pushes.release_pushes(tx, self._owner)
        except LetterlockError as error:
            _log.warning("clean-stop-failed", error=type(error).__name__)

    def close(self) -> None:
        """Close the connections; calls that wait end."""
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close()


_NO_PUSH = Push(0, "", "", "", "", None)


def _is_approved(delivery: Delivery) -> bool:
    """Tell whether each copy's stored decision wants it protected: nothing else allows it to leave."""
    return all(copy.method in PROTECTING and copy.decision_id for copy in delivery.copies)


def _shunt(delivery: Delivery) -> CopyEnd:
    """Its sealed form went away under it: a person looks, and a release decides anew."""
    text = "its mailbox or its sealed form is gone"
    return CopyEnd([Settlement(c.id, c.fence, State.SHUNTED, status="4.2.1", text=text) for c in delivery.copies])
