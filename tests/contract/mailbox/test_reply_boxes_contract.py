"""What stands behind the Reply link of a PDF: it opens with the PDF's password and with nothing else."""

from __future__ import annotations

import email.policy
import re
from email.message import EmailMessage

import pytest

from relay.core.clock import DAY
from relay.core.lifecycle import State
from relay.core.wire.sealed import MailboxDataError
from relay.mailbox.boxes import close_box, recall_message
from relay.mailbox.reply_boxes import close_idle_reply_boxes, close_leaked_reply_boxes, find_form, hash_token
from relay.store.repositories.mailbox_boxes import Box, get_box
from relay.store.repositories.mailbox_messages import messages_of_box, messages_to_expire
from tests.contract.mailbox.browser import Browser
from tests.contract.mailbox.world import ANNA, MARIA, PORTAL, TENANT, WORKER, World

LINK_MS = 90 * DAY
"""As shipped."""


def send_pdf(world: World, subject: str = "Your contract", *, keyword: str = "", large: bool = False) -> str:
    mail = EmailMessage()
    mail["From"], mail["To"] = f"Maria Keller <{MARIA}>", ANNA
    mail["Subject"] = f"{keyword} {subject}".strip()
    mail.set_content("Dear Anna,\n\nplease sign.\n")
    mail.add_attachment(b"the file", maintype="application", subtype="pdf", filename="contract.pdf")
    if large:
        mail.add_attachment(bytes(4 * 1024 * 1024), maintype="application", subtype="zip", filename="large.zip")
    message_id = world.send_raw(mail)
    world.work()
    assert world.copy(message_id).state is State.QUEUED
    return message_id


def carrier(world: World, message_id: str) -> str:
    """Return the text of the PDF's outer mail."""
    copy = world.copy(message_id)
    text = world.content(message_id, copy.variant or 0)
    parsed = email.message_from_bytes(text, policy=email.policy.default)
    return parsed.get_body(("plain",)).get_content()  # type: ignore[attr-defined, no-any-return]


def token_of(world: World, message_id: str) -> str:
    found = re.search(r"/r/([A-Za-z0-9_-]{22})", carrier(world, message_id))
    assert found is not None
    return found[1]


