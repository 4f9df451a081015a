"""Registration over the real portal: the partner chooses mailbox or PDF first, then the waiting mail leaves."""

from __future__ import annotations

import email
import email.policy
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from relay.actions import registration
from relay.core.clock import DAY, HOUR
from relay.core.documents.policy import PolicyDocument
from relay.core.errors import KeyStoreError
from relay.core.ids import new_id
from relay.core.lifecycle import State
from relay.core.ports import Grant
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import (
    KDF_MAILBOX,
    OWN,
    CapsuleBody,
    CapsuleFields,
    Card,
    Join,
    MailboxDataError,
    format_time,
    make_capsule,
    normalise_login_name,
    read_card,
    read_fragment,
    read_secret,
    root_pin,
    seal_join,
    stretch,
)
from relay.mailbox.joins import JOIN_MS, JoinKeeper
from relay.protect.passwords import PairPasswords
from relay.spool.operations import drop, release
from relay.store.base import Database
from relay.store.repositories.mailbox_generations import get_generation
from relay.store.repositories.mailbox_joins import OPEN, REFUSED, TAKEN, StoredJoin, find_open_join
from relay.store.repositories.partners import find_partner
from relay.store.repositories.passwords import current_pair_password
from tests.contract.link.world import ACTOR, ANNA, MARIA, OTTO, PORTAL, TENANT, Linked, make_linked
from tests.contract.mailbox.browser import Browser
from tests.contract.mailbox.world import WORKER
from tests.contract.store.databases import SteppedClock

OWN_PASSWORD = "sommerregen 72"
AT_ONCE = "X-At-Once"
POLICY = {
    "rules": [
        {
            "id": "at-once",
            "when": {"header": {"name": AT_ONCE}},
            "then": [{"action": "webmail", "registration": "off"}],
        }
    ],
    "switches": {"registration": "on"},
    "methods": ["webmail"],
}
_LINK = re.compile(r"https://portal\.bank\.example/join/([A-Za-z0-9_-]{22})#(\S+)")


@dataclass(frozen=True)
class Invited:
    """A partner with the link of a mail in front of him."""

    linked: Linked
    id: str
    fragment: str

    @property
    def card(self) -> Card:
        """The newest card, if its root is the one that the mail pins."""
        card = read_card(self.linked.inside.cards[-1].card)
        assert root_pin(card.root) == read_fragment(self.fragment).pin
        return card

    def hand_in(self, status: int = 201, **wish: object) -> None:
        values = {"portal": PORTAL, "id": self.id, "card": self.card.serial, "time": "2027-01-04T08:00:00Z"} | wish
        secret = values.pop("secret", read_fragment(self.fragment).secret)
        sealed = seal_join(Join(**values), secret, self.card)  # type: ignore[arg-type]
        self.hand_in_sealed(sealed, status)

    def hand_in_sealed(self, sealed: bytes, status: int = 201) -> None:
        body = {"id": self.id, "card": self.card.serial, "sealed": encode_b64(sealed)}
        answer = self.linked.site.first.browser().call("POST", "/api/join", body)
        assert answer.status_code == status, answer.get_json()

    def make_capsule(self, password: str = OWN_PASSWORD, **changes: object) -> bytes:
        who = normalise_login_name(str(changes.pop("who", ANNA)))
        keys = stretch(PORTAL, who, KDF_MAILBOX, read_secret(OWN, password))
        fields = CapsuleFields(
            kind="mailbox",
            by="browser",
            portal=PORTAL,
            box=new_id(),
            gen=1,
            time=format_time(self.linked.clock.now_ms()),
            kdf=KDF_MAILBOX,
            av=keys.av,
        )
        card = self.card
        body = CapsuleBody(who, card.org, card.root, card.serial, ())
        escrow = None if changes.pop("no_escrow", False) else card.escrow_key
        return make_capsule(replace(fields, **changes), os.urandom(32), keys.kek, body, escrow)  # type: ignore[arg-type]

    def choose_mailbox(self, **changes: object) -> None:
        self.hand_in(want="mailbox", capsule=self.make_capsule(**changes))

    def choose_pdf(self, password: str = OWN_PASSWORD) -> None:
        self.hand_in(want="pdf", password=password)

    def is_open(self) -> bool:
        return bool(self.linked.site.first.browser().get(f"/api/join/{self.id}").status_code == 200)


