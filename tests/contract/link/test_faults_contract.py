"""Every call of the link breaks once, before the portal has it and after; processes die; the portal is restored."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import State
from relay.core.wire.pae import encode_b64
from tests.contract.link.world import ACTOR, ANNA, MARIA, TENANT, Linked, password_in

WHENS = ("before", "after")


@pytest.mark.parametrize("when", WHENS)
def test_each_call_of_a_first_mail_may_break(linked: Linked, when: str) -> None:
    for number in range(1, 10):
        address = f"p{number}@partner.example"
        happened = linked.break_call(number, when)
        message_id = linked.inside.send(to=address)
        linked.inside.work()
        linked.push()
        linked.keeper.run_once()
        linked.mend()
        linked.go()
        linked.keeper.run_once()
        linked.go()
        assert linked.state(message_id) is State.DELIVERED, number
        # Told once each, whatever broke.
        assert len(linked.inside.mails(MARIA)) == 1
        assert len(linked.inside.mails(address)) == 1
        if not happened():
            break
    else:
        raise AssertionError("a push makes fewer calls than this")
    with linked.inside.db.reading() as tx:
        rows = tx.fetch_all("SELECT box, count(*) FROM mailbox_message WHERE kind = 'mail' GROUP BY box")
    assert {row[1] for row in rows} == {1}


@pytest.mark.parametrize("when", WHENS)
def test_each_call_of_an_answer_may_break_and_it_comes_once(linked: Linked, when: str) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    for number in range(1, 9):
        item = reader.reply(mail.manifest.id, f"answer {number}\n")
        happened = linked.break_call(number, when)
        linked.pull()
        linked.push()
        # A new process goes on: nothing is known but what was committed.
        linked.mend()
        linked.start()
        linked.keeper.run_once()
        linked.go()
        assert reader.sent_states()[item.id] == "taken"
        assert len(linked.arrived()) == number
        if not happened():
            break
    else:
        raise AssertionError("a pull makes fewer calls than this")
    assert linked.quarantined() == []
    receipts = [one.manifest.re for one in reader.read_all("receipt")]
    assert len(receipts) == len(set(receipts)) == len(linked.arrived())


def test_a_restored_portal_gets_back_all_that_it_lost_and_no_void_password_opens(linked: Linked) -> None:
    linked.send()
    (told,) = linked.inside.mails(MARIA)
    old = linked.back_up()
    # After the back-up: a password, an answer, a further mail, a deletion, another mailbox.
    reader = linked.sign_in(password_in(told))
    reader.choose_password("sommerregen72")
    linked.go()
    (mail,) = reader.read_all()
    reader.reply(mail.manifest.id)
    linked.go()
    linked.send(subject="second")
    linked.send(subject="third")
    linked.send(to="other@partner.example")
    third = next(one for one in reader.read_all() if one.manifest.mail and one.manifest.mail.subject == "third")
    reader.tell("deleted", third.manifest.id)
    linked.go()
    linked.inside.mails(ANNA), linked.inside.mails(MARIA)

    linked.clock.advance(3_600_000)
    linked.restore(old)
    assert linked.site.first.is_waiting
    answer = linked.site.first.link("GET", "mark").get_json()
    assert answer["waiting"] is True
    # Nobody gets in with the password that is void before all is back.
    body = {"login_id": encode_b64(b"x" * 32), "kdf": 1, "auth": encode_b64(b"y" * 32)}
    assert linked.site.first.browser().call("POST", "/api/login", body).status_code == 503
    for _ in range(3):
        linked.keeper.run_once()
        linked.go()
    assert linked.site.first.link("GET", "mark").get_json()["waiting"] is False
    with pytest.raises(AssertionError):
        linked.sign_in(password_in(told))
    again = linked.sign_in("sommerregen72")
    subjects = sorted(one.manifest.mail.subject for one in again.read_all() if one.manifest.mail)
    assert subjects == ["Your contract", "second"]
    assert len(again.read_all("receipt")) == 1
    # Told of once, at the first time.
    assert linked.inside.mails(ANNA) == linked.inside.mails(MARIA) == []
    assert len(linked.arrived()) == 1


def test_an_empty_new_portal_is_filled(linked: Linked) -> None:
    empty = linked.back_up()
    reader = linked.open_mailbox()
    assert len(reader.read_all()) == 1
    linked.restore({})
    for _ in range(3):
        linked.keeper.run_once()
        linked.go()
    assert len(linked.sign_in("sommerregen72").read_all()) == 1
    cards = linked.site.first.browser().get("/api/cards").get_json()["cards"]
    assert len(cards) == 1
    assert empty


def test_a_plain_restart_of_the_portal_costs_nothing(linked: Linked) -> None:
    linked.open_mailbox()
    linked.keeper.run_once()
    copy = linked.back_up()
    linked.clock.advance(3_600_000)
    linked.restore(copy)
    linked.calls.clear()
    linked.keeper.run_once()
    assert linked.site.first.link("GET", "mark").get_json()["waiting"] is False
    assert ("GET", "inventory") not in linked.calls
    assert linked.waiting() == []
    assert linked.sign_in("sommerregen72")


def forget_rekeys(linked: Linked) -> None:
    """Restore the inside to the time before the reader's first own password."""
    with linked.inside.db.transaction() as tx:
        tx.run(
            "UPDATE mailbox SET gen = 1, state = 'first', first_sender = ?, first_expires_at = ?",
            [MARIA, tx.now_ms() + 1_000_000],
        )
        tx.run("DELETE FROM mailbox_generation WHERE gen >= 2")
        tx.run("DELETE FROM mailbox_seen")
        tx.run("DELETE FROM mailbox_message WHERE kind = 'account'")
        tx.run("UPDATE portal_mark SET n = 0")


