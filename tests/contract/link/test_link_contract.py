"""A mail to the portal and its answer back, over the real link parts and the portal's real apps, on both databases."""

from __future__ import annotations

import os
from email.message import EmailMessage

import pytest

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.errors import KeyStoreError
from relay.core.lifecycle import State
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import MailboxDataError
from relay.core.wire.sealed.stretch import login_id
from relay.mailbox.renewals import request_renewal
from relay.spool.operations import drop, hold, release, retry
from relay.store.repositories import mailbox_pushes as pushes
from tests.contract.link.world import ACTOR, ANNA, MARIA, OTTO, PORTAL, TENANT, Linked, field_of, password_in
from tests.contract.mailbox.world import code_in


def test_a_mail_goes_out_and_its_answer_comes_back_into_the_thread(linked: Linked) -> None:
    message_id = linked.send()
    assert linked.state(message_id) is State.DELIVERED
    (told,) = linked.inside.mails(MARIA)
    reader = linked.sign_in(password_in(told))
    reader.choose_password("sommerregen72")
    assert linked.pull() == 1
    linked.push()
    (mail,) = reader.read_all()
    assert mail.part("text").decode() == "Dear Anna,\n\nhello.\n"
    (account,) = reader.read_all("account")
    assert account.manifest.of is not None
    assert (account.manifest.of.gen, account.manifest.of.enc) == (2, reader.keys.enc)

    item = reader.reply(mail.manifest.id)
    assert reader.sent_states() == {item.id: "waiting"}
    assert linked.pull() == 1
    linked.push()
    (answer,) = linked.arrived()
    header_id = field_of(linked.inside.content(message_id), "Message-ID")
    assert answer["From"].addresses[0].addr_spec == ANNA
    assert [one.addr_spec for one in answer["To"].addresses] == [MARIA]
    assert answer["Subject"] == "Re: Your contract"
    assert (answer["In-Reply-To"], answer["References"]) == (header_id, header_id)
    assert answer["X-Letterlock-Origin"] == "portal"
    assert answer["Auto-Submitted"] is None
    assert answer.get_content().splitlines() == ["Dear Maria,", "", "thank you."]
    assert reader.sent_states() == {item.id: "taken"}
    (receipt,) = reader.read_all("receipt")
    assert (receipt.manifest.re, receipt.manifest.state) == (item.id, "arrived")
    assert linked.quarantined() == []
    # Where it fails, no report goes to the partner by plain e-mail.
    with linked.inside.db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT c.notify, c.state, m.reverse_path FROM copy c JOIN message m ON m.id = c.message_id"
            " WHERE m.origin = 'portal'"
        )
    assert rows == [("NEVER", "received", ANNA)]


def test_files_of_several_chunks_come_byte_by_byte_and_under_safe_names(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    files = {
        "../../Vertrag\u202eexe.pdf": os.urandom(2**20 + 17),
        "Übersicht.xlsx": b"",
        "a.txt": os.urandom(2**20),
    }
    reader.reply(mail.manifest.id, "Grüße aus Köln\n", files=files)
    linked.pull()
    (answer,) = linked.arrived()
    found = {part.get_filename(): part.get_payload(decode=True) for part in answer.iter_attachments()}
    assert found == dict(zip(["Vertrag_exe.pdf", "Übersicht.xlsx", "a.txt"], files.values(), strict=True))
    body = answer.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == ["Grüße aus Köln"]


def test_an_answer_to_all_stays_inside(linked: Linked) -> None:
    linked.open_mailbox()
    mail = EmailMessage()
    mail["From"], mail["Subject"] = f"Maria Keller <{MARIA}>", "{webmail} Terms"
    mail["To"] = f"Anna <{ANNA}>, Otto <{OTTO}>"
    mail["Cc"] = "Stranger <x@elsewhere.example>, Maria <maria@BANK.example>"
    mail.set_content("Hello all\n")
    linked.inside.send_raw(mail, MARIA, ANNA)
    linked.inside.work()
    linked.push()
    reader = linked.sign_in("sommerregen72")
    message = next(one for one in reader.read_all() if one.manifest.mail and one.manifest.mail.subject == "Terms")
    head = message.manifest.mail
    assert head is not None
    # The page says before, and the answer after, who does not get it.
    assert [one.inside for one in (*head.to, *head.cc)] == [False, True, False, True]
    reader.reply(message.manifest.id, to="all")
    linked.pull()
    (answer,) = linked.arrived()
    assert [one.addr_spec for one in answer["To"].addresses] == [MARIA]
    assert [one.addr_spec for one in answer["Cc"].addresses] == [OTTO]
    body = answer.get_body(("plain",))
    assert body is not None
    note, _, text, *_ = body.get_content().splitlines()
    assert "x@elsewhere.example" in note
    assert ANNA not in note
    assert text.startswith("Dear Maria")
    with linked.inside.db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT c.forward_path FROM copy c JOIN message m ON m.id = c.message_id"
            " WHERE m.origin = 'portal' ORDER BY 1"
        )
    assert [row[0] for row in rows] == [MARIA, OTTO]


