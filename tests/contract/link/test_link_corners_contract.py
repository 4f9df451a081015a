"""What meets in an unlucky moment: a comparison with entries that wait, a recall behind a lost answer, hints no end."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from portal.store.models import card
from relay.core.lifecycle import State
from relay.core.wire.sealed import make_id
from relay.link.errors import LinkDownError
from relay.mailbox.boxes import close_box, recall_message
from relay.mailbox.incoming_values import RekeyEntry, Result
from relay.spool.operations import release
from relay.store.repositories.mailbox_boxes import get_box
from tests.contract.link.world import ACTOR, TENANT, Linked


def lose_answer(linked: Linked, method: str, part: str) -> None:
    """Let the portal take each call of this kind, and its answer get lost."""

    def fail(called: str, path: str) -> None:
        if called == method and part in path:
            raise LinkDownError("broken by the test")

    linked.after_call = fail


def test_a_comparison_takes_no_rekey_before_what_lies_before_it(linked: Linked) -> None:
    """An item that lies before a rekey is good, whatever else looks at the box meanwhile (sealed-mailbox 16)."""
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    item = reader.reply(mail.manifest.id)
    reader.choose_password("winterregen72")
    # A new process whose mark does not fit walks the inventory before the outbox was pulled.
    with linked.inside.db.transaction() as tx:
        tx.run("UPDATE portal_mark SET n = n + 5")
    linked.start()
    linked.keeper.run_once()
    linked.go()
    assert linked.quarantined() == []
    assert len(linked.arrived()) == 1
    assert linked.inside.box().gen == 3
    assert [one.manifest.re for one in reader.read_all("receipt")] == [item.id]


def test_a_message_whose_answer_was_lost_is_recalled_there_too(linked: Linked) -> None:
    reader = linked.open_mailbox()
    lose_answer(linked, "PUT", "/messages/")
    copy_of = linked.send(subject="second")
    linked.mend()
    assert len(reader.read_all()) == 2
    (message_id,) = (
        m.manifest.id for m in reader.read_all() if m.manifest.mail and m.manifest.mail.subject == "second"
    )
    with linked.inside.db.transaction() as tx:
        assert recall_message(tx, TENANT, reader.box, message_id, ACTOR, why="recall")
    linked.go()
    assert len(reader.read_all()) == 1
    # Nobody waits for days to hear that it could not be delivered: a person sees it.
    assert linked.state(copy_of) is State.SHUNTED


def test_a_message_that_was_never_pushed_is_recalled_at_once(linked: Linked) -> None:
    reader = linked.open_mailbox()
    copy_of = linked.inside.send(subject="second")
    linked.inside.work()
    with linked.inside.db.transaction() as tx:
        (row,) = tx.fetch_all("SELECT id FROM mailbox_message WHERE kind = 'mail' AND pushed_at IS NULL")
        assert recall_message(tx, TENANT, reader.box, row[0], ACTOR, why="recall")
    linked.calls.clear()
    linked.go()
    assert not [path for _method, path in linked.calls if row[0] in path]
    assert linked.state(copy_of) is State.SHUNTED


def test_a_message_whose_answer_was_lost_and_that_is_deleted_by_its_reader_was_delivered(linked: Linked) -> None:
    reader = linked.open_mailbox()
    lose_answer(linked, "PUT", "/messages/")
    copy_of = linked.send(subject="second")
    linked.mend()
    shown = {m.manifest.mail.subject: m.manifest.id for m in reader.read_all() if m.manifest.mail}
    reader.tell("deleted", shown["second"])
    linked.pull()
    linked.go()
    assert linked.state(copy_of) is State.DELIVERED
    assert len(reader.read_all()) == 1
    assert linked.quarantined() == []


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_mail_that_waits_for_a_mailbox_which_is_closed_goes_to_a_person(linked: Linked, is_lost: bool) -> None:
    reader = linked.open_mailbox()
    if is_lost:
        lose_answer(linked, "PUT", "/messages/")
        copy_of = linked.send(subject="second")
        linked.mend()
    else:
        copy_of = linked.inside.send(subject="second")
        linked.inside.work()
    with linked.inside.db.transaction() as tx:
        close_box(tx, get_box(tx, TENANT, reader.box, lock=True), ACTOR)
    linked.go()
    assert linked.state(copy_of) is State.SHUNTED
    assert linked.site.first.link("GET", f"boxes/{reader.box}?since=0").get_json()["state"] == "closed"
    # Decided anew it goes into a new mailbox.
    release(linked.inside.db, TENANT, [linked.inside.copy(copy_of).id], ACTOR)
    linked.inside.work()
    linked.go()
    assert linked.state(copy_of) is State.DELIVERED
    assert linked.inside.box().id != reader.box


def test_hints_without_end_hold_up_nothing(linked: Linked) -> None:
    linked.open_mailbox()
    asked = 0

    def invent(method: str, path: str, body: bytes | None) -> Any:
        nonlocal asked
        if method == "GET" and path.startswith("reports?"):
            asked += 1
            if asked > 200:
                raise LinkDownError("the keeper never comes to an end")
            reports = [{"seq": asked * 100 + n, "kind": "forgot", "box": make_id(), "count": 1} for n in range(100)]
            return SimpleNamespace(status_code=200, data=json.dumps({"reports": reports}).encode())
        return call(method, path, body)

    call = linked.call
    linked.call = invent  # type: ignore[method-assign]
    assert linked.keeper.run_once() == "ok"
    assert 0 < asked < 200


def test_a_refused_rekey_is_kept_closed_and_goes_with_its_box(linked: Linked) -> None:
    """Who steals the inside's database guesses no password, neither of a capsule that was refused."""
    reader = linked.open_mailbox()
    capsule, _sig = reader.browser.choose_password("winterregen72", linked.clock.now_ms())
    forged = RekeyEntry(reader.box, 9, make_id(), 3, capsule, bytes(64))
    assert linked.incoming.take(forged, lambda _i, _n: b"") is Result.REFUSED
    with linked.inside.db.reading() as tx:
        ((data,),) = tx.fetch_all("SELECT data FROM mailbox_quarantine")
    assert capsule[:40] not in bytes(data)
    assert b'"av"' not in bytes(data)
    assert len(bytes(data)) > len(capsule)
    with linked.inside.db.transaction() as tx:
        close_box(tx, get_box(tx, TENANT, reader.box, lock=True), ACTOR)
    assert linked.quarantined() == []


