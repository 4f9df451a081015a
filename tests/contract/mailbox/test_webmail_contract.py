"""A mail into a mailbox, from the spool to the reader's eyes, on both databases, with every key but the wire's own."""

from __future__ import annotations

import io
from email.message import EmailMessage

import pytest
from PIL import Image

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.lifecycle import State
from relay.core.wire.sealed import LoginNameError, MailboxDataError
from relay.mailbox.notices import QUIET_MS
from relay.store.repositories.decisions import decisions_of
from relay.store.repositories.mailbox_messages import messages_of_box
from relay.store.repositories.partners import change_partner, find_or_create
from tests.contract.mailbox.world import ANNA, MARIA, OTTO, TENANT, WORKER, World, password_in


def test_first_mail_makes_a_mailbox_that_the_password_on_the_phone_opens(world: World) -> None:
    message_id = world.send()
    world.work()
    assert (world.copy(message_id).state, world.copy(message_id).hop) == (State.QUEUED, "portal")
    # Nobody is told anything before the portal has it.
    assert world.mails(MARIA) == world.mails(ANNA) == []
    world.link()
    assert world.copy(message_id).state is State.DELIVERED
    (told,) = world.mails(MARIA)
    (notice,) = world.mails(ANNA)
    password = password_in(told)
    assert ANNA in told["Subject"]
    assert notice["Subject"] == "Maria Keller (Example Bank) sent you a secure message"
    assert password not in notice.as_string()
    browser = world.sign_in(password)
    (listed,) = world.inbox(browser)
    read = browser.read(listed)
    assert read.part("text").decode() == "Dear Anna,\n\nhello.\n"
    assert read.manifest.mail is not None
    assert (read.manifest.mail.subject, read.manifest.mail.snippet) == ("Your contract", "Dear Anna, hello.")
    assert (read.manifest.mail.sender.name, read.manifest.mail.sender.addr) == ("Maria Keller", MARIA)
    # Typed as people type.
    assert world.sign_in(password.lower().replace("-", " ").replace("0", "o"))
    with pytest.raises(MailboxDataError, match="auth"):
        world.sign_in("K7QM-2XWP-9FTD")


def test_no_password_and_no_clear_text_lie_in_the_database(world: World) -> None:
    world.send(subject="Canary-Subject-4711", body="Canary-Body-4711\n")
    world.work()
    world.link()
    password = password_in(world.mails(MARIA)[0])
    needles = [password.encode(), password.replace("-", "").encode(), b"Canary-Subject-4711", b"Canary-Body-4711"]
    with world.db.reading() as tx:
        for table in (
            "mailbox",
            "mailbox_generation",
            "mailbox_message",
            "mailbox_chunk",
            "portal_push",
            "chunk",
            "event",
        ):
            for row in tx.fetch_all(f"SELECT * FROM {table}"):
                for value in row:
                    octets = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    assert not any(needle in octets for needle in needles), table