def test_nobody_is_told_before_the_portal_has_it(linked: Linked) -> None:
    linked.break_calls(only=lambda method, path: method == "PUT" and "/messages/" in path)
    message_id = linked.send()
    # The mailbox could be pushed; but nothing lies in it that the sender should call about.
    assert linked.inside.mails(MARIA) == []
    assert linked.inside.mails(ANNA) == []
    assert linked.state(message_id) is State.DEFERRED
    linked.mend()
    linked.go()
    assert linked.state(message_id) is State.DELIVERED
    assert len(linked.inside.mails(MARIA)) == 1
    assert len(linked.inside.mails(ANNA)) == 1


def test_a_broken_upload_goes_on_where_it_stopped(linked: Linked) -> None:
    linked.open_mailbox()
    chunks = 0

    def stop_at_third(method: str, path: str) -> None:
        nonlocal chunks
        if method == "PUT" and "/blobs/" in path:
            chunks += 1
            if chunks == 3:
                linked.break_calls()
                linked.before_call(method, path)

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MARIA, ANNA, "{webmail} big"
    mail.set_content("see file\n")
    mail.add_attachment(os.urandom(2 * 2**20), maintype="application", subtype="pdf", filename="big.pdf")
    message_id = linked.inside.send_raw(mail)
    linked.inside.work()
    linked.before_call = stop_at_third
    linked.push()
    assert linked.state(message_id) is State.DEFERRED
    linked.mend()
    linked.calls.clear()
    linked.go()
    pushed = [path for method, path in linked.calls if method == "PUT" and "/blobs/" in path]
    assert len(pushed) == len(set(pushed)) < 4
    assert linked.state(message_id) is State.DELIVERED
    reader = linked.sign_in("sommerregen72")
    assert len(reader.read_all()) == 2


def test_a_link_that_is_down_tells_of_the_delay_and_gives_up_in_time(linked: Linked) -> None:
    linked.break_calls()
    message_id = linked.send()
    # It stands behind its mailbox, which could not be pushed: not tried, nothing counted.
    assert linked.state(message_id) is State.QUEUED
    assert linked.inside.mails(MARIA) == []
    linked.clock.advance(4 * HOUR + MINUTE)
    linked.pusher.look_after_late()
    (delayed,) = linked.inside.mails(MARIA)
    assert "delayed" in delayed.as_string().lower()
    linked.pusher.look_after_late()
    assert linked.inside.mails(MARIA) == []
    linked.clock.advance(5 * DAY)
    linked.pusher.look_after_late()
    (failed,) = linked.inside.mails(MARIA)
    assert "failed" in failed.as_string().lower()
    assert linked.state(message_id) is State.FAILED
    linked.mend()
    linked.clock.advance(HOUR)
    linked.push()
    # What was given up is not shown after all, and its sealed form is gone.
    assert [path for method, path in linked.calls if method == "PUT" and "/messages/" in path] == []
    with linked.inside.db.reading() as tx:
        assert tx.fetch_one("SELECT count(*) FROM mailbox_chunk") == (0,)


def test_a_person_may_have_it_tried_now(linked: Linked) -> None:
    linked.break_calls()
    message_id = linked.send()
    linked.mend()
    linked.push()
    assert linked.state(message_id) is State.QUEUED
    retry(linked.inside.db, TENANT, [linked.inside.copy(message_id).id], ACTOR)
    linked.push()
    assert linked.state(message_id) is State.DELIVERED


