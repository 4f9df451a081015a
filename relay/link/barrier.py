"""What must be done on a restored portal before it opens, and what of it hinders nothing (sealed-mailbox 15).

A password that is void, a mailbox that was closed, a mail that was deleted: until these are as they are inside, nobody
signs in. What the portal goes on refusing must not keep it shut unseen, though. So tries are counted from the end of
the comparison on (those of the outage before it say nothing), the portal is asked what it holds of a mailbox whose turn
failed again and again, and an operator is told where that could be opened, who can leave it out
(`letterlock portal skip`). Must not drop anything by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.core.ports import Actor, Event
from relay.link.client import PortalLink
from relay.link.errors import LinkBusyError, LinkUnknownError
from relay.link.wire import HeldGenerations
from relay.mailbox.states import BoxState
from relay.store.base import Database
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box, get_box
from relay.store.repositories.mailbox_generations import Generation

KINDS = (pushes.BOX, pushes.END, pushes.DELETE)
STUCK_TRIES = 5
"""With the pauses between them about a minute."""
_NO_FAILURES = (pushes.PULL_FIRST, pushes.COPY_BUSY)
_PAGE = 500
_ASKED_AT_ONCE = 100
"""So many questions to the portal, each second."""
_MOST_TOLD = 20
"""Alerts about things that stand there at the same time: one fault of many mailboxes is one fault."""
_MOST_PASSES = 3
"""Comparisons that had to be made again after which what fails is told even where it hinders nothing: perhaps it is
what breaks them."""


class Barrier:
    """Of one reconciliation. One thread."""

    def __init__(
        self, database: Database, tenant: str, actor: Actor, newest_given: Callable[[Box], Generation | None]
    ) -> None:
        """`newest_given`: the newest generation of a box that the portal was given, or gave us."""
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._newest_given = newest_given
        self._passes = 0
        self._tries: dict[int, tuple[int, int]] = {}
        """By seq of a box's first row: attempts when it was looked at last, failures counted since it was first."""
        self._answers: dict[int, bool] = {}
        """By the same: whether it hinders, as the portal answered in this comparison."""
        self._told: set[int] = set()

    def begin_pass(self) -> None:
        """A comparison begins: what the portal answered before may have been another one."""
        self._passes += 1
        self._answers.clear()

    def is_holding(self, link: PortalLink) -> bool:
        """Tell whether something waits that must be done before the portal opens. Raises LinkError, StorageError."""
        is_holding, asked, after = False, 0, 0
        seen: set[int] = set()
        while True:
            with self._database.reading() as tx:
                heads = pushes.first_of_boxes(tx, self._tenant, KINDS, after=after, limit=_PAGE)
            for head in heads:
                seen.add(head.seq)
                if self._count(head) < STUCK_TRIES:
                    is_holding = True
                elif head.seq in self._answers or asked < _ASKED_AT_ONCE:
                    asked += head.seq not in self._answers
                    is_holding |= self._hinders(link, head)
                else:
                    is_holding = True
            if len(heads) < _PAGE:
                break
            after = heads[-1].seq
        self._tries = {seq: known for seq, known in self._tries.items() if seq in seen}
        self._told &= seen
        return is_holding

    def _count(self, head: pushes.Push) -> int:
        """Return how often this row failed by itself since it was first looked at here."""
        attempts, failures = self._tries.get(head.seq, (head.attempts, 0))
        if not head.owner and head.attempts > attempts:
            # One a look: however often it was tried while there was no answer at all, that was one outage.
            failures += head.last_error not in _NO_FAILURES
            attempts = head.attempts
        self._tries[head.seq] = (attempts, failures)
        return failures

    def _hinders(self, link: PortalLink, head: pushes.Push) -> bool:
        if head.seq not in self._answers:
            self._answers[head.seq] = not self._is_harmless(link, head.box)
        hinders = self._answers[head.seq]
        if hinders or self._passes > _MOST_PASSES:
            self._tell(head)
        return hinders

    def _is_harmless(self, link: PortalLink, box_id: str) -> bool:
        try:
            held = link.get_box(box_id, 0)
        except LinkUnknownError:
            # Nothing can be signed in to there.
            return True
        except LinkBusyError:
            return False
        with self._database.reading() as tx:
            box = get_box(tx, self._tenant, box_id)
            waiting = [one for one in pushes.waiting_pushes(tx, self._tenant, box_id=box_id) if one.kind in KINDS]
        newest = self._newest_given(box)
        return all(_is_done_there(one, held, box, newest) for one in waiting)

    def _tell(self, head: pushes.Push) -> None:
        if head.seq in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(head.seq)
        reason = (
            f"the restored portal stays shut: a {head.kind} of mailbox {head.box} fails again and again"
            f" ({head.last_error}); to open it without: letterlock portal skip {head.box}"
        )
        with self._database.transaction() as tx:
            tx.append_event(Event("alert.raised", self._actor, self._tenant, detail={"reason": reason}))


def _is_done_there(push: pushes.Push, held: HeldGenerations, box: Box, newest: Generation | None) -> bool:
    """Tell whether the portal holds already what a push would bring about."""
    if push.kind == pushes.END:
        is_over = {"close": held.state == BoxState.CLOSED, "expire": held.state != BoxState.FIRST}
        return is_over.get(push.ref, False)
    # Of a demanded change the portal says nothing: the capsule is the same with it and without.
    is_same = newest is not None and held.sha256 == newest.capsule_sha
    return push.kind == pushes.BOX and is_same and not box.must_change
