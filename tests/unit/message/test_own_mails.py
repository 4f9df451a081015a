"""Carrier mails, notices, delivery reports and message.eml, judged by Python's own mail parser."""

from __future__ import annotations

import base64
import email
import email.policy
import io
import os
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import cast

import pytest

from relay.core.errors import ConfigurationError
from relay.message.addresses import Mailbox
from relay.message.compose import CarrierMail, MailBrand, SystemMail, write_carrier, write_system_mail
from relay.message.dsn import (
    Action,
    DsnRecipient,
    DsnReport,
    decode_xtext,
    encode_xtext,
    is_dsn_wanted,
    write_dsn,
)
from relay.message.eml import full_message_eml, message_eml
from relay.message.encode import iter_base64
from relay.message.parse import ParsedMessage, parse_message
from relay.message.texts import MailTexts

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
BRAND = MailBrand("Example Bank", contact="+49 30 0000000")
ORIGINAL = (
    b"Received: from pc.inside.bank.example by gw.bank.example with ESMTP id 1; now\r\n"
    b"Return-Path: <x@bank.example>\r\nDKIM-Signature: v=1\r\nX-Mailer: Client 1\r\nX-Originating-IP: 10.0.0.7\r\n"
    b"From: Anna Keller <anna.keller@bank.example>\r\nFrom: second@bank.example\r\n"
    b"Sender: Office <office@bank.example>\r\nReply-To: team@bank.example\r\nTo: =?utf-8?q?J=C3=B6rg?=\r\n"
    b" <joerg@partner.example>\r\nCc: c@partner.example\r\nBcc: hidden@partner.example\r\n"
    b"Resent-Bcc: hidden2@partner.example\r\n"
    b"Subject: {pdf} Secret plan\r\nThread-Topic: Secret plan\r\nDate: Fri, 20 Nov 2026 08:30:00 +0100\r\n"
    b"Message-ID: <one@bank.example>\r\nIn-Reply-To: <zero@partner.example>\r\n"
    b"References: <minus@partner.example>\r\n <zero@partner.example>\r\nAuto-Submitted: no\r\n"
    b"List-Id: <l.bank.example>\r\n"
    b"Importance: high\r\nSensitivity: Private\r\nDisposition-Notification-To: anna.keller@bank.example\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe secret text\r\n"
)


def parse(octets: bytes) -> ParsedMessage:
    return parse_message(io.BytesIO(octets))