def text_of(mail: EmailMessage) -> str:
    return mail.get_body(("plain",)).get_content()  # type: ignore[no-any-return, union-attr]


def invited(linked: Linked, mail: EmailMessage) -> Invited:
    """Read the link of a mail: the same in text and HTML."""
    found = _LINK.search(text_of(mail))
    assert found is not None, text_of(mail)
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert html.count(found[0]) >= 1
    return Invited(linked, found[1], found[2])


def wait_for_choice(linked: Linked, sender: str = MARIA, **more: str) -> str:
    """Take in a mail that has to wait."""
    message_id = linked.inside.send(sender=sender, **more)
    linked.inside.work()
    assert linked.state(message_id) is State.AWAITING_REGISTRATION
    return message_id


def invite(linked: Linked) -> Invited:
    """Push the link and return what the partner got."""
    linked.push()
    (mail,) = linked.inside.mails(ANNA)
    return invited(linked, mail)


def leave(linked: Linked) -> None:
    """Let everything go on: the worker, the link."""
    linked.inside.work()
    linked.go()


def open_join(linked: Linked) -> StoredJoin | None:
    with linked.inside.db.reading() as tx:
        partner = find_partner(tx, TENANT, ANNA)
        assert partner is not None
        return find_open_join(tx, TENANT, partner.id)


def keep(linked: Linked) -> str:
    """Do the scheduler's work."""
    return JoinKeeper(linked.inside.db, linked.inside.notices.joins, tenant=TENANT, actor=ACTOR).run()


def join_states(linked: Linked) -> list[tuple[str, str]]:
    with linked.inside.db.reading() as tx:
        return [
            (row[0], row[1]) for row in tx.fetch_all("SELECT state, want FROM mailbox_join ORDER BY created_at, id")
        ]


def subjects(linked: Linked, to: str) -> list[str]:
    return [str(mail["Subject"]) for mail in linked.inside.mails(to)]


def password_of(linked: Linked, sender: str = MARIA) -> str:
    inside = linked.inside
    with inside.db.reading() as tx:
        partner = find_partner(tx, TENANT, ANNA)
        assert partner is not None
        row = current_pair_password(tx, TENANT, sender, partner.id)
    assert row is not None
    assert row.is_chosen
    assert row.told_at is None
    passwords = PairPasswords(inside.db, inside.token, TENANT, WORKER, lambda: "")
    return passwords.reveal(row, Grant("show", row.id, "operator:test"))


