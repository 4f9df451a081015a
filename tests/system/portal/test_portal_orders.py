"""First passwords end, are made anew and told; orders by keyword mail; notices and what comes back to them."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from relay.core.wire.sealed import MailboxDataError
from tests.system.gateway import Gateway, Left
from tests.system.portal.partner import Partner
from tests.system.portal_walk import (
    ANNA,
    FIRST,
    OWN,
    portal_url,
    text_of,
    to,
    wait_for_first_password,
    write_to,
)

pytestmark = pytest.mark.timeout(300)
OTTO = "otto.brandt@bank.example"
PATIENCE = 120.0
DAY = 86400


@dataclass
class Site:
    """The gateway and its clock, which only goes forward."""

    gateway: Gateway
    ahead: int = 0

    def advance(self, seconds: int) -> None:
        self.ahead += seconds
        self.gateway.set_clock(self.ahead)

    def send(self, partner: str, subject: str, sender: str = ANNA, re_: str = "") -> str:
        """Send a mail or an order; return its Message-ID."""
        mail = write_to(partner, subject, f"text of {subject}\n").replace(ANNA.encode(), sender.encode())
        if re_:
            mail = f"In-Reply-To: {re_}\r\nReferences: {re_}\r\n".encode() + mail
        self.gateway.send(mail, sender, partner)
        found = re.search(rb"^Message-ID: (<\S+>)", mail, re.MULTILINE)
        assert found is not None
        return found[1].decode()

    def first_passwords(self, partner: str, teller: str = ANNA) -> list[str]:
        """Return the first passwords that a sender was told for a partner, oldest first."""
        found = []
        for one in to(self.gateway.outbox(), teller, f"mailbox of {partner}"):
            match = FIRST.search(text_of(one))
            if match is not None:
                found.append(match[1])
        return found

    def wait_for_password(self, partner: str, count: int, teller: str = ANNA) -> str:
        """Wait for the so-manieth first password."""
        self.gateway.wait_until(lambda: len(self.first_passwords(partner, teller)) >= count, PATIENCE)
        assert len(self.first_passwords(partner, teller)) == count
        return self.first_passwords(partner, teller)[-1]

    def wait_for_words(self, address: str, subject: str, words: str) -> Left:
        """Wait for a mail with such a subject and such words in its text."""

        def find() -> list[Left]:
            return [one for one in to(self.gateway.outbox(), address, subject) if words in flat(one)]

        self.gateway.wait_until(find, PATIENCE)
        return find()[-1]

    def open_mailbox(self, partner: str, subject: str) -> Partner:
        """Send a first mail; the partner chooses an own password and the inside hears of it."""
        self.send(partner, subject)
        found = Partner(self.gateway, partner).begin(wait_for_first_password(self.gateway, partner)[0], OWN)
        self.gateway.wait(lambda left: to(left, ANNA, f"{partner} has opened"), PATIENCE)
        return found

    def settle(self, partner: str) -> None:
        """Wait until nothing for a partner waits any more."""
        self.gateway.wait_until(
            lambda: all(
                c.state not in ("received", "decided", "queued") for c in self.gateway.copies() if c.to == partner
            ),
            PATIENCE,
        )

    def notices(self, partner: str) -> list[Left]:
        """Return the notices of mail that a partner got: those with the portal's address."""
        url = f"{portal_url(self.gateway)}/\n"
        return [one for one in to(self.gateway.outbox(), partner) if url in text_of(one)]


