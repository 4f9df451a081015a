"""After a restore of either side: walk the inventory of the portal, queue what is missing there, fetch what is here.

The relay is the source of truth (sealed-mailbox 15): newest capsules, kept messages, cards and tokens are pushed again,
what was deleted is deleted again. What the portal holds and the relay never heard of is left alone and told to an
operator: our own database may be the older one, and then its rekeys are caught up with. Only when the last of it is
done the portal hears that it may open: so a restored one opens to no void password. May be broken off and begun anew
at any point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from relay.core.ports import Actor, Event
from relay.core.wire.sealed import MailboxDataError
from relay.link.barrier import Barrier
from relay.link.client import PortalLink
from relay.link.errors import LinkUnknownError
from relay.link.marks import Marks
from relay.link.pulls import Taker
from relay.link.wire import HeldBox, InventoryPage, Mark
from relay.log import Log
from relay.mailbox.reply_boxes import hash_token
from relay.mailbox.states import BoxState
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box, get_box, list_boxes
from relay.store.repositories.mailbox_cards import list_cards
from relay.store.repositories.mailbox_generations import Generation, generations_of
from relay.store.repositories.mailbox_joins import open_joins
from relay.store.repositories.mailbox_messages import (
    TICKET,
    BoxMessage,
    messages_of_box,
    messages_of_copies,
)
from relay.store.repositories.reply_links import ReplyLink, open_reply_links

_log = Log("link")
_PAGE = 100
_PAGES_A_TURN = 50
"""So many pages are compared before the minute's other work has its turn."""
_MOST_ODD = 10_000
"""Boxes that are not ours or were named before; a portal that goes on naming such is not listened to any longer."""


@dataclass(slots=True)
class _Walk:
    """Where a comparison stands."""

    barrier: Barrier
    """What must be done there before it may open."""
    began_at: int
    """When the first of the comparisons began that were needed for this opening."""
    after: str = ""
    asked_at: int = 0
    """When the page was asked for: what was pushed since need not be on it."""
    queued: int = 0
    strangers: int = 0
    odd: int = 0
    """Boxes that are not ours, or were named before."""
    is_over: bool = False
    is_endless: bool = False
    """The inventory had no end: what it did not name is pushed again."""
    held: int | None = None
    """The mark that the portal held when this began; it gets none before the end."""
    seen: set[str] = field(default_factory=set)
    """Boxes that the portal named. Compared by set and not by order: two databases may sort ids differently."""