def pdf_text(linked: Linked, message_id: str, folder: Path, password: str = OWN_PASSWORD) -> str:
    """Return what poppler reads of the PDF that is queued for a message."""
    copy = linked.inside.copy(message_id)
    octets = linked.inside.content(message_id, copy.variant or 0)
    mail = email.message_from_bytes(octets, policy=email.policy.default)
    (pdf,) = [part for part in mail.walk() if part.get_content_type() == "application/pdf"]
    path = folder / "read.pdf"
    path.write_bytes(pdf.get_payload(decode=True))  # type: ignore[arg-type]
    done = subprocess.run(["pdftotext", "-upw", password, str(path), "-"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def codes_in(text: str) -> set[str]:
    return set(re.findall(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b", text))


def opens(linked: Linked, box_id: str, secret: str) -> bool:
    """Tell whether the page behind a PDF's link opens with this."""
    inside = linked.inside
    with inside.db.reading() as tx:
        stored = get_generation(tx, TENANT, box_id, 1)
    capsule = inside.generations.open(stored, Grant("mailbox", box_id, "process:test/link"))
    try:
        Browser.sign_in(PORTAL, box_id, capsule, inside.cards, secret)
    except MailboxDataError:
        return False
    return True


def reverse_path(linked: Linked) -> str:
    with linked.inside.db.reading() as tx:
        row = tx.fetch_one(
            "SELECT m.reverse_path FROM message m JOIN copy c ON c.message_id = m.id WHERE c.normal_address = ?"
            " AND m.origin = 'system'",
            [ANNA],
        )
    assert row is not None
    return str(row[0])


def mail_without_registration() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail[AT_ONCE] = MARIA, ANNA, "Now", "yes"
    mail.set_content("Dear Anna,\n\nhello.\n")
    return mail


def fail(*_arguments: object) -> bytes:
    raise KeyStoreError("away")


@pytest.fixture
def linked(db: Database, clock: SteppedClock, tmp_path: Path, cheap_passwords: None) -> Iterator[Linked]:
    made = make_linked(db, clock, tmp_path, PolicyDocument.from_json(POLICY))
    made.keeper.run_once()
    yield made
    made.inside.spool.intake.close()
    made.inside.token.close()
    for node in made.site.nodes:
        node.close()


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_the_mail_waits_and_both_are_told(linked: Linked) -> None:
    wait_for_choice(linked, subject="Account 4711")
    # Nothing leaves before the portal knows the link.
    assert linked.inside.mails(ANNA) == []
    (waits,) = linked.inside.mails(MARIA)
    assert waits["Subject"] == f"Your message to {ANNA} waits: Account 4711"
    linked.push()
    (notice,) = linked.inside.mails(ANNA)
    assert "Maria Keller" in str(notice["Subject"])
    assert "4711" not in notice.as_string()
    link = invited(linked, notice)
    assert link.is_open()
    assert "letterlock-return+" in reverse_path(linked)
    assert linked.inside.boxes() == []


def test_one_link_however_many_mails_wait(linked: Linked) -> None:
    wait_for_choice(linked)
    wait_for_choice(linked, OTTO)
    link = invite(linked)
    wait_for_choice(linked, OTTO, subject="Another")
    assert linked.push() == 0
    assert linked.inside.mails(ANNA) == []
    assert join_states(linked) == [(OPEN, "")]
    join = open_join(linked)
    assert join is not None
    assert join.id == link.id
    assert len(subjects(linked, OTTO)) == 2


def test_the_secret_lies_nowhere_in_the_clear(linked: Linked, tmp_path: Path) -> None:
    wait_for_choice(linked)
    link = invite(linked)
    secret, text = read_fragment(link.fragment).secret, link.fragment.partition(".")[0].encode()
    with linked.inside.db.reading() as tx:
        for table in ("mailbox_join", "portal_push", "event", "message"):
            for row in tx.fetch_all(f"SELECT * FROM {table}"):
                octets = b"".join(one if isinstance(one, bytes) else str(one).encode() for one in row)
                assert secret not in octets
                assert text not in octets
    for path in (tmp_path / "portal").rglob("*"):
        if path.is_file():
            assert text not in path.read_bytes()
            assert link.id.encode() not in path.read_bytes()


# --- a mailbox --------------------------------------------------------------------------------------------------------


def test_a_mailbox_opens_with_the_chosen_password_and_shows_the_mail(linked: Linked) -> None:
    first = wait_for_choice(linked, body="Dear Anna,\n\nthe first.\n")
    second = wait_for_choice(linked, OTTO)
    link = invite(linked)
    linked.inside.mails(MARIA)
    linked.inside.mails(OTTO)
    link.choose_mailbox()
    assert linked.pull() == 1
    assert [linked.state(one) for one in (first, second)] == [State.DECIDED, State.DECIDED]
    leave(linked)
    assert [linked.state(one) for one in (first, second)] == [State.DELIVERED, State.DELIVERED]
    box = linked.inside.box()
    assert (box.state, box.gen, box.login_name, box.first_sender) == ("active", 1, ANNA, "")
    reader = linked.sign_in(OWN_PASSWORD)
    assert len(reader.read_all()) == 2
    # The browser made the keys itself: it waits for this word.
    (word,) = reader.read_all("account")
    assert word.manifest.of is not None
    assert (word.manifest.of.gen, word.manifest.of.enc) == (1, reader.keys.enc)
    assert join_states(linked) == [(TAKEN, "mailbox")]
    assert not link.is_open()
    # One word each that it left; no first password, and the notice names none.
    assert subjects(linked, MARIA) == [f"{ANNA} has chosen a password: your message leaves now"]
    assert subjects(linked, OTTO) == [f"{ANNA} has chosen a password: your message leaves now"]
    (notice,) = linked.inside.mails(ANNA)
    assert "first password" not in text_of(notice)
    assert not any("registration" in one or "escrow" in one for one in linked.alerts())


def test_the_reader_can_answer_and_change_the_password(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_mailbox()
    linked.pull()
    leave(linked)
    reader = linked.sign_in(OWN_PASSWORD)
    (mail,) = reader.read_all()
    reader.reply(mail.manifest.id)
    reader.choose_password("herbstlaub 81")
    linked.go()
    assert len(linked.arrived()) == 1
    assert linked.inside.box().gen == 2


def test_a_reset_keeps_old_mail_by_the_escrow(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_mailbox()
    linked.pull()
    leave(linked)
    with linked.inside.db.reading() as tx:
        row = tx.fetch_one("SELECT cause, made_by, escrow_card FROM mailbox_generation")
    assert row is not None
    assert tuple(row) == ("join", "browser", 1)


def test_without_escrow_it_is_accepted_and_told(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_mailbox(no_escrow=True)
    assert linked.pull() == 1
    assert linked.inside.box().state == "active"
    assert any("no escrow" in one for one in linked.alerts())


def test_later_mail_goes_at_once(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_mailbox()
    linked.pull()
    leave(linked)
    later = linked.send(sender=OTTO)
    assert linked.state(later) is State.DELIVERED


# --- a PDF ------------------------------------------------------------------------------------------------------------


def test_a_pdf_opens_with_the_chosen_password_and_prints_a_reply_code(linked: Linked, tmp_path: Path) -> None:
    first = wait_for_choice(linked, body="Dear Anna,\n\nthe first.\n")
    second = wait_for_choice(linked, OTTO)
    link = invite(linked)
    linked.inside.mails(MARIA)
    link.choose_pdf()
    assert linked.pull() == 1
    leave(linked)
    assert [linked.state(one) for one in (first, second)] == [State.QUEUED, State.QUEUED]
    assert password_of(linked) == password_of(linked, OTTO) == OWN_PASSWORD
    text = pdf_text(linked, first, tmp_path)
    assert "the first." in text
    assert "type the reply code" in " ".join(text.split())
    (code,) = codes_in(text)
    # Each pair's page opens with its code and not with the password: the portal has nothing to guess that by.
    boxes = [one.id for one in linked.inside.boxes() if one.kind == "reply"]
    assert sorted(opens(linked, one, code) for one in boxes) == [False, True]
    assert not any(opens(linked, one, OWN_PASSWORD) for one in boxes)
    # The sender is told that it left, and no password.
    (left,) = linked.inside.mails(MARIA)
    assert "locked PDF" in text_of(left)
    assert OWN_PASSWORD not in left.as_string()


def test_the_next_pdf_prints_the_same_code(linked: Linked, tmp_path: Path) -> None:
    wait_for_choice(linked)
    invite(linked).choose_pdf()
    linked.pull()
    leave(linked)
    linked.inside.mails(MARIA)
    later = linked.inside.send()
    leave(linked)
    assert linked.state(later) is State.QUEUED
    (code,) = codes_in(pdf_text(linked, later, tmp_path))
    (box,) = linked.inside.boxes()
    assert opens(linked, box.id, code)
    assert linked.inside.mails(MARIA) == []


def test_another_sender_later_uses_the_chosen_password(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_pdf()
    linked.pull()
    leave(linked)
    later = linked.inside.send(sender=OTTO)
    leave(linked)
    assert linked.state(later) is State.QUEUED
    assert password_of(linked, OTTO) == OWN_PASSWORD
    assert linked.inside.mails(OTTO) == []


def test_nobody_is_shown_a_chosen_password(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_pdf()
    linked.pull()
    leave(linked)
    linked.inside.mails(MARIA)
    linked.inside.send(subject="{password} {pdf} show me")
    leave(linked)
    assert linked.inside.mails(MARIA) == []


@pytest.mark.parametrize("password", ["short", "mit Umlaut: äöü", "x" * 33, " at the edge 12"])
def test_a_password_that_not_every_reader_takes_brings_a_new_link(linked: Linked, password: str) -> None:
    waiting = wait_for_choice(linked)
    link = invite(linked)
    link.choose_pdf(password)
    linked.pull()
    assert linked.state(waiting) is State.AWAITING_REGISTRATION
    assert linked.quarantined() == ["format"]
    again = invite(linked)
    assert again.id != link.id
    assert again.is_open()
    assert join_states(linked) == [(REFUSED, ""), (OPEN, "")]
    again.choose_pdf()
    linked.pull()
    leave(linked)
    assert linked.state(waiting) is State.QUEUED


# --- what is refused --------------------------------------------------------------------------------------------------


def test_without_the_links_secret_nothing_is_taken(linked: Linked) -> None:
    """What a hostile portal can do: it knows ID and cards, and not T."""
    waiting = wait_for_choice(linked)
    link = invite(linked)
    link.hand_in(want="pdf", password="attackers choice", secret=bytes(16))
    linked.pull()
    assert linked.quarantined() == ["signature"]
    assert linked.state(waiting) is State.AWAITING_REGISTRATION
    for _ in range(2):
        invite_again = invite(linked)
        invite_again.hand_in(want="pdf", password="attackers choice", secret=bytes(16))
        linked.pull()
    # No mail without end: the third answer was the last one that brought a link.
    assert linked.push() == 0
    assert linked.inside.mails(ANNA) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"gen": 2}, "generation"), ({"by": "relay"}, "binding"), ({"portal": new_id()}, "binding")],
)
def test_a_capsule_that_does_not_belong_here(linked: Linked, changes: dict[str, object], code: str) -> None:
    waiting = wait_for_choice(linked)
    invite(linked).choose_mailbox(**changes)
    linked.pull()
    assert linked.quarantined() == [code]
    assert linked.state(waiting) is State.AWAITING_REGISTRATION
    assert linked.inside.boxes() == []


def test_another_address_typed_on_the_page_brings_a_new_link(linked: Linked) -> None:
    """With it nobody could ever sign in: the account goes by the address that we wrote to."""
    waiting = wait_for_choice(linked)
    invite(linked).choose_mailbox(who="anna.becker@partner.example")
    linked.pull()
    assert linked.quarantined() == ["name"]
    assert linked.inside.boxes() == []
    linked.push()
    (mail,) = linked.inside.mails(ANNA)
    assert "could not be used" in text_of(mail)
    assert f"your user name is {ANNA}." in " ".join(text_of(mail).split())
    invited(linked, mail).choose_mailbox()
    linked.pull()
    leave(linked)
    assert linked.state(waiting) is State.DELIVERED
    assert len(linked.sign_in(OWN_PASSWORD).read_all()) == 1


def test_junk_is_refused(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).hand_in_sealed(os.urandom(300))
    linked.pull()
    assert linked.quarantined() == ["auth"]


def test_a_mailbox_that_is_there_is_not_taken_over(linked: Linked) -> None:
    waiting = wait_for_choice(linked)
    link = invite(linked)
    other = linked.inside.send_raw(mail_without_registration())
    linked.inside.work()
    assert linked.state(other) is State.QUEUED
    box = linked.inside.box()
    link.choose_mailbox()
    linked.pull()
    leave(linked)
    assert [one.id for one in linked.inside.boxes()] == [box.id]
    assert linked.state(waiting) is State.DELIVERED
    assert any("is there already" in one for one in linked.alerts())


# --- faults -----------------------------------------------------------------------------------------------------------


def test_the_same_answer_again_is_acknowledged_and_changes_nothing(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_mailbox()
    linked.break_calls(when="before", only=lambda _m, path: path.endswith("/ack") or "/ack" in path)
    linked.pull()
    linked.mend()
    assert linked.pull() == 1
    assert linked.pull() == 0
    assert linked.quarantined() == []
    assert len(linked.inside.boxes()) == 1


def test_a_fault_of_keyd_leaves_everything_as_it_was(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = wait_for_choice(linked)
    invite(linked).choose_mailbox()
    token = linked.inside.token
    with monkeypatch.context() as patch:
        patch.setattr(type(token), "open_item", fail)
        assert linked.pull() == 0
    assert linked.state(waiting) is State.AWAITING_REGISTRATION
    assert linked.quarantined() == []
    assert linked.pull() == 1
    assert linked.state(waiting) is State.DECIDED


@pytest.mark.parametrize("choice", ["mailbox", "pdf"])
def test_all_of_an_answer_or_nothing(linked: Linked, monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    waiting = [wait_for_choice(linked), wait_for_choice(linked, OTTO)]
    link = invite(linked)
    link.choose_mailbox() if choice == "mailbox" else link.choose_pdf()
    with monkeypatch.context() as patch:
        # The last thing that the commit does.
        patch.setattr(type(linked.inside.notices.joins), "left", fail)
        assert linked.pull() == 0
    assert [linked.state(one) for one in waiting] == [State.AWAITING_REGISTRATION] * 2
    assert join_states(linked) == [(OPEN, "")]
    assert linked.inside.boxes() == []
    with linked.inside.db.reading() as tx:
        for table in ("pair_password", "mailbox_seen", "mailbox_quarantine"):
            assert tx.fetch_all(f"SELECT 1 FROM {table}") == []
    assert linked.pull() == 1
    leave(linked)
    done = State.DELIVERED if choice == "mailbox" else State.QUEUED
    assert [linked.state(one) for one in waiting] == [done, done]


def test_two_workers_make_one_link(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_choice(linked)
    second = linked.inside.send(sender=OTTO)
    with monkeypatch.context() as patch:
        patch.setattr(registration, "find_open_join", lambda *_: None)
        linked.inside.work()
    assert linked.state(second) is State.DECIDED
    linked.inside.work()
    assert linked.state(second) is State.AWAITING_REGISTRATION
    assert join_states(linked) == [(OPEN, "")]


def test_a_mail_that_comes_while_the_answer_is_taken_is_not_left_behind(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_choice(linked)
    link = invite(linked)
    seen = open_join(linked)
    link.choose_mailbox()
    linked.pull()
    late = linked.inside.send(sender=OTTO)
    with monkeypatch.context() as patch:
        # What the worker saw a moment ago.
        patch.setattr(registration, "find_open_join", lambda *_: seen)
        patch.setattr(registration, "find_open_mailbox", lambda *_: None)
        linked.inside.work()
    assert linked.state(late) is State.DECIDED
    leave(linked)
    assert linked.state(late) is State.DELIVERED


def test_a_sender_who_comes_while_passwords_are_sealed_gets_his_too(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [wait_for_choice(linked)]
    invite(linked).choose_pdf()
    joins = type(linked.incoming._joins)
    prepare = joins._prepare_passwords

    def prepare_slowly(*arguments: object) -> object:
        sealed = prepare(*arguments)
        if len(waiting) == 1:
            waiting.append(wait_for_choice(linked, OTTO))
        return sealed

    monkeypatch.setattr(joins, "_prepare_passwords", prepare_slowly)
    assert linked.pull() == 0
    assert linked.pull() == 1
    assert password_of(linked) == password_of(linked, OTTO) == OWN_PASSWORD
    assert [linked.state(one) for one in waiting] == [State.DECIDED, State.DECIDED]


def test_a_restored_portal_knows_the_open_link_again(linked: Linked) -> None:
    copy = linked.back_up()
    wait_for_choice(linked)
    link = invite(linked)
    assert link.is_open()
    linked.clock.advance(HOUR)
    linked.keeper.run_once()
    linked.restore(copy)
    assert not link.is_open()
    linked.keeper.run_once()
    linked.go()
    assert link.is_open()
    # Its notice is not sent twice.
    assert linked.inside.mails(ANNA) == []


# --- time -------------------------------------------------------------------------------------------------------------


def test_reminders_after_three_and_seven_days_then_the_end(linked: Linked) -> None:
    waiting = wait_for_choice(linked)
    link = invite(linked)
    linked.inside.mails(MARIA)
    assert keep(linked) == "reminded 0, expired 0, forgotten 0"
    for after in (3, 4):
        linked.clock.advance(after * DAY)
        assert keep(linked) == "reminded 1, expired 0, forgotten 0"
        assert keep(linked) == "reminded 0, expired 0, forgotten 0"
        (reminder,) = linked.inside.mails(ANNA)
        assert invited(linked, reminder).id == link.id
        assert "still waiting" in text_of(reminder)
    linked.clock.advance(7 * DAY)
    assert not link.is_open()
    assert keep(linked) == "reminded 0, expired 0, forgotten 0"
    # What was handed in at the last moment may still be on its way.
    linked.clock.advance(HOUR)
    assert keep(linked) == "reminded 0, expired 1, forgotten 0"
    copy = linked.inside.copy(waiting)
    assert (copy.state, copy.last_status) == (State.FAILED, "4.4.7")
    (told,) = linked.inside.mails(MARIA)
    assert told["Subject"] == f"Not delivered: your message to {ANNA}"
    assert waiting in text_of(told)
    assert join_states(linked) == [("expired", "")]
    # The next mail begins anew.
    wait_for_choice(linked)
    assert invite(linked).id != link.id


def test_a_late_look_reminds_once(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked)
    linked.clock.advance(8 * DAY)
    assert keep(linked) == "reminded 1, expired 0, forgotten 0"
    assert len(linked.inside.mails(ANNA)) == 1
    linked.clock.advance(DAY)
    assert keep(linked) == "reminded 0, expired 0, forgotten 0"


def test_no_reminder_before_the_notice(linked: Linked) -> None:
    """The link to the portal was down all the time."""
    wait_for_choice(linked)
    linked.clock.advance(4 * DAY)
    assert keep(linked) == "reminded 0, expired 0, forgotten 0"


def test_an_answer_after_days_is_protected_although_something_fails(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that a copy waited for its partner is no time of failing."""
    waiting = wait_for_choice(linked)
    link = invite(linked)
    linked.clock.advance(JOIN_MS - HOUR)
    link.choose_mailbox()
    linked.pull()
    with monkeypatch.context() as patch:
        patch.setattr(type(linked.inside.token), "sign_manifest", fail)
        linked.inside.work()
    assert linked.state(waiting) is State.DECIDED
    linked.clock.advance(HOUR)
    leave(linked)
    assert linked.state(waiting) is State.DELIVERED


def test_no_reminder_of_mail_that_a_person_dropped(linked: Linked) -> None:
    waiting = wait_for_choice(linked)
    invite(linked)
    drop(linked.inside.db, TENANT, [linked.inside.copy(waiting).id], ACTOR, "asked by phone")
    linked.clock.advance(3 * DAY)
    keep(linked)
    assert linked.inside.mails(ANNA) == []


def test_a_person_lets_it_go_with_a_first_password(linked: Linked) -> None:
    waiting = wait_for_choice(linked)
    invite(linked)
    linked.inside.mails(MARIA)
    release(linked.inside.db, TENANT, [linked.inside.copy(waiting).id], ACTOR)
    leave(linked)
    assert linked.state(waiting) is State.DELIVERED
    assert linked.inside.box().state == "first"
    assert any("First password" in one for one in subjects(linked, MARIA))


def test_links_are_forgotten_after_their_time(linked: Linked) -> None:
    wait_for_choice(linked)
    invite(linked).choose_mailbox()
    linked.pull()
    linked.clock.advance(91 * DAY)
    assert keep(linked) == "reminded 0, expired 0, forgotten 1"
