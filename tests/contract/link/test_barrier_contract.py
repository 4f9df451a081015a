"""What keeps a restored portal shut, what does not, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from relay.cli import portal_boxes
from relay.cli.main import main
from relay.core.clock import HOUR, MINUTE
from relay.core.errors import LetterlockError
from relay.core.ids import new_id
from relay.link import barrier, reconcile
from relay.link.errors import LinkBusyError, LinkConflictError, LinkDownError, LinkRefusedError
from relay.mailbox.boxes import close_box, demand_change, recall_message
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import get_box
from tests.contract.link.world import ACTOR, TENANT, Linked, Reader, Wire

Skip = Callable[[str], int]
REFUSED = LinkRefusedError(400, "bad-request")
BEHIND = LinkConflictError({"sha256": None, "waiting": 1})
BUSY = LinkBusyError("the portal cannot do it now: 503")
DOWN = LinkDownError("no answer in time")


@pytest.fixture
def skip(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> Skip:
    """Return `letterlock portal skip`."""

    @contextmanager
    def open_here(_: object) -> Iterator[tuple[Any, Any]]:
        yield SimpleNamespace(host=SimpleNamespace(tenant=TENANT)), linked.inside.db

    monkeypatch.setattr(portal_boxes, "open_inside", open_here)
    return lambda box: main(["portal", "skip", box])


def fail(linked: Linked, error: LetterlockError, *paths: str) -> None:
    """Let each writing call whose path holds one of these words end so."""

    def answer(method: str, path: str) -> None:
        if method != "GET" and any(word in path for word in paths):
            raise error

    linked.before_call = answer


def is_open_after(linked: Linked, turns: int, *, begin: bool = False) -> bool:
    """Let the link work for so many turns, each: what is due is pushed, then the mark is looked at."""
    if begin:
        linked.reconciler.marks._has_failed = True
        linked.reconciler.compare(Wire(linked))
    for _ in range(turns):
        if linked.reconciler._walk is None:
            break
        linked.clock.advance(15 * MINUTE)
        linked.push()
        linked.reconciler.compare(Wire(linked))
    return linked.reconciler._walk is None


def told(linked: Linked) -> list[str]:
    return [alert for alert in linked.alerts() if "letterlock portal skip" in alert]


def recall_mail(linked: Linked, reader: Reader) -> None:
    (mail,) = reader.read_all()
    with linked.inside.db.transaction() as tx:
        recall_message(tx, TENANT, reader.box, mail.manifest.id, ACTOR, why="recall")


def demand(linked: Linked, box: str) -> None:
    with linked.inside.db.transaction() as tx:
        demand_change(tx, get_box(tx, TENANT, box, lock=True), ACTOR)


def test_an_outage_and_what_waits_for_the_outbox_are_no_failures(linked: Linked, skip: Skip) -> None:
    """Each claim counts an attempt: nobody is advised to drop what goes through a second later."""
    reader = linked.open_mailbox()
    linked.keeper.run_once()
    demand(linked, reader.box)
    recall_mail(linked, reader)
    for error in (DOWN, BEHIND):
        fail(linked, error, "/")
        for _ in range(2 * barrier.STUCK_TRIES):
            linked.clock.advance(15 * MINUTE)
            linked.push()
        linked.mend()
        # The outage ends, the comparison begins and comes to its end.
        fail(linked, BEHIND, f"boxes/{reader.box}")
        assert not is_open_after(linked, 2 * barrier.STUCK_TRIES, begin=True)
        with linked.inside.db.reading() as tx:
            assert pushes.waiting_pushes(tx, TENANT, box_id=reader.box)[0].attempts > 2 * barrier.STUCK_TRIES
        assert told(linked) == []
    linked.mend()
    assert is_open_after(linked, 3)
    assert told(linked) == []
    # Closed by its reader meanwhile, and that is refused: told after some tries, once.
    with linked.inside.db.transaction() as tx:
        close_box(tx, get_box(tx, TENANT, reader.box, lock=True), ACTOR)
    fail(linked, REFUSED, "/end")
    assert not is_open_after(linked, barrier.STUCK_TRIES - 1, begin=True)
    assert told(linked) == []
    assert not is_open_after(linked, 3)
    assert len(told(linked)) == 1
    # Left out, it opens; and what its reader has closed is closed there as soon as it can be, also after a restore.
    assert skip(reader.box) == 0
    assert is_open_after(linked, 1)
    assert linked.waiting() == [("late-end", "close")]
    assert is_open_after(linked, 2, begin=True)
    linked.mend()
    linked.go()
    assert linked.site.first.link("GET", f"boxes/{reader.box}?since=0").get_json()["state"] == "closed"
    assert skip(reader.box) == 65
    assert skip(new_id()) == 65


def test_what_the_portal_holds_already_or_cannot_open_hinders_nothing(
    linked: Linked, skip: Skip, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = linked.open_mailbox()
    linked.keeper.run_once()
    fail(linked, REFUSED, "boxes/")
    monkeypatch.setattr(barrier, "_PAGE", 2)
    unknown = [new_id() for _ in range(5)]
    with linked.inside.db.transaction() as tx:
        for box in unknown:
            pushes.add_push(tx, TENANT, pushes.END, box=box, ref="close")
        pushes.add_push(tx, TENANT, pushes.BOX, box=reader.box, ref="2")
    linked.calls.clear()
    assert not is_open_after(linked, barrier.STUCK_TRIES - 1, begin=True)
    assert is_open_after(linked, 2)
    assert told(linked) == []
    asked = [path for method, path in linked.calls if method == "GET" and "boxes/" in path]
    assert sorted(asked) == sorted(f"boxes/{box}" for box in [*unknown, reader.box])
    # The same capsule, and the word that it is to be changed: of that the portal says nothing.
    demand(linked, reader.box)
    linked.calls.clear()
    assert not is_open_after(linked, barrier.STUCK_TRIES + 2, begin=True)
    (alert,) = told(linked)
    assert reader.box in alert
    assert linked.calls.count(("GET", f"boxes/{reader.box}")) == 1
    assert skip(reader.box) == 0
    assert is_open_after(linked, 1)


def test_a_restored_portal_hears_again_that_a_password_is_to_be_changed(linked: Linked) -> None:
    reader = linked.open_mailbox()
    linked.keeper.run_once()
    copy = linked.back_up()
    demand(linked, reader.box)
    linked.go()
    linked.clock.advance(HOUR)
    linked.restore(copy)
    before = linked.alerts()
    linked.keeper.run_once()
    linked.go()
    linked.keeper.run_once()
    again = linked.sign_in(reader.browser.password)
    assert again.client.get("/api/session").get_json()["must_change"] is True
    # Asked again and again is no loss.
    assert linked.alerts() == before


def test_a_push_without_end_keeps_no_comparison_from_its_end(
    linked: Linked, skip: Skip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many mailboxes take many turns; one push that fails at each of them must not begin all anew each time."""
    reader = linked.open_mailbox()
    for name in "abc":
        linked.send(to=f"{name}@partner.example")
    linked.keeper.run_once()
    monkeypatch.setattr(reconcile, "_PAGES_A_TURN", 1)
    monkeypatch.setattr(reconcile, "_PAGE", 1)
    recall_mail(linked, reader)
    linked.inside.send(to="a@partner.example")
    linked.inside.work()
    # Without any answer: what was compared may be another portal by now, so it is repeated, but from its end.
    fail(linked, DOWN, "/messages/")
    assert not is_open_after(linked, 40, begin=True)
    assert len(told(linked)) == 1
    # Left out once is left out, however often it is repeated; and an answer like 503 says that it is the same portal.
    assert skip(reader.box) == 0
    assert not is_open_after(linked, 10)
    fail(linked, BUSY, "/messages/")
    assert is_open_after(linked, 10)