class Reconciler:
    """Compares marks and, where they do not fit, both sides. One thread; `marks` is safe for all."""

    def __init__(self, database: Database, tenant: str, actor: Actor, incoming: Taker) -> None:
        self.marks = Marks(database, tenant)
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._incoming = incoming
        self._walk: _Walk | None = None

    @property
    def is_due(self) -> bool:
        """Tell whether `compare` has something to do before its time."""
        return self._walk is not None or self.marks.is_due

    def compare(self, link: PortalLink) -> None:
        """Look at the mark; reconcile where it does not fit; give the next one. Raises LinkError, StorageError."""
        mark = link.get_mark()
        self.marks.sent_days = mark.sent_days
        if self._walk is None and self.marks.is_restored(mark.number):
            _log.warning("reconcile-begun", held=mark.number)
            self._begin(mark.number)
        elif self._walk is not None and mark.number != self._walk.held:
            # Restored once more since: what was compared was another state.
            self._begin(mark.number)
        if self._walk is not None and not self._go_on(link, self._walk):
            return
        self._give(link, mark)

    def _begin(self, held: int | None) -> None:
        # From here on trouble is news again.
        self.marks.note_reconciled()
        before = self._walk
        barrier = before.barrier if before else Barrier(self._database, self._tenant, self._actor, self._newest_given)
        barrier.begin_pass()
        with self._database.reading() as tx:
            began_at = before.began_at if before else tx.now_ms()
        self._walk = _Walk(barrier, began_at, held=held, queued=before.queued if before else 0)

    def _go_on(self, link: PortalLink, walk: _Walk) -> bool:
        """Walk on; return whether all that must be done before it opens is done.

        Some pages at a time: an inventory without an end holds up nothing else, and ends when it names too many boxes
        that are not ours. Where the link broke meanwhile it begins anew at its end.
        """
        for _ in range(_PAGES_A_TURN):
            if walk.is_over:
                break
            with self._database.reading() as tx:
                walk.asked_at = tx.now_ms()
            page = link.get_inventory(walk.after, _PAGE)
            self._compare_page(link, walk, page)
        if not walk.is_over:
            return False
        is_held_up = walk.barrier.is_holding(link)
        if self.marks.has_failed:
            # Whether what was compared and pushed meanwhile lies there is not known: once more. But not before the end:
            # with many mailboxes and one push without an answer no comparison would ever get there.
            self._begin(walk.held)
            return False
        if is_held_up:
            return False
        self._note_end(walk)
        self._walk = None
        return True

    def _give(self, link: PortalLink, mark: Mark) -> None:
        self.marks.give(link, mark.number, is_reconciled=True)

    def _note_end(self, walk: _Walk) -> None:
        detail: dict[str, EventDetail] = {"queued": walk.queued, "unknown": walk.strangers}
        _log.warning("reconcile-ended", queued=walk.queued, unknown=walk.strangers)
        with self._database.transaction() as tx:
            tx.append_event(Event("portal.reconciled", self._actor, self._tenant, detail=detail))
            reason = f"the portal was restored or out of step: {walk.queued} things were pushed again"
            if walk.strangers:
                reason += f"; it holds {walk.strangers} that the gateway does not know"
            if walk.is_endless:
                reason += "; its list of mailboxes had no end and was not read any further"
            if walk.queued or walk.strangers:
                tx.append_event(Event("alert.raised", self._actor, self._tenant, detail={"reason": reason}))

    # --- one page -----------------------------------------------------------------------------------------------------

    def _compare_page(self, link: PortalLink, walk: _Walk, page: InventoryPage) -> None:
        if not walk.after:
            self._compare_cards(walk, page.cards)
            self._compare_tokens(walk, page.tokens)
            self._push_joins(walk)
        for held in page.boxes:
            # Again is not wrong: a page that was broken off is asked for a second time. Again and again is no end.
            walk.odd += held.box in walk.seen
            walk.seen.add(held.box)
            try:
                with self._database.reading() as tx:
                    box = get_box(tx, self._tenant, held.box)
            except NotFoundError:
                walk.strangers += 1
                walk.odd += 1
                continue
            self._compare_box(link, walk, box, held)
        if page.has_more and (not page.boxes or page.boxes[-1].box == walk.after):
            raise MailboxDataError("format", "inventory: the same page again")
        walk.after = page.boxes[-1].box if page.boxes else ""
        walk.is_endless = page.has_more and walk.odd > _MOST_ODD
        if not page.has_more or walk.is_endless:
            for box in self._own_boxes():
                if box.id not in walk.seen:
                    self._compare_box(link, walk, box, None)
            with self._database.transaction() as tx:
                # A restored portal opens when the last of it is done: nothing waits for a fault that is over.
                pushes.hasten_pushes(tx, self._tenant)
            walk.is_over = True

    def _own_boxes(self) -> Iterator[Box]:
        after = ""
        while True:
            with self._database.reading() as tx:
                found = list_boxes(tx, self._tenant, after=after, limit=_PAGE)
            yield from found
            if len(found) < _PAGE:
                return
            after = found[-1].id

    def _compare_cards(self, walk: _Walk, held: Iterable[int]) -> None:
        with self._database.transaction() as tx:
            cards = list_cards(tx, self._tenant)
            # Where it names one that we do not know, ours is the older database, and its signatures may be older too.
            is_ours_older = bool(set(held) - {card.serial for card in cards})
            for card in cards:
                if card.serial not in held:
                    self._queue(tx, walk, pushes.CARD, "", str(card.serial))
                elif not is_ours_older:
                    # An older portal lacks the signatures of a newer root, and says nothing of it.
                    queued = walk.queued
                    self._queue(tx, walk, pushes.CARD, "", str(card.serial))
                    walk.queued = queued

    def _compare_tokens(self, walk: _Walk, held: frozenset[str]) -> None:
        after = ""
        while True:
            with self._database.transaction() as tx:
                links = open_reply_links(tx, self._tenant, after=after, limit=_PAGE)
                tickets = messages_of_copies(tx, self._tenant, [one.copy_id for one in links])
                for one in links:
                    ticket = tickets.get(one.copy_id)
                    if ticket is not None and ticket.kind == TICKET and ticket.deleted_at is None:
                        self._compare_token(tx, walk, one, ticket, held)
            if len(links) < _PAGE:
                return
            after = links[-1].token

    def _push_joins(self, walk: _Walk) -> None:
        """The inventory names no registration links: those that are open are pushed again, which changes none."""
        with self._database.transaction() as tx:
            for one in open_joins(tx, self._tenant):
                detail: dict[str, object] = {"expires": one.expires_at, "join": one.id}
                self._queue(tx, walk, pushes.JOIN, "", hash_token(one.id), detail=detail)

    def _compare_token(self, tx: Tx, walk: _Walk, link: ReplyLink, ticket: BoxMessage, held: frozenset[str]) -> None:
        digest = hash_token(link.token)
        if digest not in held and ticket.pushed_at is not None:
            detail: dict[str, object] = {"id": ticket.id, "expires": link.expires_at}
            self._queue(tx, walk, pushes.TOKEN, ticket.box, digest, detail=detail)

    # --- one box ------------------------------------------------------------------------------------------------------

    def _compare_box(self, link: PortalLink, walk: _Walk, box: Box, held: HeldBox | None) -> None:
        if box.state == BoxState.CLOSED:
            if held is not None and held.state != BoxState.CLOSED:
                with self._database.transaction() as tx:
                    if not pushes.is_waiting(tx, self._tenant, pushes.LATE_END, box=box.id):
                        self._queue(tx, walk, pushes.END, box.id, "close")
            return
        newest = self._newest_given(box)
        if newest is None:
            # Its first push still waits in the queue.
            return
        if held is not None and held.gen > newest.gen:
            self._catch_up(link, box)
            box, newest = self._read_again(box), self._newest_given(box) or newest
        with self._database.transaction() as tx:
            get_box(tx, self._tenant, box.id, lock=True)
            if box.state == BoxState.EXPIRED:
                if held is not None and held.state == BoxState.FIRST:
                    self._queue(tx, walk, pushes.END, box.id, "expire")
            elif held is None or held.sha256 != newest.capsule_sha:
                self._queue(tx, walk, pushes.BOX, box.id, str(newest.gen))
            elif box.must_change:
                # The same capsule with or without: an older portal knows of no demand, and says nothing of it.
                queued = walk.queued
                self._queue(tx, walk, pushes.BOX, box.id, str(newest.gen))
                walk.queued = queued
            self._compare_messages(tx, walk, box, frozenset() if held is None else held.messages)

    def _newest_given(self, box: Box) -> Generation | None:
        """Return the newest generation that the portal was given, or gave us."""
        with self._database.reading() as tx:
            kept = generations_of(tx, self._tenant, box.id)
        given = [one for one in kept if one.capsule is not None and (one.pushed_at or one.made_by == "browser")]
        return given[-1] if given else None

    def _read_again(self, box: Box) -> Box:
        with self._database.reading() as tx:
            return get_box(tx, self._tenant, box.id)

    def _catch_up(self, link: PortalLink, box: Box) -> None:
        """Take the rekeys that an older database of ours has lost, verified like any that is pulled.

        Not while entries wait there: what lies before a rekey has to come in before it (16), and with them it comes.
        """
        try:
            held = link.get_box(box.id, box.gen)
        except LinkUnknownError:
            return
        if held.waiting:
            return
        for rekey in held.rekeys:
            self._incoming.take(rekey, _no_chunks)

    def _compare_messages(self, tx: Tx, walk: _Walk, box: Box, held: frozenset[str]) -> None:
        now = tx.now_ms()
        messages = {one.id: one for one in messages_of_box(tx, self._tenant, box.id)}
        for message in messages.values():
            is_kept = message.deleted_at is None and message.expires_at > now
            if is_kept and message.pushed_at is not None and message.id not in held:
                self._queue(tx, walk, pushes.MESSAGE, box.id, message.id)
            elif not is_kept and message.id in held:
                self._queue(tx, walk, pushes.DELETE, box.id, message.id)
        # Not deleted: if our database is the older one, these are mails that it has lost.
        walk.strangers += len(held - set(messages))

    def _queue(
        self, tx: Tx, walk: _Walk, kind: str, box: str, ref: str, *, detail: dict[str, object] | None = None
    ) -> None:
        """Queue a push unless the same already waits. What was given while the page was read is given again, which
        is the same there, but is no sign of a restore."""
        waiting = pushes.waiting_pushes(tx, self._tenant, box_id=box)
        if any((one.kind, one.ref) == (kind, ref) for one in waiting):
            return
        ended = partial(pushes.is_ended_since, tx, self._tenant, kind, box=box, ref=ref)
        if ended(since_ms=walk.began_at, state=pushes.SKIPPED):
            # What an operator has left out is not asked of him again when the comparison is repeated.
            return
        is_given = ended(since_ms=walk.asked_at, state=pushes.DONE)
        pushes.add_push(tx, self._tenant, kind, box=box, ref=ref, detail=detail)
        walk.queued += not is_given


def _no_chunks(i: int, n: int) -> bytes:
    raise MailboxDataError("size", f"a rekey has no chunk {i}/{n}")
