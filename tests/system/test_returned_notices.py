"""What comes back to a mail of ours is told to its sender in words, once, whoever sent it back."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from relay.core.clock import SystemClock
from relay.core.ports import Actor
from relay.core.returns import make_return_address
from relay.keystore.public import SpoolPublicFile
from relay.settings import load_settings
from relay.spool.system_mail import SystemMail, new_system_message
from relay.store.base import Database
from relay.store.repositories.return_paths import add_return_path
from tests.system.gateway import Gateway, Left

ANNA = "anna.keller@bank.example"
LOST = "j.okafor@partner.example"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("returned") / "state").start()
    yield gateway
    assert gateway.stop() == 0


def make_path(gateway: Gateway) -> str:
    database = Database.open(f"sqlite:///{gateway.state}/inside/state/letterlock.db", SystemClock(None), "test")
    try:
        with database.transaction() as tx:
            token = add_return_path(tx, "main", kind="portal-notice", sender=ANNA, recipient=LOST, message_id="A" * 22)
    finally:
        database.close()
    return make_return_address(token, "bank.example")


def postfix_report(to: str, action: str) -> bytes:
    """A report as a Postfix of these days writes it (RFC 3464)."""
    status = "5.1.1" if action == "failed" else "4.4.1"
    return (
        f"From: MAILER-DAEMON@mx.partner.example (Mail Delivery System)\r\nTo: {to}\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        "Date: Fri, 20 Nov 2026 10:00:00 +0000 (UTC)\r\nMessage-Id: <4Xy@mx.partner.example>\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b1"\r\n\r\n'
        "--b1\r\nContent-Description: Notification\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        "This is the mail system at host mx.partner.example.\r\n\r\n"
        "--b1\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.partner.example\r\nX-Postfix-Queue-ID: 4Xy\r\n\r\n"
        f"Final-Recipient: rfc822; {LOST}\r\nOriginal-Recipient: rfc822;{LOST}\r\nAction: {action}\r\n"
        f"Status: {status}\r\nRemote-MTA: dns; inner.partner.example\r\n"
        f"Diagnostic-Code: smtp; 550 {status} <{LOST}>: Recipient address rejected:\r\n    nobody of that name\r\n\r\n"
        "--b1\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: kept-to-ourselves\r\n\r\n--b1--\r\n"
    ).encode()


def hand_in(gateway: Gateway, to: str, data: bytes, mail_from: str = "") -> None:
    with smtplib.SMTP("127.0.0.1", gateway.base + 1, timeout=20) as client:
        client.sendmail(mail_from, [to], data)


def told(gateway: Gateway) -> list[Left]:
    return [left for left in gateway.outbox() if LOST in str(left.message["Subject"])]


def test_a_bounce_is_told_once_in_words(gateway: Gateway) -> None:
    address = make_path(gateway)
    hand_in(gateway, address, postfix_report(address, "delayed"))
    # Servers on the way may have changed the case of the local part.
    hand_in(gateway, address.upper(), postfix_report(address, "failed"))
    gateway.wait_until(lambda: told(gateway))
    hand_in(gateway, address, postfix_report(address, "failed"))
    gateway.wait_until(lambda: [c.state for c in gateway.copies() if "return+" in c.to.lower()] == ["discarded"] * 3)
    (mail,) = told(gateway)
    text = mail.message.get_body().get_content()
    assert mail.rcpt_to == [ANNA]
    assert LOST in text
    assert "5.1.1" in text
    assert "nobody of that name" in text
    assert "kept-to-ourselves" not in mail.raw.decode()
    assert "notice.bounced" in gateway.cli("audit", "events")


def test_an_automatic_answer_reaches_the_sender_and_a_stranger_reaches_nobody(gateway: Gateway) -> None:
    address = make_path(gateway)
    away = EmailMessage()
    away["From"], away["To"], away["Subject"] = LOST, address, "Out of office"
    away["Auto-Submitted"] = "auto-replied"
    away.set_content("Back on Monday.")
    before = len(gateway.outbox())
    hand_in(gateway, address, away.as_bytes(policy=SMTP))
    answers = gateway.wait(lambda left: [one for one in left[before:] if one.message["Subject"] == "Out of office"])
    assert answers[-1].rcpt_to == [ANNA]
    stranger = EmailMessage()
    stranger["From"], stranger["To"], stranger["Subject"] = "x@evil.example", address, "Buy"
    stranger.set_content("now")
    count = len(gateway.outbox())
    hand_in(gateway, address, stranger.as_bytes(policy=SMTP), "x@evil.example")
    hand_in(gateway, make_return_address("a" * 26, "bank.example"), postfix_report(address, "failed"))
    ended = lambda: [c for c in gateway.copies() if "return+" in c.to.lower() and c.state == "discarded"]  # noqa: E731
    gateway.wait_until(lambda: len(ended()) == 6)
    assert len(gateway.outbox()) == count


def test_the_report_of_our_own_delivery_takes_the_same_way(gateway: Gateway) -> None:
    """A mail of ours that cannot be delivered: the report goes to the return address and is read there, not sent."""
    address = make_path(gateway)
    settings = load_settings(gateway.state / "inside/letterlock.toml")
    before = len(told(gateway))
    own = SystemMail("portal-notice", address, (LOST,), b"Subject: waiting\r\n\r\nx\r\n", hop="outside:127.0.0.1:1")
    gateway.put("routes", lambda routes: routes.update(routes=routes["routes"][:1]))
    database = Database.open(settings.database_url, SystemClock(None), "test")
    try:
        with database.transaction() as tx:
            public = SpoolPublicFile(settings.keys.public_file).current
            message_id = new_system_message(tx, public, "main", own, Actor("operator", "test"))
    finally:
        database.close()
    gateway.wait_until(lambda: gateway.copies(message_id)[0].state == "deferred")
    gateway.set_clock(6 * 86400)
    gateway.wait_until(lambda: len(told(gateway)) == before + 1)
    assert gateway.copies(message_id)[0].state == "failed"
    assert not any(left.rcpt_to == [address] for left in gateway.outbox())