def test_further_mail_goes_to_the_same_box_with_one_notice_in_a_quiet_period(world: World) -> None:
    world.send()
    world.work()
    world.link()
    password = password_in(world.mails(MARIA)[0])
    assert len(world.mails(ANNA)) == 1
    world.send(subject="Second")
    world.work()
    world.link()
    assert world.mails(MARIA) == []
    assert world.mails(ANNA) == []
    browser = world.choose_password(world.sign_in(password), "a long password of mine")
    world.mails(ANNA)
    world.clock.advance(QUIET_MS + MINUTE)
    world.send(subject="Third", body="Three\n")
    world.work()
    world.link()
    (notice,) = world.mails(ANNA)
    assert "that you chose" in " ".join(notice.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    subjects = [browser.read(one).manifest.mail.subject for one in world.inbox(browser)]  # type: ignore[union-attr]
    assert subjects == ["Your contract", "Second", "Third"]
    # The third is sealed to the reader's own generation.
    assert [one.gen for one in world.inbox(browser)] == [1, 1, 2]


def test_opened_mailbox_is_told_to_the_sender_and_to_the_reader(world: World) -> None:
    world.send()
    world.work()
    world.link()
    browser = world.sign_in(password_in(world.mails(MARIA)[0]))
    world.mails(ANNA)
    world.choose_password(browser, "a long password of mine")
    (opened,) = world.mails(MARIA)
    (changed,) = world.mails(ANNA)
    assert opened["Subject"] == f"{ANNA} has opened the mailbox"
    assert "http" not in changed.as_string().split("Content-Type: text/plain", 1)[1]
    assert world.box().state == "active"
    with pytest.raises(MailboxDataError):
        world.sign_in("K7QM-2XWP-9FTD")


def test_html_pictures_and_files_arrive_whole_and_harmless(world: World) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(picture, "PNG")
    large = bytes(range(256)) * 5000
    mail = EmailMessage()
    mail["From"], mail["To"] = f"Maria Keller <{MARIA}>", ANNA
    mail["Subject"] = "{webmail} Pictures"
    mail["Disposition-Notification-To"] = MARIA
    mail.set_content("plain words\n")
    mail.add_alternative(
        '<p onclick="evil()">rich <b>words</b></p><script>evil()</script><img src="cid:logo@x">'
        '<img src="https://tracker.example/x.png" alt="tracked"><a href="javascript:evil()">a</a>'
        '<a href="https://partner.example/">b</a><img src="cid:plan@x">',
        subtype="html",
    )
    html_part = mail.get_payload()[1]  # type: ignore[index]
    html_part.add_related(picture.getvalue(), "image", "png", cid="<logo@x>")  # type: ignore[union-attr]
    html_part.add_related(  # type: ignore[union-attr]
        b"<svg/>", "image", "svg+xml", cid="<plan@x>", filename="plan.svg", disposition="inline"
    )
    mail.add_attachment(large, maintype="application", subtype="pdf", filename="größe.pdf")
    mail.add_attachment(b"", maintype="text", subtype="csv", filename="empty.csv")
    message_id = world.send_raw(mail)
    world.work()
    assert world.copy(message_id).state is State.QUEUED
    world.link()
    browser = world.sign_in(password_in(world.mails(MARIA)[0]))
    (listed,) = world.inbox(browser)
    read = browser.read(listed)
    assert read.part("file", "größe.pdf") == large
    assert read.part("file", "empty.csv") == b""
    assert read.part("inline", "p0") == picture.getvalue()
    # What the page does not draw is a file.
    assert read.part("file", "plan.svg") == b"<svg/>"
    html = read.part("html").decode()
    assert '<img src="cid:p0">' in html
    assert "evil" not in html
    assert "tracker" not in html
    assert 'href="https://partner.example/"' in html
    assert read.part("text") == b"plain words\n"
    assert read.manifest.mail is not None
    assert read.manifest.mail.receipt is True


def test_mail_to_several_partners_is_sealed_to_each_apart(world: World) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MARIA, f"{ANNA}, eva@partner.example", "{webmail} Both"
    mail["Bcc"] = "secret@partner.example"
    mail.set_content("same words\n")
    message_id = world.send_raw(mail, MARIA, ANNA, "eva@partner.example")
    world.work()
    world.link()
    assert {copy.state for copy in world.copies(message_id)} == {State.DELIVERED}
    told = world.mails(MARIA)
    assert len(told) == 2
    messages = [next(iter(box.messages.values())) for box in world.portal.values()]
    assert len({one.id for one in messages}) == len({one.sealed for one in messages}) == 2
    assert not any(b"secret@" in one.sealed for one in messages)
    passwords = {ANNA if ANNA in mail["Subject"] else "eva@partner.example": password_in(mail) for mail in told}
    for address, password in passwords.items():
        browser = world.sign_in(password, address=address)
        read = browser.read(world.inbox(browser)[0])
        assert read.part("text") == b"same words\n"
        assert read.manifest.mail is not None
        assert [person.addr for person in read.manifest.mail.to] == [ANNA, "eva@partner.example"]
        assert read.manifest.mail.cc == ()


def test_mail_larger_than_a_mailbox_takes_is_held_and_the_sender_hears_why(world: World) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MARIA, ANNA, "{webmail} Large"
    mail.set_content("see file\n")
    mail.add_attachment(bytes(4 * 1024 * 1024), maintype="application", subtype="zip", filename="large.zip")
    message_id = world.send_raw(mail)
    world.work()
    assert world.copy(message_id).state is State.HELD
    (told,) = world.mails(MARIA)
    assert "larger than what a mailbox takes" in " ".join(told.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    assert world.boxes() == []


def test_a_pdf_that_turns_out_too_large_for_the_partner_goes_to_the_mailbox(world: World) -> None:
    with world.db.transaction() as tx:
        partner = find_or_create(tx, TENANT, ANNA, WORKER)
        change_partner(tx, TENANT, partner.id, WORKER, size_limit=20_000)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = MARIA, ANNA, "{pdf} Small words"
    mail.set_content("small words\n")
    message_id = world.send_raw(mail)
    world.work()
    assert (world.copy(message_id).state, world.copy(message_id).hop) == (State.QUEUED, "portal")
    with world.db.reading() as tx:
        decisions = [one.decision for one in decisions_of(tx, message_id)]
        (passwords,) = tx.fetch_all("SELECT count(*) FROM pair_password")
    assert [one.method for one in decisions] == ["pdf", "webmail"]
    assert "over 20000 octets" in decisions[1].explanation
    # Nobody is told the password of a PDF that never left.
    assert passwords[0] == 0
    world.link()
    browser = world.sign_in(password_in(world.mails(MARIA)[0]))
    assert browser.read(world.inbox(browser)[0]).part("text") == b"small words\n"


def test_without_a_card_the_mail_waits(world: World) -> None:
    with world.db.transaction() as tx:
        tx.run("DELETE FROM mailbox_card")
    message_id = world.send()
    world.work()
    assert world.copy(message_id).state is State.DECIDED
    assert world.boxes() == []


def test_key_store_fault_leaves_nothing_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from relay.core.errors import KeyStoreError

    def fail(*_: object) -> bytes:
        raise KeyStoreError("keyd is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.token, "sign_manifest", fail)
        message_id = world.send()
        world.work()
    assert world.copy(message_id).state is State.DECIDED
    assert world.boxes() == []
    assert world.spool.count("mailbox_chunk") == world.spool.count("portal_push") == 0
    world.clock.advance(HOUR)
    world.work()
    assert world.copy(message_id).state is State.QUEUED


def test_first_password_that_is_over_waits_for_the_link(world: World) -> None:
    world.send()
    world.work()
    world.link()
    world.clock.advance(8 * DAY)
    message_id = world.send(sender=OTTO)
    world.work()
    # Sealing to a first generation ends with its password; whether the reader was just in time is not known here.
    assert world.copy(message_id).state is State.DECIDED
    assert world.spool.count("mailbox_message") == 1


def test_events_tell_the_story_without_a_secret(world: World) -> None:
    world.send()
    world.work()
    world.link()
    with world.db.reading() as tx:
        kinds = [
            row[0] for row in tx.fetch_all("SELECT kind FROM event WHERE tenant = ? ORDER BY chain, seq", [TENANT])
        ]
    assert {"mailbox.created", "mailbox.password-made", "mailbox.password-told"} <= set(kinds)


def test_mail_that_nobody_inside_stands_behind_makes_no_mailbox(world: World) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "eva@elsewhere.example", ANNA, "{webmail} Hello"
    mail.set_content("x")
    message_id = world.send_raw(mail, "eva@elsewhere.example")
    world.work()
    assert world.copy(message_id).state is not State.QUEUED
    assert world.boxes() == []


def test_address_that_can_be_no_user_name_gets_a_pdf(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> str:
        raise LoginNameError

    monkeypatch.setattr("relay.mailbox.boxes.normalise_login_name", refuse)
    message_id = world.send()
    world.work()
    copy = world.copy(message_id)
    assert (copy.state, copy.hop) == (State.QUEUED, "outside")
    assert [box.kind for box in world.boxes()] == ["reply"]


def test_answers_go_on_with_their_thread(world: World) -> None:
    threads = []
    for number, answers in ((1, ""), (2, "<1@bank.example>"), (3, "")):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = MARIA, ANNA, "{webmail} Contract"
        mail["Message-ID"] = f"<{number}@bank.example>"
        if answers:
            mail["In-Reply-To"] = mail["References"] = answers
        mail.set_content("x")
        world.send_raw(mail)
        world.work()
        with world.db.reading() as tx:
            threads.append(messages_of_box(tx, TENANT, world.box().id)[-1].thread)
    assert threads[0] == threads[1] != threads[2]
    world.link()
    browser = world.sign_in(password_in(world.mails(MARIA)[0]))
    first, second, third = (browser.read(one).manifest for one in world.inbox(browser))
    assert (first.re, second.re, third.re) == (None, first.id, None)