def test_what_is_held_or_dropped_meanwhile_is_not_pushed(linked: Linked) -> None:
    ids = [linked.inside.send(subject=word) for word in ("one", "two", "three")]
    linked.inside.work()
    copies = [linked.inside.copy(one).id for one in ids]
    hold(linked.inside.db, TENANT, [copies[0]], ACTOR, "test")
    drop(linked.inside.db, TENANT, [copies[1]], ACTOR, "test")
    linked.push()
    assert [linked.state(one) for one in ids] == [State.HELD, State.DISCARDED, State.DELIVERED]
    (told,) = linked.inside.mails(MARIA)
    reader = linked.sign_in(password_in(told))
    reader.choose_password("sommerregen72")
    linked.pull()
    assert [m.manifest.mail.subject for m in map(reader.browser.read, reader.inbox()) if m.manifest.mail] == ["three"]
    release(linked.inside.db, TENANT, [copies[0]], ACTOR)
    linked.inside.work()
    linked.push()
    assert linked.state(ids[0]) is State.DELIVERED
    found = [m.manifest.mail.subject for m in map(reader.browser.read, reader.inbox()) if m.manifest.mail]
    assert sorted(found) == ["one", "three"]


def test_a_first_password_that_is_not_used_ends_and_the_sender_hears_of_it(linked: Linked) -> None:
    linked.send()
    (told,) = linked.inside.mails(MARIA)
    linked.clock.advance(7 * DAY + HOUR)
    linked.keeper.run_once()
    linked.go()
    assert linked.inside.box().state == "expired"
    assert len(linked.inside.mails(MARIA)) == 1
    with pytest.raises(AssertionError):
        linked.sign_in(password_in(told))
    # The next mail brings a new one, with the mail from before.
    linked.send(subject="again")
    (again,) = linked.inside.mails(MARIA)
    reader = linked.sign_in(password_in(again))
    reader.choose_password("sommerregen72")
    linked.go()
    assert len(reader.read_all()) == 2


def test_a_reader_who_is_just_in_time_loses_nothing(linked: Linked) -> None:
    linked.send()
    (told,) = linked.inside.mails(MARIA)
    reader = linked.sign_in(password_in(told))
    linked.clock.advance(7 * DAY - MINUTE)
    reader = linked.sign_in(password_in(told))
    reader.choose_password("sommerregen72")
    linked.clock.advance(2 * HOUR)
    linked.keeper.run_once()
    linked.go()
    assert (linked.inside.box().state, linked.inside.box().gen) == ("active", 2)
    assert linked.quarantined() == []
    assert len(linked.sign_in("sommerregen72").read_all()) == 1


def test_a_reset_waits_for_what_the_reader_has_just_sent(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    item = reader.reply(mail.manifest.id)
    with linked.inside.db.transaction() as tx:
        request_renewal(tx, TENANT, reader.box, "reset", ACTOR, told=MARIA)
    linked.push()
    assert linked.inside.box().gen == 2
    linked.go()
    assert linked.inside.box().gen == 3
    assert [m["Subject"] for m in linked.arrived()] == ["Re: Your contract"]
    (told,) = linked.inside.mails(MARIA)
    new = linked.sign_in(password_in(told), code_in(linked.inside.mails(ANNA)[-1]))
    new.choose_password("winterregen72")
    linked.go()
    assert len(new.read_all()) == 1
    assert [one.manifest.re for one in new.read_all("receipt")] == [item.id]
    with pytest.raises(AssertionError):
        linked.sign_in("sommerregen72")


def test_an_older_generation_that_waits_to_be_pushed_again_is_not_put_over_a_newer_one(linked: Linked) -> None:
    """As a comparison queues it that looked before the new one's push had come: the old password would open again."""
    linked.send()
    (told,) = linked.inside.mails(MARIA)
    box = linked.inside.box().id
    with linked.inside.db.transaction() as tx:
        request_renewal(tx, TENANT, box, "resend", ACTOR, told=MARIA)
    linked.go()
    with linked.inside.db.transaction() as tx:
        pushes.add_push(tx, TENANT, pushes.BOX, box=box, ref="1")
    linked.go()
    linked.send(subject="later")
    with pytest.raises(AssertionError):
        linked.sign_in(password_in(told))
    reader = linked.sign_in(password_in(linked.inside.mails(MARIA)[0]))
    reader.choose_password("sommerregen72")
    assert len(reader.read_all()) == 2


def test_read_deleted_damaged_and_closed_are_noted_once(linked: Linked) -> None:
    linked.open_mailbox()
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MARIA, ANNA, "{webmail} receipt please"
    mail["Disposition-Notification-To"] = MARIA
    mail.set_content("hello\n")
    linked.inside.send_raw(mail)
    linked.inside.work()
    linked.push()
    linked.inside.mails(MARIA)
    reader = linked.sign_in("sommerregen72")
    first, second = reader.read_all()
    reader.tell("read", second.manifest.id)
    reader.tell("read", second.manifest.id)
    linked.go()
    assert len(linked.inside.mails(MARIA)) == 1
    reader.tell("damaged", first.manifest.id, code="signature")
    reader.tell("deleted", first.manifest.id)
    linked.go()
    assert any("could not verify" in alert for alert in linked.alerts())
    with linked.inside.db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT id, deleted_at IS NOT NULL, length(sealed) > 0 FROM mailbox_message WHERE kind = 'mail'"
        )
    assert {(row[0], bool(row[1]), bool(row[2])) for row in rows} == {
        (first.manifest.id, True, False),
        (second.manifest.id, False, True),
    }
    reader.tell("close", None)
    linked.go()
    assert linked.inside.box().state == "closed"
    assert len(linked.inside.mails(MARIA)) == 1
    assert linked.quarantined() == []
    # A new mail makes a new mailbox.
    linked.send(subject="after")
    assert linked.inside.box().state == "first"


