"""Answers to a PDF from its reply page, the partner's own copy as a PDF, and the scanner before anybody sees them."""

from __future__ import annotations

import email
import email.policy
import io
from email.message import EmailMessage

import pikepdf
import pytest

from relay.core.errors import LetterlockError
from relay.core.wire.pae import decode_b64
from relay.core.wire.sealed import stretch
from relay.mailbox.incoming_reply import ScanVerdict
from relay.spool.operations import release
from relay.store.repositories.passwords import retire_pair
from tests.contract.link.world import ACTOR, ANNA, MARIA, PORTAL, TENANT, Linked, Reader
from tests.contract.mailbox.browser import Browser
from tests.contract.mailbox.test_reply_boxes_contract import pdf_password, reply_box, send_pdf, token_of


def open_reply_page(linked: Linked) -> tuple[Reader, str, str]:
    """Send a PDF, open its reply page with its password; return the reader, the ticket's id and the password."""
    message_id = send_pdf(linked.inside)
    linked.go()
    password = pdf_password(linked.inside.mails(MARIA)[0])
    box = reply_box(linked.inside)
    token = token_of(linked.inside, message_id)
    client = linked.site.first.browser()
    keys = stretch(PORTAL, box.id, 2, password.replace("-", "").encode())
    answer = client.login_token(token, keys.auth)
    assert answer.status_code == 200, answer.get_json()
    found = answer.get_json()
    browser = Browser.sign_in(PORTAL, box.id, decode_b64(found["capsule"]), linked.inside.cards, password)
    return Reader(linked, client, browser, box.id), found["ticket"], password


def outgoing(linked: Linked, to: str) -> list[bytes]:
    """Return the protected mails that were queued for an address, oldest first."""
    inside = linked.inside
    with inside.db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT c.message_id, c.variant FROM copy c JOIN message m ON m.id = c.message_id"
            " WHERE c.normal_address = ? AND c.variant > 0 ORDER BY m.received_at",
            [to],
        )
    return [inside.content(row[0], row[1]) for row in rows]


def test_an_answer_to_a_pdf_reaches_its_sender_and_the_partner_gets_a_copy_with_the_same_password(
    linked: Linked,
) -> None:
    reader, ticket, password = open_reply_page(linked)
    reader.reply(ticket, "Canary-Answer-4711\n", files={"signed.pdf": b"%PDF-signed"})
    linked.go()
    answer, copy = sorted(linked.arrived(), key=lambda mail: mail["From"].addresses[0].addr_spec)
    assert answer["From"].addresses[0].addr_spec == ANNA
    assert [one.addr_spec for one in answer["To"].addresses] == [MARIA]
    assert [one.addr_spec for one in copy["To"].addresses] == [ANNA]
    with linked.inside.db.reading() as tx:
        states = tx.fetch_all(
            "SELECT c.normal_address, c.state, d.method FROM copy c JOIN message m ON m.id = c.message_id"
            " LEFT JOIN decision d ON d.id = c.decision_id WHERE m.origin = 'portal' ORDER BY 1"
        )
    assert states == [(ANNA, "decided", "pdf"), (MARIA, "received", None)]
    linked.inside.work()
    _, second = outgoing(linked, ANNA)
    carrier = email.message_from_bytes(second, policy=email.policy.default)
    assert b"Canary" not in second
    assert "Your contract" not in str(carrier["Subject"])
    assert carrier["From"].addresses[0].addr_spec == "letterlock@bank.example"
    pdf = next(part for part in carrier.iter_attachments()).get_payload(decode=True)
    with pikepdf.open(io.BytesIO(pdf), password=password) as opened:
        names = [spec.filename for spec in opened.attachments.values()]
    assert "signed.pdf" in names
    with pytest.raises(pikepdf.PasswordError):
        pikepdf.open(io.BytesIO(pdf), password="another")
    # The sender knows this password: he is not told it again.
    assert linked.inside.mails(MARIA) == []