def flat(left: Left) -> str:
    """Return a mail's text on one line."""
    return " ".join(text_of(left).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    gateway = Gateway(tmp_path_factory.mktemp("orders") / "state", portal=True).start()
    yield Site(gateway)
    assert gateway.stop() == 0


def test_one_notice_in_each_quiet_period(site: Site) -> None:
    partner = "greta.quiet@kanzlei.example"
    site.open_mailbox(partner, "one")
    site.send(partner, "two")
    site.send(partner, "three")
    site.settle(partner)
    assert len(site.notices(partner)) == 1
    site.advance(4 * 3600 + 60)
    site.send(partner, "four")
    site.gateway.wait_until(lambda: len(site.notices(partner)) == 2, PATIENCE)
    site.send(partner, "five")
    site.settle(partner)
    assert Partner(site.gateway, partner).sign_in(OWN).subjects() == ["one", "two", "three", "four", "five"]
    assert len(site.notices(partner)) == 2
    for notice in site.notices(partner):
        assert partner not in portal_links(notice)
        assert OWN not in notice.raw.decode()


def portal_links(left: Left) -> str:
    """Return all addresses of a mail in one text."""
    return " ".join(re.findall(r"https://\S+", text_of(left)))


def test_a_notice_that_bounces_is_told_to_the_sender_in_words(site: Site) -> None:
    partner = "nobody.there@kanzlei.example"
    site.send(partner, "Will not be heard of")
    _, notice = wait_for_first_password(site.gateway, partner)
    assert "return+" in notice.mail_from
    with smtplib.SMTP("127.0.0.1", site.gateway.base + 1, timeout=60) as client:
        client.sendmail("", [notice.mail_from], bounce(notice.mail_from, partner))
    told = site.wait_for_words(ANNA, partner, "we told " + partner + " by e-mail that a message of yours is waiting")
    assert "5.1.1" in flat(told)
    assert "no such user here" in flat(told)
    assert b"Will not be heard of" not in told.raw


def bounce(to_: str, partner: str) -> bytes:
    """A report of another mail server (RFC 3464)."""
    return (
        f"From: MAILER-DAEMON@mx.kanzlei.example\r\nTo: {to_}\r\nSubject: failure notice\r\n"
        "MIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\nMessage-ID: <b1@mx.kanzlei.example>\r\n"
        "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b1"\r\n\r\n'
        "--b1\r\nContent-Type: text/plain\r\n\r\nIt did not work.\r\n"
        "--b1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.kanzlei.example\r\n\r\n"
        f"Final-Recipient: rfc822; {partner}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n\r\n--b1--\r\n"
    ).encode()


def test_resend_makes_a_new_first_password_once_a_day(site: Site) -> None:
    partner = "emil.resend@kanzlei.example"
    site.send(partner, "Before the order")
    old = site.wait_for_password(partner, 1)
    site.send(partner, "{resend}", OTTO)
    site.wait_for_words(
        OTTO, 'order "resend"', "Nothing was done: a new password goes only to somebody who has written"
    )
    site.send(partner, "{resend}")
    site.wait_for_words(ANNA, 'order "resend"', "It is being done.")
    new = site.wait_for_password(partner, 2)
    emil = Partner(site.gateway, partner)
    assert emil.try_password(old) == 401
    site.gateway.wait(lambda left: to(left, partner, "first password"), PATIENCE)
    (mail,) = to(site.gateway.outbox(), partner, "first password")
    assert portal_url(site.gateway) not in text_of(mail)  # nobody else's mail lies there: no code, no link
    assert new not in mail.raw.decode()
    site.send(partner, "{resend}")
    site.wait_for_words(ANNA, 'order "resend"', "only once a day")
    assert emil.begin(new, OWN).subjects() == ["Before the order"]
    site.gateway.wait(lambda left: to(left, ANNA, f"{partner} has opened"), PATIENCE)
    site.send(partner, "{resend}")
    site.wait_for_words(ANNA, 'order "resend"', "write {reset} instead of {resend}")
    assert emil.sign_in(OWN).subjects() == ["Before the order"]


def test_reset_keeps_old_mail_and_takes_a_code_where_others_have_written(site: Site) -> None:
    partner = "rosa.reset@kanzlei.example"
    rosa = site.open_mailbox(partner, "Of Anna")
    site.send(partner, "Of Otto", OTTO)
    site.settle(partner)
    assert rosa.subjects() == ["Of Anna", "Of Otto"]
    site.send(partner, "{reset}", OTTO)
    first = site.wait_for_password(partner, 1, OTTO)
    assert len(site.first_passwords(partner)) == 1  # Anna is not told
    site.gateway.wait(lambda left: to(left, partner, "first password"), PATIENCE)
    (mail,) = to(site.gateway.outbox(), partner, "first password")
    code = re.search(r"#c=([0-9A-Z-]+)", text_of(mail))
    assert code is not None
    for one in site.gateway.outbox():
        assert one.rcpt_to == [partner] or code[1] not in one.raw.decode("utf-8", "replace")
        assert one.rcpt_to == [OTTO] or first not in one.raw.decode("utf-8", "replace")
    assert rosa.api("GET", "messages")[0] == 401  # signed out
    assert rosa.try_password(OWN) == 401
    assert rosa.try_password(first) == 401
    rosa.begin(first, "the third walk to the river", code[1])
    assert rosa.subjects() == ["Of Anna", "Of Otto"]
    assert rosa.try_password(OWN) == 401
    assert rosa.try_password(first, code[1]) == 401


def test_revoke_takes_a_message_out(site: Site) -> None:
    partner = "paul.revoke@kanzlei.example"
    paul = site.open_mailbox(partner, "Stays")
    unread = site.send(partner, "Unread one")
    read = site.send(partner, "Read one")
    site.settle(partner)
    found = {one.manifest.mail.subject: one.manifest.id for one in paul.inbox() if one.manifest.mail}
    paul.send("read", found["Read one"])
    site.gateway.wait_until(
        lambda: site.gateway.sql("SELECT 1 FROM mailbox_message WHERE read_at IS NOT NULL"), PATIENCE
    )
    site.send(partner, "{revoke} Re: Unread one", OTTO, unread)
    site.wait_for_words(OTTO, 'order "revoke"', "is not in the mailbox of")
    site.send(partner, "{revoke}")
    site.wait_for_words(ANNA, 'order "revoke"', "it is not clear which message you mean")
    assert len(paul.subjects()) == 3
    site.send(partner, "{revoke} Re: Unread one", re_=unread)
    site.wait_for_words(ANNA, 'order "revoke"', f"{partner} had not opened it")
    site.send(partner, "{revoke} Re: Read one", re_=read)
    site.wait_for_words(ANNA, 'order "revoke"', f"{partner} has read it before")
    site.gateway.wait_until(lambda: paul.subjects() == ["Stays"], PATIENCE)
    assert paul.call("GET", f"/api/blobs/{found['Unread one']}/0/0")[0] == 404
    # An order is no mail: the partner has got none of them.
    assert [one for one in to(site.gateway.outbox(), partner) if b"{revoke}" in one.raw] == []


def test_ten_wrong_tries_end_a_first_password_and_the_next_mail_makes_another(site: Site) -> None:
    partner = "theo.tries@kanzlei.example"
    site.send(partner, "Before the tries")
    first = site.wait_for_password(partner, 1)
    theo = Partner(site.gateway, partner)
    for number in range(10):
        if number >= 5:
            site.advance(60)
        assert theo.try_password(f"a wrong password {number}") == 401
    site.advance(1000)
    site.wait_for_words(ANNA, f"first password for {partner} is void", "typed a wrong password 10 times")
    assert theo.try_password(first) == 401
    site.send(partner, "After the tries")
    second = site.wait_for_password(partner, 2)
    assert theo.try_password(first) == 401
    assert theo.begin(second, OWN).subjects() == ["Before the tries", "After the tries"]


def test_seven_days_end_a_first_password_and_the_next_mail_makes_another(site: Site) -> None:
    partner = "nora.week@kanzlei.example"
    site.send(partner, "Before the week")
    first = site.wait_for_password(partner, 1)
    nora = Partner(site.gateway, partner)
    site.advance(7 * DAY + 60)
    assert nora.try_password(first) == 401
    site.wait_for_words(ANNA, f"first password for {partner} is void", "within 7 days")
    site.send(partner, "After the week")
    second = site.wait_for_password(partner, 2)
    assert nora.try_password(first) == 401
    assert nora.begin(second, OWN).subjects() == ["Before the week", "After the week"]


def test_without_escrow_a_reset_loses_old_mail_and_says_so(site: Site) -> None:
    partner = "vito.escrow@kanzlei.example"
    site.gateway.cli("portal", "card", "rotate", "--no-escrow")
    site.gateway.wait_until(lambda: len(Partner(site.gateway, partner).cards()) == 2, PATIENCE)
    vito = site.open_mailbox(partner, "Lost by the reset")
    assert vito.subjects() == ["Lost by the reset"]
    site.send(partner, "{reset}")
    second = site.wait_for_password(partner, 2)
    told = to(site.gateway.outbox(), ANNA, f"mailbox of {partner}")[-1]
    assert "Earlier messages in this mailbox cannot be opened any more." in flat(told)
    assert vito.try_password(OWN) == 401
    renewed = to(site.gateway.outbox(), partner, "first password")[-1]
    code = re.search(r"#c=([0-9A-Z-]+)", text_of(renewed))
    assert code is not None
    vito.begin(second, "the third walk to the river", code[1])
    with pytest.raises(MailboxDataError):
        vito.subjects()
