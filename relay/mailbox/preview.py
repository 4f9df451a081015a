"""A mail as a PDF to keep, for "download as PDF" in the mailbox: the same pages as a PDF mail, without a password.

The writer never writes an octet in the clear; so the document is made with a password that nobody has and opened
right away, in memory. It lies sealed like every other part. Its words say that it is a copy: no password, no reply
page, files stay in the mailbox. A mail that cannot be drawn has no such copy; that is no error.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pikepdf

from pdfmail.errors import PdfMailError
from pdfmail.model import Brand, Cipher, InlineImage, MailContent, PdfOptions
from pdfmail.passphrase import generate_password
from pdfmail.template import Template, TemplateCache
from pdfmail.wording import Wording
from pdfmail.write import write_pdf
from relay.log import Log
from relay.message.parse import ParsedMessage
from relay.protect.pdf import PdfTools, show_mailboxes

_log = Log("mailbox")
MAX_PREVIEW = 8 * 1024 * 1024
"""Octets; a larger copy is left out, the mail itself is there."""
_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "document_title": "Copy of a message",
        "badge": "Copy",
        "cover_title": "Your copy of this message",
        "cover_text": "{organisation} keeps this message for you in a mailbox. You saved this copy of it yourself.",
        "password_title": "No password",
        "password_text": (
            "This copy opens without a password: whoever has the file can read it. Please keep it where only you can "
            "get at it."
        ),
        "last_title_plain": "About this copy",
        "last_text_plain": (
            "To answer, please sign in to your mailbox and use Reply there. An ordinary e-mail is not protected on its "
            "way."
        ),
        "help_text": "Files that came with the message are not in this copy. You can save them in your mailbox.",
        "no_text": "This message has no text.",
    },
    "de": {
        "document_title": "Kopie einer Nachricht",
        "badge": "Kopie",
        "cover_title": "Ihre Kopie dieser Nachricht",
        "cover_text": (
            "{organisation} hält diese Nachricht in einem Postfach für Sie bereit. Diese Kopie haben Sie selbst "
            "gespeichert."
        ),
        "password_title": "Ohne Passwort",
        "password_text": (
            "Diese Kopie öffnet sich ohne Passwort: Wer die Datei hat, kann sie lesen. Bitte bewahren Sie sie so auf, "
            "dass nur Sie sie erreichen."
        ),
        "last_title_plain": "Zu dieser Kopie",
        "last_text_plain": (
            "Zum Antworten melden Sie sich bitte in Ihrem Postfach an und nehmen dort Antworten. Eine gewöhnliche "
            "E-Mail ist unterwegs nicht geschützt."
        ),
        "help_text": (
            "Dateien, die mit der Nachricht kamen, sind nicht in dieser Kopie. Sie können sie im Postfach speichern."
        ),
        "no_text": "Diese Nachricht hat keinen Text.",
    },
}


class CopyTemplates(TemplateCache):
    """The process's templates with the words of a copy."""

    def __init__(self, base: TemplateCache) -> None:
        super().__init__()
        self._base = base

    def get(self, brand: Brand, language: str) -> Template:
        """See TemplateCache.get."""
        template = self._base.get(brand, language)
        return replace(template, wording=_reword(template.wording, brand))


def _reword(wording: Wording, brand: Brand) -> Wording:
    words = _WORDS["de" if wording.language == "de" else "en"]
    changes: dict[str, Any] = {name: text.replace("{organisation}", brand.organisation) for name, text in words.items()}
    return replace(wording, **changes)


@dataclass(frozen=True, slots=True)
class PreviewJob:
    """What one copy is made from."""

    parsed: ParsedMessage
    subject: str
    """Decoded, keywords stripped."""
    brand: Brand
    language: str
    received: datetime


def make_preview(job: PreviewJob, tools: PdfTools) -> bytes | None:
    """Return the PDF, or None where there is none. Raises OSError and what the renderer's host refuses."""
    parsed = job.parsed
    content = MailContent(
        subject=job.subject,
        sender=show_mailboxes(parsed.authors)[0] if parsed.authors else "",
        to=show_mailboxes(parsed.to),
        cc=show_mailboxes(parsed.cc),
        date=parsed.date or job.received,
        text=parsed.body_text(),
        html=parsed.body_html(),
        # What the copy does not show is a file in the mailbox; see relay.mailbox.compose.
        images=tuple(
            InlineImage(i.content_id, i.media_type, i.content, is_attached=True) for i in parsed.inline_images()
        ),
        language_hint=parsed.language_hint,
    )
    password = generate_password()
    # Nothing of this lock leaves memory; opening the slow one of a PDF mail would cost as much as three such PDFs.
    options = PdfOptions(
        user_password=password, cipher=Cipher.AES_128, language=job.language, creation_time=job.received
    )
    locked, opened = io.BytesIO(), io.BytesIO()
    try:
        write_pdf(content, job.brand, options, locked, tools.renderer, templates=CopyTemplates(tools.templates))
        with pikepdf.open(locked, password=password) as document:
            document.save(opened, encryption=False)
    except (PdfMailError, pikepdf.PdfError) as error:
        # The class alone: a message may name what is in the mail.
        _log.warning("preview-failed", error=type(error).__name__)
        return None
    return opened.getvalue() if opened.tell() <= MAX_PREVIEW else None
