"""The main job through real SMTP and real processes: mail to someone without a certificate leaves as encrypted PDF, and
the sender gets the password (E1, E2, E3, E6, E7; A2)."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

from tests.system.gateway import Gateway, Left, password_of, poppler_files, poppler_refuses, poppler_text

CANARY = "Kanarienvogel-4711 Zinssatz 3,45 Prozent"


def write_mail(
    to: str, subject: str = "Ihr Angebot", text: str = CANARY, sender: str = "anna@bank.example"
) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"Anna Keller <{sender}>"
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = "Mon, 16 Nov 2026 09:30:00 +0100"
    mail["Message-ID"] = f"<{subject.encode().hex()[:40]}.{to}>"
    mail.set_content(f"Guten Tag,\n\n{text}\n\nViele Grüße\nAnna\n")
    return mail


def outside(left: list[Left], to: str) -> list[Left]:
    return [one for one in left if one.hop == "outside" and to in one.rcpt_to]


def test_first_mail_leaves_as_pdf_and_the_sender_is_told_the_password(shared: Gateway, tmp_path: Path) -> None:
    to = "first@partner.example"
    mail = write_mail(to)
    table = b"Jahr;Betrag\r\n2027;480000\r\n" * 50
    mail.add_attachment(table, maintype="text", subtype="csv", filename="Plan Müller.csv")
    mail.add_attachment(bytes(range(256)) * 100, maintype="application", subtype="octet-stream", filename="data.bin")
    shared.send(mail, "anna@bank.example", to)
    left = shared.wait(
        lambda all_left: (
            len(outside(all_left, to)) == 1
            and any(CANARY.encode() not in x.raw and x.hop == "inside" and to.encode() in x.raw for x in all_left)
        )
    )
    carrier = outside(left, to)[0]
    notice = next(x for x in left if x.hop == "inside" and to.encode() in x.raw)

    assert carrier.mail_from == "anna@bank.example"
    assert notice.rcpt_to == ["anna@bank.example"]
    assert notice.mail_from == ""
    password = password_of(notice)
    # The password is for the sender alone, the text for the PDF alone.
    assert password.encode() not in carrier.raw
    assert CANARY.encode() not in carrier.raw
    assert b"480000" not in carrier.raw

    assert poppler_refuses(carrier.pdf, tmp_path)
    assert CANARY in poppler_text(carrier.pdf, password, tmp_path)
    files = poppler_files(carrier.pdf, password, tmp_path)
    assert files["Plan Müller.csv"] == table
    assert files["data.bin"] == bytes(range(256)) * 100
    assert "message.eml" in files

    assert carrier.message["From"] == "Anna Keller <anna@bank.example>"
    assert carrier.message["Message-ID"] == mail["Message-ID"]
    assert carrier.message["Subject"] == "Ihr Angebot"
    assert not carrier.message["Received"]


def test_the_pair_password_is_reused_and_told_once(shared: Gateway, tmp_path: Path) -> None:
    to = "pair@partner.example"
    for number in range(2):
        shared.send(write_mail(to, f"Mail {number}"), "anna@bank.example", to)
        left = shared.wait(lambda all_left, n=number: len(outside(all_left, to)) == n + 1)
    notices = [x for x in left if x.hop == "inside" and to.encode() in x.raw]
    assert len(notices) == 1
    password = password_of(notices[0])
    for carrier in outside(left, to):
        assert CANARY in poppler_text(carrier.pdf, password, tmp_path)


def test_password_keywords_tell_again_and_rotate(shared: Gateway, tmp_path: Path) -> None:
    to = "keys@partner.example"
    passwords = []
    for number, subject in enumerate(["One", "Two {password}", "Re: {NEW_PASSWORD} Three"]):
        shared.send(write_mail(to, subject), "anna@bank.example", to)
        left = shared.wait(
            lambda all_left, n=number: (
                len(outside(all_left, to)) == n + 1
                and len([x for x in all_left if x.hop == "inside" and to.encode() in x.raw]) == n + 1
            )
        )
        passwords.append(password_of([x for x in left if x.hop == "inside" and to.encode() in x.raw][-1]))
    assert passwords[0] == passwords[1] != passwords[2]
    carriers = outside(left, to)
    assert [c.message["Subject"] for c in carriers] == ["One", "Two", "Re: Three"]
    assert CANARY in poppler_text(carriers[2].pdf, passwords[2], tmp_path)


def test_confidential_mail_shows_no_subject(shared: Gateway, tmp_path: Path) -> None:
    to = "secret@partner.example"
    shared.send(write_mail(to, "{confidential} Merger talks"), "anna@bank.example", to)
    left = shared.wait(lambda all_left: len(outside(all_left, to)) == 1)
    carrier = outside(left, to)[0]
    assert b"Merger" not in carrier.raw
    notice = next(
        x
        for x in shared.wait(lambda a: any(x.hop == "inside" and to.encode() in x.raw for x in a))
        if x.hop == "inside" and to.encode() in x.raw
    )
    assert "Merger talks" in poppler_text(carrier.pdf, password_of(notice), tmp_path)


def test_each_recipient_has_a_mail_of_its_own(shared: Gateway) -> None:
    to = [f"many{number}@partner.example" for number in range(3)]
    mail = write_mail(", ".join(to[:2]))
    shared.send(mail, "anna@bank.example", *to)
    left = shared.wait(lambda all_left: all(len(outside(all_left, one)) == 1 for one in to))
    pdfs = {outside(left, one)[0].pdf for one in to}
    assert len(pdfs) == 3
    # The third one is a blind copy: nobody reads of it.
    assert all(to[2].encode() not in outside(left, one)[0].raw for one in to[:2])


def test_mail_from_outside_passes_byte_identical(shared: Gateway) -> None:
    body = (
        b"From: someone@else.example\r\nTo: anna@bank.example\r\nsubject:   odd   spacing \r\n"
        b"X-Odd: a\r\n\tb\r\n\r\n" + b"line with \xff 8-bit\r\n..dots\r\n" * 3
    )
    shared.send(body, "someone@else.example", "anna@bank.example", offset=1, options=("BODY=8BITMIME",))
    left = shared.wait(lambda all_left: any(b"odd   spacing" in x.raw for x in all_left))
    passed = next(x for x in left if b"odd   spacing" in x.raw)
    assert passed.hop == "inside"
    assert passed.raw.endswith(body)
    assert passed.raw[: -len(body)].startswith(b"Received: ")


def test_everything_can_be_explained_and_the_log_holds(shared: Gateway) -> None:
    to = "trace@partner.example"
    queue_id = shared.send(write_mail(to), "anna@bank.example", to)
    shared.wait(lambda all_left: len(outside(all_left, to)) == 1)
    trace = shared.cli("trace", queue_id)
    for word in ("copy.decided", "copy.queued", "method=pdf"):
        assert word in trace
    assert "Good" in shared.cli("audit", "verify")
    assert CANARY not in trace
    assert CANARY not in shared.log()
