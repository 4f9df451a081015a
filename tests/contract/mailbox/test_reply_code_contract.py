"""Policy `reply_secret: printed-code`: a code that the PDF prints opens its reply page, the PDF's password does not."""

from __future__ import annotations

import email
import email.policy
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from relay.core.clock import DAY
from relay.core.documents.policy import PolicyDocument
from relay.core.wire.sealed import MailboxDataError
from relay.mailbox.boxes import close_box
from relay.mailbox.reply_boxes import close_leaked_reply_boxes
from relay.store.base import Database
from relay.store.repositories.mailbox_boxes import Box, get_box
from relay.store.repositories.mailbox_messages import messages_of_box
from tests.contract.mailbox.browser import Browser
from tests.contract.mailbox.world import ANNA, MARIA, PORTAL, TENANT, WORKER, World, make_world
from tests.contract.store.databases import SteppedClock

SECRET = re.compile(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b")
SWITCHES = {"reply_secret": "printed-code", "reply_files": "off", "reply_link_days": 30}
POLICY = {"methods": ["pdf"], "switches": SWITCHES}


@pytest.fixture
def world(db: Database, clock: SteppedClock, tmp_path: Path, cheap_passwords: None) -> Iterator[World]:
    made = make_world(db, clock, tmp_path, PolicyDocument.from_json(POLICY))
    made.new_card()
    yield made
    made.spool.intake.close()
    made.token.close()


def send(world: World, keyword: str = "") -> str:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Maria Keller <{MARIA}>", ANNA, f"{keyword} Your contract".strip()
    mail.set_content("Dear Anna,\n\nplease sign.\n")
    message_id = world.send_raw(mail)
    world.work()
    world.link()
    return message_id


def told_password(world: World) -> str:
    (notice,) = world.mails(MARIA)
    found = SECRET.search(notice.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert found is not None
    return found[0]


def printed_codes(world: World, message_id: str, password: str, folder: Path) -> set[str]:
    """Return what the PDF prints that looks like a code."""
    copy = world.copy(message_id)
    mail = email.message_from_bytes(world.content(message_id, copy.variant or 0), policy=email.policy.default)
    (pdf,) = [part for part in mail.walk() if part.get_content_type() == "application/pdf"]
    assert password not in mail.as_string()
    path = folder / "read.pdf"
    path.write_bytes(pdf.get_payload(decode=True))  # type: ignore[arg-type]
    done = subprocess.run(["pdftotext", "-upw", password, str(path), "-"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(SECRET.findall(done.stdout))


def reply_boxes(world: World) -> list[Box]:
    return [box for box in world.boxes() if box.kind == "reply"]


def opens(world: World, box: Box, secret: str) -> bool:
    try:
        Browser.sign_in(PORTAL, box.id, world.portal[box.id].capsule, world.cards, secret)
    except MailboxDataError:
        return False
    return True


def test_the_code_opens_the_page_and_the_password_does_not(world: World, tmp_path: Path) -> None:
    message_id = send(world)
    password = told_password(world)
    (code,) = printed_codes(world, message_id, password, tmp_path)
    (box,) = reply_boxes(world)
    assert code != password
    assert opens(world, box, code)
    assert not opens(world, box, password)


def test_each_pdf_of_a_password_prints_the_same_code(world: World, tmp_path: Path) -> None:
    first = send(world)
    password = told_password(world)
    second = send(world)
    assert world.mails(MARIA) == []
    assert printed_codes(world, first, password, tmp_path) == printed_codes(world, second, password, tmp_path)
    assert len(reply_boxes(world)) == 1


def test_a_new_password_has_a_new_code(world: World, tmp_path: Path) -> None:
    first = send(world)
    old = told_password(world)
    second = send(world, "{new_password}")
    new = told_password(world)
    assert printed_codes(world, first, old, tmp_path).isdisjoint(printed_codes(world, second, new, tmp_path))
    assert len(reply_boxes(world)) == 2


def test_a_code_counts_from_the_next_pdf_on_and_the_links_before_go_on(world: World, tmp_path: Path) -> None:
    def set_policy(document: object) -> None:
        changed = replace(world.organisation, policy=PolicyDocument.from_json(document))
        world.pipeline._organisation = lambda: changed

    set_policy({"methods": ["pdf"]})
    send(world)
    password = told_password(world)
    (before,) = reply_boxes(world)
    assert opens(world, before, password)
    set_policy(POLICY)
    second = send(world)
    (code,) = printed_codes(world, second, password, tmp_path)
    (coded,) = [box for box in reply_boxes(world) if box.id != before.id]
    assert opens(world, coded, code)
    assert not opens(world, coded, password)
    assert opens(world, before, password)
    with world.db.transaction() as tx:
        (ticket,) = messages_of_box(tx, TENANT, coded.id)
        assert round((ticket.expires_at - ticket.created_at) / DAY) == 30
        # Whoever knows the password knows both.
        assert close_leaked_reply_boxes(tx, TENANT, [coded.password_id or ""], WORKER) == 2
    opened = Browser.sign_in(PORTAL, coded.id, world.portal[coded.id].capsule, world.cards, code)
    (there,) = world.portal[coded.id].messages.values()
    head = opened.read(there).manifest.mail  # type: ignore[arg-type]
    assert head is not None
    assert head.files is False
    assert ticket.files is False


def test_the_code_lies_sealed_and_goes_with_its_box(world: World, tmp_path: Path) -> None:
    message_id = send(world)
    (code,) = printed_codes(world, message_id, told_password(world), tmp_path)
    (box,) = reply_boxes(world)
    with world.db.reading() as tx:
        (row,) = tx.fetch_all("SELECT data FROM reply_code")
    assert code.encode() not in bytes(row[0])
    with world.db.transaction() as tx:
        close_box(tx, get_box(tx, TENANT, box.id, lock=True), WORKER)
    with world.db.reading() as tx:
        assert tx.fetch_all("SELECT 1 FROM reply_code") == []