def test_no_copy_with_a_password_that_was_given_up(linked: Linked) -> None:
    reader, ticket, _ = open_reply_page(linked)
    with linked.inside.db.transaction() as tx:
        partner = linked.inside.boxes()[0].partner_id
        retire_pair(tx, TENANT, MARIA, partner, ACTOR)
    assert [one.manifest.copy for one in reader.read_all("ticket")] == [True]
    reader.reply(ticket)
    linked.go()
    (answer,) = linked.arrived()
    assert answer["From"].addresses[0].addr_spec == ANNA
    # What the ticket promised then was not kept: the receipt says so.
    assert [one.manifest.copy for one in reader.read_all("receipt")] == [False]


def test_what_a_ticket_said_of_files_is_kept_whatever_the_switch_says_by_now(linked: Linked) -> None:
    reader, ticket, _ = open_reply_page(linked)
    taken = []
    # As it was made; one that said no; one of before tickets were remembered, for which the switch counts.
    for says, switch in ((True, False), (False, True), (None, True), (None, False)):
        with linked.inside.db.transaction() as tx:
            said = tx.fetch_one("SELECT files FROM mailbox_message WHERE id = ?", [ticket])
            if says is not True:
                tx.run("UPDATE mailbox_message SET files = ? WHERE id = ?", [says, ticket])
            else:
                assert said is not None
                assert bool(said[0])
        linked.reply_files = switch
        plain, with_file = reader.reply(ticket), reader.reply(ticket, files={"x.exe": b"MZ"})
        linked.go()
        states = reader.sent_states()
        assert states[plain.id] == "taken"
        taken.append(states[with_file.id])
    assert taken == ["taken", "refused", "taken", "refused"]


class FakeScanner:
    """Finds what it is told to find; counts what it is shown."""

    def __init__(self, needle: bytes, *, is_away: bool = False) -> None:
        self.needle = needle
        self.is_away = is_away
        self.seen = b""

    def begin(self) -> FakeScanner:
        if self.is_away:
            raise LetterlockError("away")
        self.seen = b""
        return self

    def feed(self, data: bytes) -> None:
        self.seen += data

    def finish(self) -> ScanVerdict:
        mail = email.message_from_bytes(self.seen, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        found = any(self.needle in (part.get_payload(decode=True) or b"") for part in mail.walk())
        return ScanVerdict(not found, "Test.Found" if found else "")

    def close(self) -> None:
        pass


def test_an_infected_answer_is_held_the_reader_and_the_operator_hear_of_it(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    scanner = FakeScanner(b"BAD-OCTETS")
    linked.start(scanner)
    item = reader.reply(mail.manifest.id, files={"bad.bin": b"..BAD-OCTETS.."})
    linked.go()
    assert reader.sent_states() == {item.id: "refused"}
    (receipt,) = reader.read_all("receipt")
    assert receipt.manifest.state == "refused"
    with linked.inside.db.reading() as tx:
        rows = tx.fetch_all(
            "SELECT c.id, c.state, c.last_text FROM copy c JOIN message m ON m.id = c.message_id"
            " WHERE m.origin = 'portal'"
        )
    ((copy_id, state, text),) = rows
    assert (state, text) == ("held", "the scanner says Test.Found")
    assert any("scanner" in alert for alert in linked.alerts())
    # A person may let it go.
    release(linked.inside.db, TENANT, [copy_id], ACTOR)
    # A clean one passes.
    reader.reply(mail.manifest.id, files={"good.bin": b"fine"})
    linked.go()
    assert list(reader.sent_states().values()).count("taken") == 1


def test_a_scanner_that_is_away_holds_back_and_loses_nothing(linked: Linked) -> None:
    reader = linked.open_mailbox()
    (mail,) = reader.read_all()
    scanner = FakeScanner(b"BAD", is_away=True)
    linked.start(scanner)
    item = reader.reply(mail.manifest.id)
    linked.pull()
    assert reader.sent_states() == {item.id: "waiting"}
    assert linked.arrived() == []
    scanner.is_away = False
    linked.pull()
    assert reader.sent_states() == {item.id: "taken"}
    assert len(linked.arrived()) == 1