def read(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert [defect for part in message.walk() for defect in part.defects] == []
    return message


def write(mail: CarrierMail, content: bytes = b"PDF") -> bytes:
    return b"".join(write_carrier(mail, [content]))


def carrier(original: bytes = ORIGINAL, **more: object) -> CarrierMail:
    values: dict[str, object] = {"subject": "Secret plan", "reply_url": "https://mail.bank.example/r/abc?x=1&y=2"}
    return CarrierMail(parse(original).fields, BRAND, "gw.bank.example", **(values | more))  # type: ignore[arg-type]


def content_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return cast(str, part.get_content()).replace("\r\n", "\n")


def test_a_carrier_keeps_the_thread_and_nothing_private() -> None:
    message = read(write(carrier()))
    assert message.keys() == [
        "From", "Sender", "Reply-To", "To", "Cc", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
        "Importance", "List-Id", "Subject", "X-Letterlock-Trace", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert message["Message-ID"] == "<one@bank.example>"
    assert message["From"] == "Anna Keller <anna.keller@bank.example>"
    assert message["References"].split() == ["<minus@partner.example>", "<zero@partner.example>"]
    whole = write(carrier()).lower()
    for leak in (b"hidden", b"10.0.0.7", b"inside.bank", b"secret text", b"dkim", b"client 1"):
        assert leak not in whole


def test_rules_remove_kept_fields_and_add_others() -> None:
    mail = carrier(
        removed=frozenset(("reply-to", "list-id", "x-none")), added=(("X-Class", "bänk"), ("importance", "low"))
    )
    message = read(write(mail))
    assert message.keys() == [
        "From", "Sender", "To", "Cc", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
        "X-Class", "importance", "Subject", "X-Letterlock-Trace", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert (message["X-Class"], message["Importance"]) == ("bänk", "low")


def test_kept_fields_stay_octet_for_octet() -> None:
    assert b"\r\nTo: =?utf-8?q?J=C3=B6rg?=\r\n <joerg@partner.example>\r\n" in write(carrier())


def test_the_first_piece_holds_the_whole_header() -> None:
    first = next(write_carrier(carrier(), [b"x"]))
    assert b"\r\n\r\n" in first


def test_a_confidential_carrier_has_a_generic_subject() -> None:
    for languages, subject in ((("de", "en"), "Geschützte Nachricht von"), (("en",), "Protected message from")):
        octets = write(carrier(subject=None, languages=languages))
        assert read(octets)["Subject"] == f"{subject} Example Bank"
        assert b"ecret" not in octets


def test_the_file_travels_unharmed() -> None:
    for size in (0, 1, 2, 3, 56, 57, 58, 57 * 1024, 57 * 1024 + 1, 300_000):
        content = os.urandom(size)
        message = read(write(carrier(), content))
        [file] = list(message.iter_attachments())
        assert (file.get_filename(), file.get_content_type()) == ("message.pdf", "application/pdf")
        assert file.get_content() == content


def test_base64_is_the_same_whatever_the_pieces() -> None:
    data = os.urandom(200_000)
    expected = base64.encodebytes(data).replace(b"\n", b"\r\n")
    for step in (1000, 57, 58368, 58367, 100_001, 200_000):
        assert b"".join(iter_base64(data[at : at + step] for at in range(0, len(data), step))) == expected


def test_a_carrier_of_a_mail_without_header_is_still_a_mail() -> None:
    message = read(write(carrier(b"just text\r\n", date=NOW)))
    assert message["From"] == "postmaster@gw.bank.example"
    assert message["Date"] == "Fri, 20 Nov 2026 08:30:00 +0000"
    assert re.fullmatch(r"<[\w-]{22}@gw\.bank\.example>", message["Message-ID"])
    assert "undisclosed" in message["To"]
    named = carrier(b"just text\r\n", fallback_author=Mailbox("", "anna@bank.example"))
    assert read(write(named))["From"] == "anna@bank.example"


@pytest.mark.parametrize("smtputf8", [True, False])
def test_raw_8bit_fields_travel_as_the_way_allows(smtputf8: bool) -> None:
    original = "From: Jörg <joerg@bank.example>\r\nTo: a@partner.example\r\nMessage-ID: <ä@b>\r\n\r\nx".encode()
    header = write(carrier(original, smtputf8=smtputf8)).split(b"\r\n\r\n")[0]
    assert ("Jörg".encode() in header) is smtputf8
    assert parse(header + b"\r\n\r\n").authors[0] == Mailbox("Jörg", "joerg@bank.example")


def test_broken_fields_of_the_original_do_not_break_the_carrier() -> None:
    original = (
        b"From: a@bank.example\r\nTo: x\x00y@partner.example, \r\n\t\rBcc: z@partner.example\r\nDate: never\r\n"
        b"Message-ID: none\r\nReferences: " + b"<a@b>" * 400 + b"\r\nIn-Reply-To: nonsense\x00\r\n\r\nx"
    )
    octets = write(carrier(original, date=NOW))
    header = octets.split(b"\r\n\r\n")[0]
    assert b"\0" not in header
    assert b"\r" not in header.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in header.split(b"\r\n"))
    assert "Bcc" not in read(octets)


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._href: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "form", "iframe", "link", "style")
        if tag == "a":
            self._href = dict(attrs)["href"]

    def handle_data(self, data: str) -> None:
        if self._href is not None:
            self.found.append((self._href, data))
            self._href = None


def test_the_only_link_shows_where_it_leads() -> None:
    message = read(write(carrier(languages=("en",))))
    links = Links()
    links.feed(content_of(message, "html"))
    assert links.found == [("https://mail.bank.example/r/abc?x=1&y=2",) * 2]
    assert "https://mail.bank.example/r/abc?x=1&y=2" in content_of(message, "plain").split("\n")


def test_the_explanation_fits_the_case() -> None:
    with_link = content_of(read(write(carrier())), "plain")
    without = content_of(read(write(carrier(reply_url=None, is_pair_password=False))), "plain")
    with_link, without = (" ".join(text.split()) for text in (with_link, without))
    for text in (with_link, without):
        assert "Anna Keller (anna.keller@bank.example)" in text
        assert "+49 30 0000000" in text
        assert "encrypted attachment" in text
        assert "$" not in text
    assert "dasselbe Passwort" in with_link
    assert "dasselbe Passwort" not in without
    assert "normale Antwort" in without
    assert "normale Antwort" not in with_link


def test_names_cannot_smuggle_markup() -> None:
    original = b'From: "<b>x</b> $author https://evil.example" <a@bank.example>\r\n\r\nx'
    message = read(write(carrier(original, reply_url=None)))
    html = content_of(message, "html")
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "<a " not in html


# --- notices ----------------------------------------------------------------------------------------------------------

VALUES = {
    "recipients": "jörg@partner.example",
    "recipient": "jörg@partner.example",
    "subject": "Grüße # <b> $author https://evil.example",
    "date": "20.11.2026",
    "time": "08:30",
    "organisation": "Example Bank",
    "message_id": "abc",
    "reason": "because",
    "passwords": "jörg@partner.example\n\n    dghz-4eb6-7gnc-xxd6\n\n    d Delta\n    <g> Golf",
    "events": "2026-11-20 held one\n2026-11-20 held two",
    "count": "2",
    "hostname": "gw.bank.example",
    "warnings": "jörg@partner.example\n\n    It may not.",
}
NOTICES = ("password-notice", "held-notice", "warning-notice", "alert")


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("name", NOTICES)
def test_notices_are_whole_mails(name: str, language: str) -> None:
    text = MailTexts().render(name, language, VALUES, BRAND)
    mail = SystemMail(
        Mailbox("Letterlock", "letterlock@bank.example"), (Mailbox("", "anna@bank.example"),), text, NOW,
        "gw.bank.example", ("<one@bank.example>", "<broken"),
    )  # fmt: skip
    message = read(write_system_mail(mail))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["References"] == "<one@bank.example>"
    assert message["Content-Language"] == language
    plain, html = content_of(message, "plain"), content_of(message, "html")
    assert f'<html lang="{language}">' in html
    assert "<b>" not in html
    assert "<a " not in html
    for body in (plain, html):
        assert not re.search(r"\$[a-z]", body.replace("$author", ""))
    if name == "password-notice":
        for body in (plain, html):
            assert "dghz-4eb6-7gnc-xxd6" in body
        assert "    d Delta" in plain
        assert "dghz" not in message["Subject"]


def test_a_password_of_one_message_is_called_that() -> None:
    texts = MailTexts()
    pair = texts.render("password-notice", "en", VALUES).text
    single = texts.render("password-notice", "en", VALUES | {"single": "yes"}).text
    assert "this one message only" in single
    assert "next messages" in pair
    assert "this one message only" not in pair


def test_every_template_exists_in_both_languages_and_reads() -> None:
    from relay.core.resources import templates_folder

    names = sorted(path.name for path in (templates_folder() / "mail").glob("*.txt"))
    assert {name.split(".")[0] for name in names if ".de." in name} == {
        name.split(".")[0] for name in names if ".en." in name
    }
    assert {f"{name}.de.txt" for name in (*NOTICES, "carrier", *(f"dsn-{action.value}" for action in Action))} <= set(
        names
    )


def test_a_missing_value_or_template_is_an_error() -> None:
    with pytest.raises(KeyError):
        MailTexts().render("held-notice", "en", {})
    with pytest.raises(ConfigurationError):
        MailTexts().render("no-such", "en", {})


def test_an_unknown_language_is_english() -> None:
    assert MailTexts().render("held-notice", "fr", VALUES).language == "en"


# --- delivery reports -------------------------------------------------------------------------------------------------


def report(**more: object) -> DsnReport:
    one = DsnRecipient(
        "joerg@partner.example", Action.FAILED, "5.1.1", orcpt="rfc822;jo+2Berg@partner.example",
        diagnostic="550 5.1.1 user unknown", remote_mta="mx.partner.example", last_attempt=NOW, will_retry_until=NOW,
    )  # fmt: skip
    values: dict[str, object] = {
        "reporting_mta": "gw.bank.example",
        "author": Mailbox("Letterlock", "mailer-daemon@gw.bank.example"),
        "to": "anna.keller@bank.example",
        "arrival": NOW,
        "date": NOW,
        "recipients": (one,),
        "envid": "QQ314159+2B",
        "original_fields": parse(ORIGINAL).fields,
    }
    return DsnReport(**(values | more))  # type: ignore[arg-type]


def groups(message: EmailMessage) -> list[dict[str, str]]:
    status = list(message.iter_parts())[1]
    return [dict(group.items()) for group in cast(list[EmailMessage], status.get_payload())]


def test_a_report_is_what_rfc_3464_asks_for() -> None:
    octets = b"".join(write_dsn(report()))
    message = read(octets)
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<one@bank.example>"
    assert groups(message) == [
        {
            "Original-Envelope-Id": "QQ314159+",
            "Reporting-MTA": "dns; gw.bank.example",
            "Arrival-Date": "Fri, 20 Nov 2026 08:30:00 +0000",
        },
        {
            "Original-Recipient": "rfc822; jo+erg@partner.example",
            "Final-Recipient": "rfc822; joerg@partner.example",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.partner.example",
            "Diagnostic-Code": "smtp; 550 5.1.1 user unknown",
            "Last-Attempt-Date": "Fri, 20 Nov 2026 08:30:00 +0000",
        },
    ]
    parsed = parse(octets)
    assert parsed.is_dsn
    assert "konnte nicht zugestellt werden" in (parsed.body_text() or "")
    assert "could not be delivered" in (parsed.body_text() or "")


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_its_words(action: Action) -> None:
    words = (("de", "weil"), ("en", "because"))
    one = DsnRecipient("j@partner.example", action, "4.4.1", explanation=words, will_retry_until=NOW)
    message = read(b"".join(write_dsn(report(recipients=(one,)))))
    assert groups(message)[1]["Action"] == action.value
    assert ("Will-Retry-Until" in groups(message)[1]) is (action is Action.DELAYED)
    text = next(iter(message.iter_parts())).get_content()
    assert "weil" in text
    assert "because" in text


def test_no_body_and_no_confidential_subject_goes_back() -> None:
    octets = b"".join(write_dsn(report(ret="FULL")))
    assert b"The secret text" not in octets
    assert b"Secret plan" in octets
    octets = b"".join(write_dsn(report(show_subject=False)))
    assert b"ecret plan" not in octets
    assert b"Message-ID: <one@bank.example>" in octets


def test_ret_full_returns_the_clear_original_when_it_is_given() -> None:
    message = read(b"".join(write_dsn(report(ret="FULL", original=io.BytesIO(ORIGINAL)))))
    assert list(message.iter_parts())[2].get_content_type() == "message/rfc822"
    octets = b"".join(write_dsn(report(ret="FULL", original=io.BytesIO(ORIGINAL))))
    assert ORIGINAL in octets
    assert ORIGINAL not in b"".join(write_dsn(report(ret="HDRS", original=io.BytesIO(ORIGINAL))))


def test_hostile_values_stay_in_their_line() -> None:
    one = DsnRecipient("a@b.example\r\nX: y", Action.FAILED, "5.1.1\r\nX: y", orcpt="rfc822;+0D+0AX: y",
                       diagnostic="550 a\r\nX: y", remote_mta="a\r\nX: y")  # fmt: skip
    message = read(b"".join(write_dsn(report(recipients=(one,), envid="+0D+0AX: y"))))
    for group in groups(message):
        assert "X" not in group
    assert groups(message)[1]["Status"] == "5.0.0"


def test_utf8_addresses_are_written_as_rfc_6533_says() -> None:
    one = DsnRecipient("jörg@partner.example", Action.FAILED, "5.1.1")
    plain = b"".join(write_dsn(report(recipients=(one,))))
    assert b"Final-Recipient: utf-8; j\\x{F6}rg@partner.example" in plain
    assert b"message/delivery-status" in plain
    worldly = b"".join(write_dsn(report(recipients=(one,), smtputf8=True)))
    assert "Final-Recipient: utf-8; jörg@partner.example".encode() in worldly
    assert b"message/global-delivery-status" in worldly


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        (None, {Action.FAILED, Action.DELAYED}),
        (frozenset({"NEVER"}), set()),
        (frozenset({"FAILURE"}), {Action.FAILED}),
        (frozenset({"DELAY"}), {Action.DELAYED}),
        (frozenset({"SUCCESS"}), {Action.DELIVERED, Action.RELAYED, Action.EXPANDED}),
        (frozenset({"SUCCESS", "FAILURE", "DELAY"}), set(Action)),
    ],
)
def test_notify_is_obeyed(notify: frozenset[str] | None, wanted: set[Action]) -> None:
    assert {action for action in Action if is_dsn_wanted(notify, action)} == wanted


