"""A parsed mail as a mailbox shows it: heads that fit a manifest, names that are JSON, nothing lost."""

from __future__ import annotations

import email.policy
import io
from email.message import EmailMessage
from pathlib import Path

import pytest

from relay.core.wire.sealed import MAX_HEAD, MailHead, Manifest, Part, make_id
from relay.mailbox.compose import (
    ComposedMail,
    TooLargeForMailboxError,
    compose_mail,
    compose_ticket,
    make_snippet,
)
from relay.message.parse import ParsedMessage, parse_message

OWNER = "maria@bank.example"
DATA = Path(__file__).parents[2] / "data/mail"


def make(mail: EmailMessage) -> ParsedMessage:
    return parse_message(io.BytesIO(mail.as_bytes(policy=email.policy.SMTP)))


def simple(to: str = "anna@partner.example", text: str = "hello\n") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = f"Maria Keller <{OWNER}>", to
    mail.set_content(text)
    return mail


def manifest_octets(mail: ComposedMail) -> bytes:
    parts = tuple(Part(i, one.role, one.name, one.media_type, 0) for i, one in enumerate(mail.parts))
    head = MailHead(
        thread=make_id(),
        sender=mail.sender,
        to=mail.to,
        cc=mail.cc,
        subject=mail.subject,
        snippet=mail.snippet,
        expires="2027-01-04T08:00:00Z",
        receipt=mail.receipt,
        key=bytes(32),
        parts=parts,
    )
    manifest = Manifest("mail", make_id(), make_id(), 1, make_id(), 1, bytes(32), 1, "2027-01-04T08:00:00Z", mail=head)
    return manifest.encode()


def test_text_mail() -> None:
    mail = compose_mail(make(simple()), "Your contract", OWNER)
    assert [(part.role, part.media_type) for part in mail.parts] == [("text", "text/plain")]
    assert b"".join(mail.parts[0].read_pieces()) == b"hello\n"
    assert (mail.sender.name, mail.sender.addr) == ("Maria Keller", OWNER)
    assert mail.receipt is False


def test_html_alone_has_a_text_as_well() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = OWNER, "anna@partner.example"
    mail.set_content("<p>one</p><p>two</p>", subtype="html")
    composed = compose_mail(make(mail), "x", OWNER)
    assert [part.role for part in composed.parts] == ["html", "text"]
    assert b"".join(composed.parts[1].read_pieces()) == b"one\ntwo"


def test_mail_without_anything_has_an_empty_text() -> None:
    composed = compose_mail(parse_message(io.BytesIO(b"Subject: x\r\n\r\n")), "x", OWNER)
    assert [part.role for part in composed.parts] == ["text"]
    assert (composed.sender.addr, composed.to, composed.snippet) == (OWNER, (), "")


def test_thousands_of_recipients_fit_and_none_is_lost_for_answers() -> None:
    to = ", ".join(f"Person Number {n} <person{n}@partner.example>" for n in range(2500))
    mail = simple(to)
    mail["Cc"] = to
    composed = compose_mail(make(mail), "s" * 5000, OWNER)
    assert len(manifest_octets(composed)) <= MAX_HEAD
    assert composed.to[-1].name == f"+{2500 - (len(composed.to) - 1)}"
    assert composed.cc[-1].name.startswith("+")
    assert len(composed.to_addresses) == len(composed.cc_addresses) == 2500


def test_long_and_odd_file_names_fit() -> None:
    mail = simple()
    for n in range(90):
        mail.add_attachment(b"x", maintype="application", subtype="pdf", filename=f"{n}" + "ü€" * 200 + ".pdf")
    composed = compose_mail(make(mail), "x", OWNER)
    assert len(manifest_octets(composed)) <= MAX_HEAD
    assert len([part for part in composed.parts if part.role == "file"]) == 90


def test_more_files_than_a_manifest_names_are_refused_in_words() -> None:
    mail = simple()
    for n in range(100):
        mail.add_attachment(b"x", maintype="application", subtype="pdf", filename=f"{n}.pdf")
    with pytest.raises(TooLargeForMailboxError, match="98 files"):
        compose_mail(make(mail), "x", OWNER)


@pytest.mark.parametrize("raw", [b"\xff\xfe broken \xed\xa0\x80", b"=?utf-8?b?7aCA?=", b"a\x00b\x1fc"])
def test_header_octets_that_are_no_text_become_text(raw: bytes) -> None:
    source = b"From: " + raw + b" <maria@bank.example>\r\nTo: anna@partner.example\r\n\r\nhello\r\n"
    parsed = parse_message(io.BytesIO(source))
    manifest_octets(compose_mail(parsed, parsed.header("From") or "", OWNER))


def test_html_beyond_the_limit_is_whole_in_a_file() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = OWNER, "anna@partner.example"
    mail.set_content("<p>" + "word " * 250_000 + "end</p>", subtype="html", cte="quoted-printable")
    composed = compose_mail(make(mail), "x", OWNER)
    (whole,) = (part for part in composed.parts if part.role == "file")
    assert whole.name == "message.eml"
    assert b"end" in b"".join(whole.read_pieces())


def test_ticket_has_text_and_files_up_to_a_size() -> None:
    mail = simple()
    mail.add_attachment(b"x" * 1000, maintype="application", subtype="pdf", filename="a.pdf")
    with_files = compose_ticket(make(mail), "x", OWNER, most_octets=5000)
    assert [part.role for part in with_files.parts] == ["text", "file"]
    without = compose_ticket(make(mail), "x", OWNER, most_octets=500)
    assert [part.role for part in without.parts] == ["text"]


@pytest.mark.parametrize("name", ["inline-kinds", "inline-hidden", "inline-many"])
def test_every_picture_of_the_body_is_shown_or_a_file(name: str) -> None:
    octets = (DATA / f"{name}.eml").read_bytes()
    sent = [part.get_payload(decode=True) for part in email.message_from_bytes(octets).walk() if part.get_filename()]
    composed = compose_mail(parse_message(io.BytesIO(octets)), "x", OWNER)
    parts = {part.name: b"".join(part.read_pieces()) for part in composed.parts if part.role in ("inline", "file")}
    if name == "inline-many":
        # More than a manifest names: the whole message is one file.
        assert len([one for one in parts if one.startswith("p")]) == 60
        whole = parse_message(io.BytesIO(parts["message.eml"]))
        assert [one.content for one in whole.inline_images()] == sent
        assert [one.name for one in whole.inline_images()] == [f"p{n}.png" for n in range(205)]
    else:
        assert set(parts.values()) == set(sent)
        left = [part.name for part in composed.parts if part.role == "file"]
        assert (
            left
            == {
                "inline-kinds": ["plan.svg", "scan.tif", "chart.emf"],
                "inline-hidden": ["comment.png", "title.png", "first.png", "css.png", "vml.png", "none.png", "dot.png"],
            }[name]
        )
    ticket = compose_ticket(parse_message(io.BytesIO(octets)), "x", OWNER, most_octets=100_000)
    files = [part.name for part in ticket.parts if part.role == "file"]
    assert files == (["plan.svg", "scan.tif", "chart.emf"] if name == "inline-kinds" else [])


def test_snippet_is_one_line() -> None:
    assert make_snippet("Dear Anna,\n\n\thello  there") == "Dear Anna, hello there"
    assert len(make_snippet("word " * 500)) <= 140
