"""Sample mails for the demo, made anew each time by code. All people and firms in them are invented."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

ANNA = Address("Anna Keller", "anna.keller", "bank.example")
JONAS = Address("Jonas Weber", "jonas.weber", "partner.example")
MIA = Address("Mia Berger", "mia.berger", "kanzlei.example")
YUKI = Address("佐藤 由紀", "yuki.sato", "tokyo.example")


@dataclass(frozen=True, slots=True)
class Sample:
    """One mail ready to be handed to the gateway."""

    name: str
    title: str
    mail_from: str
    rcpt_to: tuple[str, ...]
    data: bytes


def make_sample(name: str) -> Sample:
    """Make one sample by its name. Raises KeyError."""
    return _MAKERS[name]()


def sample_titles() -> dict[str, str]:
    """Return the names of all samples with their titles, the demo's first one first."""
    return {name: make().title for name, make in _MAKERS.items()}


def _mail(subject: str, to: Address, *, sender: Address = ANNA) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(domain="mail.bank.example")
    return mail


def _sample(name: str, title: str, mail: EmailMessage, to: Address) -> Sample:
    return Sample(name, title, ANNA.addr_spec, (to.addr_spec,), mail.as_bytes())


def _offer() -> Sample:
    mail = _mail("Ihr Finanzierungsangebot für die Werkhalle", JONAS)
    mail.set_content(
        "Sehr geehrter Herr Weber,\n\n"
        "vielen Dank für das Gespräch am Dienstag. Wie vereinbart erhalten Sie unser Angebot für die\n"
        "Finanzierung der neuen Werkhalle: 480.000 Euro über zehn Jahre, Zinssatz 3,45 % fest.\n\n"
        "Im Anhang finden Sie\n"
        "  - das Angebot als PDF\n"
        "  - den Tilgungsplan als Tabelle\n\n"
        "Das Angebot gilt bis zum 15. Dezember. Rufen Sie mich gern an, wenn etwas unklar ist.\n\n"
        "Mit freundlichen Grüßen\n"
        "Anna Keller\n"
        "Example Bank, Firmenkunden\n"
    )
    mail.add_attachment(make_offer_pdf(), maintype="application", subtype="pdf", filename="Angebot Werkhalle.pdf")
    mail.add_attachment(make_plan_csv(), maintype="text", subtype="csv", filename="Tilgungsplan Grüne Straße.csv")
    return _sample("offer", "An offer with two files, German", mail, JONAS)


def _contract() -> Sample:
    mail = _mail("Loan contract for signature", MIA)
    mail.set_content(
        "Dear Ms Berger,\n\n"
        "please find attached the loan contract and the repayment plan. If you agree, sign page 7 and send it back\n"
        "with the Reply button.\n\n"
        "Kind regards\n"
        "Anna Keller\n"
        "Example Bank\n"
    )
    mail.add_alternative(
        '<html><body style="font-family:sans-serif"><p>Dear Ms Berger,</p>'
        "<p>please find attached the loan contract and the repayment plan. If you agree, <b>sign page 7</b> and "
        "send it back with the Reply button.</p><p>Kind regards<br>Anna Keller<br>Example Bank</p></body></html>",
        subtype="html",
    )
    mail.add_attachment(make_offer_pdf(), maintype="application", subtype="pdf", filename="Loan contract.pdf")
    mail.add_attachment(make_plan_csv(), maintype="text", subtype="csv", filename="Repayment plan.csv")
    return _sample("contract", "A contract for a mailbox on the portal", mail, MIA)


def _campaign() -> Sample:
    mail = _mail("Your new advisory team 👋", JONAS)
    mail.set_content(
        "Dear Jonas,\n\nfrom Monday on, Mira and I look after your accounts together. ☕ Shall we meet on Thursday?\n\n"
        "Best regards\nAnna\n"
    )
    mail.add_alternative(
        '<html><body style="font-family:sans-serif;color:#15212b">'
        '<p>Dear Jonas,</p><p>from <b>Monday</b> on, <span style="color:#0e5a63">Mira and I</span> look after your '
        "accounts together. ☕ Shall we meet on Thursday? 📅</p>"
        '<p><img src="cid:team@bank.example" alt="Two overlapping circles, our team sign" width="160" height="80"></p>'
        "<ul><li>Payments and accounts: Mira</li><li>Financing: Anna</li></ul>"
        '<p>Best regards<br>Anna</p><p style="font-size:small">Example Bank · '
        '<a href="https://www.bank.example/">www.bank.example</a></p></body></html>',
        subtype="html",
    )
    html = mail.get_payload(1)
    assert isinstance(html, EmailMessage)
    html.add_related(make_team_png(), maintype="image", subtype="png", cid="<team@bank.example>", filename="team.png")
    return _sample("html", "A formatted mail with emoji", mail, JONAS)


def _scripts() -> Sample:
    mail = _mail("口座開設のご案内 / معلومات الحساب", YUKI)
    mail.set_content(
        "佐藤様\n\n"
        "いつもお世話になっております。口座開設の手続きが完了しましたので、お知らせいたします。\n"
        "ご不明な点がございましたら、お気軽にお電話ください。\n\n"
        "السيدة ساتو المحترمة،\n"
        "اكتملت إجراءات فتح الحساب. رقم المرجع هو 4711.\n"
        "لا تترددي في الاتصال بنا.\n\n"
        "よろしくお願いいたします。\n"
        "Anna Keller, Example Bank\n"
    )
    mail.add_attachment(make_team_png(), maintype="image", subtype="png", filename="案内図.png")
    return _sample("scripts", "Japanese and Arabic", mail, YUKI)


_MAKERS: dict[str, Callable[[], Sample]] = {
    "offer": _offer,
    "contract": _contract,
    "html": _campaign,
    "scripts": _scripts,
}


def make_plan_csv() -> bytes:
    """Return a repayment plan, UTF-8 with a byte order mark as spreadsheets want it."""
    lines, rest = ["Jahr;Restschuld;Zinsen;Tilgung"], 480_000.0
    for year in range(2027, 2037):
        interest = rest * 0.0345
        lines.append(f"{year};{rest:.2f};{interest:.2f};48000.00".replace(".", ","))
        rest -= 48_000
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode("utf-8")


def make_offer_pdf() -> bytes:
    """Return a PDF of one page, written by hand (ISO 32000-1 7.5)."""
    lines = [
        ("F2 20", 780, "Example Bank"),
        ("F2 14", 735, "Finanzierungsangebot Werkhalle"),
        ("F1 11", 700, "F\xfcr: Jonas Weber, Partner GmbH (Beispiel)"),
        ("F1 11", 680, "Betrag: 480.000 Euro"),
        ("F1 11", 662, "Laufzeit: 10 Jahre, Zinssatz 3,45 % fest"),
        ("F1 11", 644, "Tilgung: 4.000 Euro im Monat"),
        ("F1 9", 600, "Erfundenes Muster. Es verpflichtet niemanden."),
    ]
    page = "".join(f"BT /{font} Tf 70 {y} Td ({text}) Tj ET\n" for font, y, text in lines)
    packed = zlib.compress(("0.055 0.353 0.388 rg\n70 765 455 2 re f\n0.082 0.129 0.169 rg\n" + page).encode("latin-1"))
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (de) >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
        font % b"Helvetica",
        font % b"Helvetica-Bold",
    ]
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return out.getvalue()


def make_team_png() -> bytes:
    """Return a small picture: two overlapping circles."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (320, 160), "#ffffff")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((60, 10, 200, 150), fill="#0e5a63")
    draw.ellipse((130, 10, 270, 150), outline="#15212b", width=6)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()