def test_xtext_goes_both_ways() -> None:
    for text in ("plain", "a+b=c d", "jörg@bänk.example", ""):
        assert decode_xtext(encode_xtext(text)) == text
    assert encode_xtext("a+b=c") == "a+2Bb+3Dc"
    assert decode_xtext("+ZZ+4") == "+ZZ+4"


# --- message.eml ------------------------------------------------------------------------------------------------------


def test_the_embedded_message_holds_text_and_shown_fields_only() -> None:
    octets = message_eml(parse(ORIGINAL), "Secret plan")
    message = read(octets)
    assert message.keys() == [
        "From", "Sender", "Reply-To", "To", "Cc", "Date", "Subject", "Message-ID", "In-Reply-To", "References",
        "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    ]  # fmt: skip
    assert message["Subject"] == "Secret plan"
    assert message.get_content().strip() == "The secret text"
    assert b"hidden" not in octets


def test_the_full_one_has_long_texts_and_pictures() -> None:
    long = "wörd " * 600_000
    original = EmailMessage()
    original["From"] = "a@bank.example"
    original.set_content(long)
    original.add_alternative('<p>Grüße <img src="cid:x@y">', subtype="html")
    html_part = cast(list[EmailMessage], original.get_payload())[1]
    name = "w" * 100 + 'Plän "1".png'
    html_part.add_related(b"\x89PNG", maintype="image", subtype="png", cid="<x@y>", filename=name, disposition="inline")
    original.add_attachment(b"file", maintype="application", subtype="pdf", filename="a.pdf")
    parsed = parse(original.as_bytes())
    short, full = message_eml(parsed), full_message_eml(parsed)
    assert (parsed.body_text() or "").endswith("[…]\n")
    assert "message" not in [file.name for file in parsed.attachments()]
    assert len(parsed.attachments()) == 2, "the long text is offered whole"
    assert parse(short).inline_images() == ()
    again = parse_message(io.BytesIO(full))
    assert (again.body_text(whole=True) or "").count("wörd") == 600_000
    assert [(image.content, image.name) for image in again.inline_images()] == [(b"\x89PNG", name[-80:])]
    assert again.attachments() == () or all(one.media_type == "text/plain" for one in again.attachments())
