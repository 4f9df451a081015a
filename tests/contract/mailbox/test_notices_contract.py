"""The mails about a mailbox, as their readers get them: who, one button, no subject, no remote thing, small."""

from __future__ import annotations

import re
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest

from relay.actions.mailer import Mailer
from relay.core.ports import Actor
from relay.core.returns import read_return_token
from relay.mailbox.notices import Notices
from relay.store.repositories.copies import copies_of
from relay.store.repositories.mailbox_messages import BoxMessage, messages_of_box
from relay.store.repositories.messages import get_message
from relay.store.repositories.partners import change_partner, find_partner
from relay.store.repositories.return_paths import find_return_path
from tests.contract.mailbox.world import ANNA, MARIA, OTTO, TENANT, World, password_in

ACTOR = Actor("operator", "eva")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.buttons = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "href" in values:
            self.links.append(values["href"])
            self.buttons += "inline-block" in values.get("style", "")
        self.fetched += [values[name] for name in ("src", "background", "srcset") if name in values]
        self.fetched += re.findall(r"url\(", values.get("style", ""))


def body(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def words(mail: EmailMessage) -> str:
    return " ".join(body(mail).split())


def deliver(world: World, sender: str = MARIA) -> None:
    world.send(sender=sender)
    world.work()
    world.link()


def test_recipients_notice_keeps_the_rules(world: World) -> None:
    deliver(world)
    (notice,) = world.mails(ANNA)
    assert notice["Auto-Submitted"] == "auto-generated"
    assert notice["Reply-To"] == f"Maria Keller <{MARIA}>"
    assert notice["From"] == "Example Bank <letterlock@bank.example>"
    assert len(notice.as_bytes()) < 20_000
    assert "contract" not in notice.as_string()
    text = words(notice)
    for needed in (ANNA, "https://portal.bank.example/", "First time?", "We never send it by e-mail", "genuine"):
        assert needed in text
    # Both languages, because the partner's is not known; one button all the same.
    assert "Zum ersten Mal hier?" in text
    assert "!" not in text.replace("!=", "")
    reader = _Links()
    reader.feed(body(notice, "html"))
    # No address in a URL, not behind # either: mail scanners rewrite and store whole URLs.
    assert set(reader.links) == {"https://portal.bank.example/"}
    assert (reader.buttons, reader.fetched) == (1, [])


def test_known_language_alone(world: World) -> None:
    deliver(world)
    world.mails(ANNA)
    with world.db.transaction() as tx:
        partner = find_partner(tx, TENANT, ANNA)
        assert partner is not None
        change_partner(tx, TENANT, partner.id, ACTOR, language="de")
        tx.run("UPDATE mailbox SET last_notice_at = NULL")
    deliver(world)
    (notice,) = world.mails(ANNA)
    assert notice["Subject"] == "Maria Keller (Example Bank) hat Ihnen eine geschützte Nachricht geschickt"
    assert "First time?" not in words(notice)
    assert '<html lang="de">' in body(notice, "html")


def test_bounce_of_the_notice_comes_back_to_the_relay(world: World) -> None:
    message_id = world.send()
    world.work()
    world.link()
    with world.db.reading() as tx:
        rows = tx.fetch_all("SELECT id FROM message WHERE origin = 'system' AND reverse_path <> ''")
        ((notice_id,),) = rows
        reverse_path = get_message(tx, TENANT, notice_id).reverse_path
        (copy,) = copies_of(tx, notice_id)
        path = find_return_path(tx, TENANT, read_return_token(reverse_path) or "")
    assert reverse_path.endswith("@bank.example")
    assert copy.notify is None
    assert path is not None
    assert (path.sender, path.recipient, path.message_id) == (MARIA, ANNA, message_id)


def test_notice_names_who_has_the_password(world: World) -> None:
    deliver(world)
    world.mails(ANNA)
    with world.db.transaction() as tx:
        tx.run("UPDATE mailbox SET last_notice_at = NULL")
    deliver(world, OTTO)
    (notice,) = world.mails(ANNA)
    assert notice["Subject"].startswith("Otto Keller")
    assert f"{MARIA} will call you" in words(notice)


def test_names_cannot_smuggle_markup(world: World) -> None:
    mail = EmailMessage()
    mail["From"] = f'"<img src=x onerror=evil()> $user {{code x}}" <{MARIA}>'
    mail["To"], mail["Subject"] = ANNA, "{webmail} x"
    mail.set_content("x")
    world.send_raw(mail)
    world.work()
    world.link()
    (notice,) = world.mails(ANNA)
    html = body(notice, "html")
    assert "<img" not in html
    assert "&lt;img src=x onerror=evil()&gt; $user {code x}" in html


def test_password_mail_says_what_to_do_and_has_no_link(world: World) -> None:
    deliver(world)
    (told,) = world.mails(MARIA)
    text = words(told)
    assert "http" not in text
    assert ANNA in text
    password = password_in(told)
    letters = {letter for letter in password.lower() if letter.isalpha()}
    spelled = body(told)
    assert all(re.search(rf"\b{letter.upper()}[a-zäöü-]+", spelled, re.IGNORECASE) for letter in letters)
    assert told["To"] == MARIA
    assert told["Auto-Submitted"] == "auto-generated"


def test_only_who_asked_is_told_of_reading(world: World) -> None:
    deliver(world)
    box = world.box()
    with world.db.transaction() as tx:
        (message,) = messages_of_box(tx, TENANT, box.id)
        world.notices.message_read(tx, box, message)
    assert [mail for mail in world.mails(MARIA) if "has read" in mail["Subject"]] == []
    asked = {name: getattr(message, name) for name in BoxMessage.__dataclass_fields__} | {"receipt": True}
    with world.db.transaction() as tx:
        world.notices.message_read(tx, box, BoxMessage(**asked))
    (told,) = world.mails(MARIA)
    assert told["Subject"] == f"{ANNA} has read your message"


@pytest.mark.parametrize("why", ["time", "tries", "operator"])
def test_end_of_a_first_password_is_told_with_its_cause(world: World, why: str) -> None:
    deliver(world)
    world.mails(MARIA)
    with world.db.transaction() as tx:
        world.notices.expired(tx, world.box(), why)
    (told,) = world.mails(MARIA)
    causes = {"time": "within 7 days", "tries": "10 times", "operator": "administrator"}
    assert [cause for cause, text in causes.items() if text in words(told)] == [why]


def test_hints_are_told_to_the_senders_given(world: World) -> None:
    deliver(world)
    world.mails(MARIA)
    with world.db.transaction() as tx:
        world.notices.forgotten(tx, world.box(), frozenset({MARIA, OTTO}))
        world.notices.locked(tx, world.box(), frozenset({MARIA}))
    assert len(world.mails(MARIA)) == 2
    (told,) = world.mails(OTTO)
    assert "Anybody can write that" in words(told)


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_template_exists_in_both_languages(world: World, language: str) -> None:
    mailer: Mailer = world.notices._mailer  # the templates of the product, as it reads them
    values = dict.fromkeys(
        (
            *("recipient", "user", "password_block", "valid_until", "valid_until_de", "valid_until_en", "code", "shut"),
            *("code_url", "organisation", "sender_name", "teller", "first", "portal_url", "portal_host", "contact"),
            *("date", "time", "tries", "operator", "message_id"),
        ),
        "value",
    )
    names = (
        "notice",
        "first-password",
        "opened",
        "expired",
        "renewed",
        "changed",
        "locked",
        "forgot",
        "read",
        "closed",
    )
    for name in names:
        rendered = mailer.texts.render(f"portal-{name}", language, values)
        assert rendered.language == language
        assert "$" not in rendered.subject + rendered.text
        assert "!" not in rendered.text
    assert isinstance(world.notices, Notices)