def test_an_answer_that_comes_before_the_comparison_finds_the_rekeys_of_its_mailbox(linked: Linked) -> None:
    """The outbox holds what was signed under a password that an older database of ours never heard of: not refused."""
    reader = linked.open_mailbox()
    reader.choose_password("winterregen72")
    assert linked.pull() == 1
    (mail,) = reader.read_all()
    item = reader.reply(mail.manifest.id)
    reader.choose_password("fruehlingsregen72")
    forget_rekeys(linked)
    linked.start()
    assert linked.pull() == 2
    assert (linked.inside.box().state, linked.inside.box().gen) == ("active", 4)
    assert linked.quarantined() == []
    assert [m["Subject"] for m in linked.arrived()] == ["Re: Your contract"]
    linked.push()
    assert item.id in [one.manifest.re for one in linked.sign_in("fruehlingsregen72").read_all("receipt")]


def test_an_older_database_of_ours_catches_up_with_the_rekeys(linked: Linked) -> None:
    """The inside is restored: its rows about the reader's password are gone; the portal kept what he signed."""
    reader = linked.open_mailbox()
    forget_rekeys(linked)
    linked.start()
    for _ in range(2):
        linked.keeper.run_once()
        linked.go()
    assert (linked.inside.box().state, linked.inside.box().gen) == ("active", 2)
    linked.send(subject="after")
    assert len(linked.sign_in("sommerregen72").read_all()) == 2
    assert reader.box == linked.inside.box().id
    # What the portal has and we do not know is left alone, and said.
    assert any("does not know" in alert for alert in linked.alerts())


def test_the_portal_is_told_of_a_closed_mailbox_again(linked: Linked) -> None:
    from relay.mailbox.boxes import close_box
    from relay.store.repositories.mailbox_boxes import get_box

    reader = linked.open_mailbox()
    old = linked.back_up()
    with linked.inside.db.transaction() as tx:
        close_box(tx, get_box(tx, TENANT, reader.box, lock=True), ACTOR)
    linked.go()
    linked.clock.advance(3_600_000)
    linked.restore(old)
    for _ in range(2):
        linked.keeper.run_once()
        linked.go()
    with pytest.raises(AssertionError):
        linked.sign_in("sommerregen72")
