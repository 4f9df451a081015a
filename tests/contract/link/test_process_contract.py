"""The three loops of the process, running: they push, pull, keep and end in good order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from relay.core.lifecycle import State
from relay.link.errors import LinkDownError
from tests.contract.link.world import MARIA, Linked, password_in


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_loops_carry_mail_both_ways_and_stop_clean(linked: Linked) -> None:
    linked.start()
    stop = threading.Event()
    pusher, puller, keeper = linked.pusher, linked.puller, linked.keeper
    wake = threading.Event()
    threads = [
        threading.Thread(target=pusher.run, args=(stop, lambda seconds: wake.wait(min(seconds, 0.05)))),
        threading.Thread(target=puller.run, args=(stop,)),
        threading.Thread(target=keeper.run, args=(stop,)),
    ]
    for thread in threads:
        thread.start()
    try:
        ids = [linked.inside.send(subject=f"mail {n}") for n in range(3)]
        linked.inside.work()
        wait_for(lambda: all(linked.state(one) is State.DELIVERED for one in ids))
        (told,) = linked.inside.mails(MARIA)
        reader = linked.sign_in(password_in(told))
        reader.choose_password("sommerregen72")
        wait_for(lambda: len(reader.read_all("account")) == 1)
        item = reader.reply(reader.read_all()[0].manifest.id)
        wait_for(lambda: reader.sent_states()[item.id] == "taken")
        wait_for(lambda: len(reader.read_all("receipt")) == 1)
        wait_for(lambda: not linked.reconciler.is_due)
    finally:
        stop.set()
        puller.close()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert len(linked.arrived()) == 1
    with linked.inside.db.reading() as tx:
        assert tx.fetch_one("SELECT count(*) FROM portal_push WHERE owner <> ''") == (0,)
        assert tx.fetch_one("SELECT count(*) FROM copy WHERE owner <> ''") == (0,)


def test_a_stop_in_the_middle_of_a_push_gives_everything_back(linked: Linked) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hang(method: str, path: str) -> None:
        if method == "PUT" and "/messages/" in path:
            begun.set()
            go_on.wait(20)

    message_id = linked.inside.send()
    linked.inside.work()
    linked.before_call = hang
    stop = threading.Event()
    thread = threading.Thread(target=linked.pusher.run, args=(stop, stop.wait))
    thread.start()
    assert begun.wait(20)
    stop.set()
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()
    # What had begun was brought to its end.
    assert linked.state(message_id) is State.DELIVERED
    with linked.inside.db.reading() as tx:
        assert tx.fetch_one("SELECT count(*) FROM portal_push WHERE owner <> ''") == (0,)


def test_a_chunk_that_the_portal_cannot_read_holds_back_its_own_box_only(linked: Linked) -> None:
    reader = linked.open_mailbox()
    linked.send(to="other@partner.example")
    other = linked.sign_in(password_in(linked.inside.mails(MARIA)[-1]), address="other@partner.example")
    other.choose_password("winterregen72")
    linked.go()
    bad = reader.reply(reader.read_all()[0].manifest.id)
    good = other.reply(other.read_all()[0].manifest.id, "from the other\n")

    def fail(method: str, path: str) -> None:
        if method == "GET" and f"/{bad.id}/" in path:
            raise LinkDownError("broken by the test")

    linked.before_call = fail
    told = []
    linked.puller._on_stuck = told.append
    for _ in range(25):
        linked.pull()
    assert other.sent_states() == {good.id: "taken"}
    assert reader.sent_states() == {bad.id: "waiting"}
    assert [entry.id for entry in told] == [bad.id]
    linked.mend()
    linked.pull()
    assert reader.sent_states() == {bad.id: "taken"}