def pdf_password(mail: EmailMessage) -> str:
    found = re.search(r"\b([0-9a-z]{4}(?:-[0-9a-z]{4}){3})\b", mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert found is not None
    return found[1]


def reply_box(world: World) -> Box:
    (box,) = (box for box in world.boxes() if box.kind == "reply")
    return box


def open_page(world: World, box: Box, password: str) -> Browser:
    return Browser.sign_in(PORTAL, box.id, world.portal[box.id].capsule, world.cards, password)


def test_reply_page_opens_with_the_password_of_the_pdf(world: World) -> None:
    message_id = send_pdf(world)
    world.link()
    password = pdf_password(world.mails(MARIA)[0])
    box = reply_box(world)
    there = world.portal[box.id]
    ticket_id = there.tokens[hash_token(token_of(world, message_id))]
    browser = open_page(world, box, password.upper().replace("-", " "))
    read = browser.read(there.messages[ticket_id])
    assert read.manifest.kind == "ticket"
    assert read.manifest.mail is not None
    assert (read.manifest.mail.subject, read.manifest.mail.files) == ("Your contract", True)
    assert read.part("text") == b"Dear Anna,\n\nplease sign.\n"
    assert read.part("file", "contract.pdf") == b"the file"
    with pytest.raises(MailboxDataError):
        open_page(world, box, "dghz-4eb6-7gnc-xxd6")
    # The page's key opens nothing of a mailbox, and nobody is sent a notice of a ticket.
    assert browser.opened.capsule.escrow is None
    assert world.mails(ANNA) == []


def test_one_box_for_a_pair_and_one_ticket_for_each_pdf(world: World) -> None:
    first, second = send_pdf(world), send_pdf(world, "Second")
    world.link()
    password = pdf_password(world.mails(MARIA)[0])
    box = reply_box(world)
    there = world.portal[box.id]
    browser = open_page(world, box, password)
    ids = [there.tokens[hash_token(token_of(world, one))] for one in (first, second)]
    subjects = [browser.read(there.messages[one]).manifest.mail.subject for one in ids]  # type: ignore[union-attr]
    assert subjects == ["Your contract", "Second"]
    with world.db.reading() as tx:
        kept = messages_of_box(tx, TENANT, box.id)
    assert [one.no for one in kept] == [1, 2]
    assert {one.expires_at - one.created_at for one in kept} <= set(range(LINK_MS - 5000, LINK_MS + 5000))
    assert [one.copy_id for one in kept] == [world.copy(first).id, world.copy(second).id]


def test_new_password_has_a_box_of_its_own(world: World) -> None:
    send_pdf(world)
    send_pdf(world, keyword="{new_password}")
    world.link()
    boxes = [box for box in world.boxes() if box.kind == "reply"]
    assert len(boxes) == 2
    first, second = (pdf_password(mail) for mail in world.mails(MARIA))
    assert first != second
    opened = 0
    for box in boxes:
        for password in (first, second):
            try:
                open_page(world, box, password)
                opened += 1
            except MailboxDataError:
                continue
    assert opened == 2


def test_files_that_are_too_large_stay_in_the_pdf(world: World) -> None:
    send_pdf(world, large=True)
    world.link()
    box = reply_box(world)
    browser = open_page(world, box, pdf_password(world.mails(MARIA)[0]))
    read = browser.read(next(iter(world.portal[box.id].messages.values())))
    assert list(read.parts) == [("text", "")]


def test_without_a_card_or_with_a_closed_box_the_pdf_has_no_link(world: World) -> None:
    first = send_pdf(world)
    with world.db.transaction() as tx:
        box = get_box(tx, TENANT, reply_box(world).id, lock=True)
        close_box(tx, box, WORKER)
    second = send_pdf(world, "Second")
    assert "/r/" in carrier(world, first)
    assert "/r/" not in carrier(world, second)
    with world.db.transaction() as tx:
        tx.run("DELETE FROM mailbox_card")
    assert "/r/" not in carrier(world, send_pdf(world, "Third", keyword="{new_password}"))


def test_box_of_a_retired_password_ends_with_its_last_link(world: World) -> None:
    send_pdf(world)
    send_pdf(world, keyword="{new_password}")
    assert close_idle_reply_boxes(world.db, TENANT, WORKER) == 0
    world.clock.advance(LINK_MS + DAY + 1)
    with world.db.reading() as tx:
        due = messages_to_expire(tx, TENANT, tx.now_ms())
    assert len(due) == 2
    for message in due:
        with world.db.transaction() as tx:
            recall_message(tx, TENANT, message.box, message.id, WORKER, why="expiry")
    # The newer password is in use, so its box waits for the next PDF.
    assert close_idle_reply_boxes(world.db, TENANT, WORKER) == 1
    assert sorted(box.state for box in world.boxes()) == ["active", "closed"]


def test_leaked_password_closes_its_page_at_once(world: World) -> None:
    send_pdf(world)
    world.link()
    box = reply_box(world)
    with world.db.transaction() as tx:
        assert close_leaked_reply_boxes(tx, TENANT, [box.password_id or ""], WORKER) == 1
        assert close_leaked_reply_boxes(tx, TENANT, [box.password_id or ""], WORKER) == 0
    world.link()
    assert world.portal[box.id].ended == ["close"]


@pytest.mark.parametrize(
    ("password", "form"),
    [
        ("dghz-4eb6-7gnc-xxd6", "b32"),
        ("1234-5678-9012-3456-7890-1234", "digits"),
        ("a password that I chose", None),
        ("1234-5678", None),
        ("x123456789012345678901234", None),
    ],
)
def test_only_machine_made_secrets_open_a_reply_box(password: str, form: str | None) -> None:
    assert find_form(password) == form
