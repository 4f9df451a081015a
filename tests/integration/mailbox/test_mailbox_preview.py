"""The PDF that a reader keeps: poppler opens it without a password, and it says what it is."""

from __future__ import annotations

import email.policy
import io
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from pdfmail.html import ConfinedRenderer
from pdfmail.model import Brand
from pdfmail.template import TemplateCache
from relay.mailbox import preview
from relay.mailbox.preview import PreviewJob, make_preview
from relay.message.parse import parse_message
from relay.message.texts import MailTexts
from relay.protect.pdf import PdfTools

BRAND = Brand("default", "Example Bank", contact="Telephone +49 30 1234")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PdfTools]:
    with ConfinedRenderer() as renderer:
        yield PdfTools(renderer, TemplateCache(), tmp_path_factory.mktemp("preview"), MailTexts())


def make(mail: EmailMessage, tools: PdfTools, language: str = "en") -> bytes | None:
    parsed = parse_message(io.BytesIO(mail.as_bytes(policy=email.policy.SMTP)))
    return make_preview(PreviewJob(parsed, "Your contract", BRAND, language, datetime.now(UTC)), tools)


def read(pdf: bytes | None, path: Path) -> str:
    assert pdf is not None
    path.write_bytes(pdf)
    shown = subprocess.run(["pdftotext", "-layout", str(path), "-"], check=True, capture_output=True, text=True)
    return " ".join(shown.stdout.split())


def text_mail(text: str = "Dear Anna,\n\nplease sign.\n") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "Maria Keller <maria@bank.example>", "anna@partner.example"
    mail.set_content(text)
    return mail


@pytest.mark.parametrize(("language", "title"), [("en", "Your copy of this message"), ("de", "Ihre Kopie dieser")])
def test_text_opens_without_a_password(tools: PdfTools, tmp_path: Path, language: str, title: str) -> None:
    text = read(make(text_mail(), tools, language), tmp_path / "copy.pdf")
    assert title in text
    assert "please sign." in text
    assert "Maria Keller" in text
    assert "Your contract" in text
    info = subprocess.run(["pdfinfo", str(tmp_path / "copy.pdf")], check=True, capture_output=True, text=True).stdout
    assert "Encrypted:       no" in info


def test_html_is_drawn(tools: PdfTools, tmp_path: Path) -> None:
    mail = text_mail()
    mail.add_alternative("<h1>Offer</h1><p>rich <b>words</b></p>", subtype="html")
    assert "rich words" in read(make(mail, tools), tmp_path / "copy.pdf")


def test_files_are_not_in_it(tools: PdfTools) -> None:
    mail = text_mail()
    mail.add_attachment(b"Canary-File-4711" * 100, maintype="application", subtype="octet-stream", filename="a.bin")
    pdf = make(mail, tools)
    assert pdf is not None
    assert b"Canary-File" not in pdf


def test_a_copy_that_cannot_be_made_is_left_out(tools: PdfTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MAX_PREVIEW", 1000)
    assert make(text_mail(), tools) is None