def test_a_portal_that_answers_at_once_with_nothing_is_not_asked_without_a_pause(linked: Linked) -> None:
    class Stop(threading.Event):
        pauses = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.pauses += 1
            return self.is_set()

    stop = Stop()

    def count(_method: str, path: str) -> None:
        if path.startswith("outbox") and sum(called.startswith("outbox") for _m, called in linked.calls) >= 5:
            stop.set()

    linked.calls.clear()
    linked.before_call = count
    linked.puller.run(stop)
    assert stop.pauses >= 4


def test_a_restored_portal_gets_the_signatures_of_a_newer_root(linked: Linked) -> None:
    """A mailbox that pins the new root would open no card of before without them (sealed-mailbox 6)."""
    linked.open_mailbox()
    linked.keeper.run_once()
    (good,) = linked.site.first.browser().get("/api/cards").get_json()["cards"]
    with linked.site.first.portal.store.main.write() as connection:
        connection.execute(update(card).values(sigs="[]"))
    with linked.inside.db.transaction() as tx:
        tx.run("UPDATE portal_mark SET n = n + 5")
    alerts = linked.alerts()
    linked.start()
    linked.keeper.run_once()
    linked.go()
    assert linked.site.first.browser().get("/api/cards").get_json()["cards"] == [good]
    assert linked.alerts() == alerts