def test_ten_wrong_tries_end_a_first_password(linked: Linked) -> None:
    linked.send()
    linked.inside.mails(MARIA)
    box = linked.inside.box()
    client = linked.site.first.browser()
    for _ in range(12):
        body = {"login_id": login_id(PORTAL, box.login_name or ""), "kdf": 1, "auth": encode_b64(os.urandom(32))}
        client.call("POST", "/api/login", body)
        linked.clock.advance(20 * MINUTE)
    linked.keeper.run_once()
    linked.go()
    assert linked.inside.box().state == "expired"
    (told,) = linked.inside.mails(MARIA)
    assert told["Auto-Submitted"] == "auto-generated"


def test_forgot_tells_the_sender_once_a_day(linked: Linked) -> None:
    reader = linked.open_mailbox()
    for _ in range(3):
        reader.client.call("POST", "/api/forgot", {"login_id": login_id(PORTAL, ANNA)})
        linked.keeper.run_once()
    assert len(linked.inside.mails(MARIA)) == 1


def test_a_key_daemon_that_is_away_acknowledges_nothing(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    item = reader.reply(mail.manifest.id)

    def away(*_: object) -> bytes:
        raise KeyStoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(linked.inside.token, "open_item", away)
        linked.pull()
        assert reader.sent_states() == {item.id: "waiting"}
        assert linked.arrived() == []
        assert linked.quarantined() == []
    with monkeypatch.context() as patch:
        patch.setattr(linked.inside.token, "sign_manifest", away)
        linked.pull()
        assert linked.arrived() == []
    linked.pull()
    assert len(linked.arrived()) == 1
    assert reader.sent_states() == {item.id: "taken"}


def test_a_stored_chunk_that_is_damaged_refuses_the_answer_and_says_so(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    item, chunks = reader.make_reply(mail.manifest.id)
    broken = {place: bytes([data[0] ^ 1]) + data[1:] for place, data in chunks.items()}
    assert reader.send(item, broken).status_code == 201
    linked.go()
    assert linked.arrived() == []
    assert linked.quarantined() == ["auth"]
    assert reader.sent_states() == {item.id: "refused"}
    (receipt,) = reader.read_all("receipt")
    assert (receipt.manifest.re, receipt.manifest.state) == (item.id, "refused")
    with linked.inside.db.reading() as tx:
        # Nothing of it stays in the spool.
        assert tx.fetch_one("SELECT count(*) FROM message WHERE origin = 'portal'") == (0,)


def test_an_answer_larger_than_policy_allows_is_refused(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    reader.reply(mail.manifest.id, files={"a": os.urandom(2**20), "b": os.urandom(2**20), "c": os.urandom(2**20)})
    linked.go()
    assert linked.quarantined() == ["size"]


def test_sealing_needs_the_right_key(linked: Linked) -> None:
    """The harness itself: another password opens nothing."""
    reader = linked.open_mailbox()
    other = type(reader.browser)
    capsule = reader.browser.opened.capsule.octets
    with pytest.raises(MailboxDataError):
        other.sign_in(reader.browser.portal, ANNA, capsule, linked.inside.cards, "another-password")
