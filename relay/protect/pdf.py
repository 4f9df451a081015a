"""Protect by PDF: a parsed message becomes a carrier mail around one encrypted PDF (E1, E7, E9).

Streams: the finished, already encrypted PDF passes through a temporary file on the state disk, never the clear text.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from pdfmail.errors import PdfMailError
from pdfmail.model import Attachment, BodyRenderer, Cipher, InlineImage, MailContent, PdfOptions, PdfReport
from pdfmail.template import TemplateCache
from pdfmail.write import WARNING_BOXES, WARNING_TRUNCATED, write_pdf
from relay.core.decision import HeaderChange
from relay.core.errors import ProtectionError, StorageError
from relay.log import Log
from relay.message.addresses import Mailbox
from relay.message.compose import CarrierMail, write_carrier
from relay.message.eml import full_message_eml, message_eml
from relay.message.parse import ParsedMessage
from relay.message.texts import MailTexts
from relay.protect.branding import Branding
from relay.protect.guard import check_carrier, check_pdf

_log = Log("protect")
_IN_MEMORY = 1024 * 1024
_PIECE = 57 * 4096


@dataclass(frozen=True, slots=True)
class PdfJob:
    """Everything that one PDF mail is made from."""

    parsed: ParsedMessage
    subject: str
    """Decoded, keywords stripped."""
    show_subject: bool
    """False keeps the subject out of the carrier mail."""
    branding: Branding
    language: str
    """Language of cover and last page."""
    languages: tuple[str, ...]
    """Languages of the carrier mail's explanation."""
    password: str = field(repr=False)
    is_pair_password: bool
    """False when the password is for this mail only."""
    is_chosen: bool
    """The partner chose the password himself."""
    pair_owner: str
    """The inside address that knows the password."""
    cipher: str
    hostname: str
    received: datetime
    reply_url: str | None = None
    reply_code: str | None = field(default=None, repr=False)
    """Printed on the last page, where the reply page asks for it instead of the password."""
    smtputf8: bool = False
    max_pages: int = 300
    headers: tuple[HeaderChange, ...] = ()
    """What rules add to the carrier mail's header and remove from it."""

    @property
    def added(self) -> tuple[tuple[str, str], ...]:
        """Names and texts of the fields that rules add."""
        return tuple((one.name, one.value) for one in self.headers if one.value is not None)

    @property
    def removed(self) -> frozenset[str]:
        """Names, in lower case, of the fields that rules remove."""
        return frozenset(one.name.lower() for one in self.headers if one.value is None)


@dataclass(frozen=True, slots=True)
class PdfTools:
    """What a worker keeps from mail to mail: renderer, drawn templates, and where a PDF waits for its guard."""

    renderer: BodyRenderer | None
    templates: TemplateCache
    temporary_dir: Path
    texts: MailTexts


def protect_pdf(job: PdfJob, tools: PdfTools, write: Callable[[bytes], object]) -> PdfReport:
    """Write the whole carrier mail in pieces and return what the PDF holds.

    Raises ProtectionError when it could not be made or the guard was not content, StorageError when the temporary file
    could not be written; what was written is then worthless.
    """
    try:
        return _protect(job, tools, write)
    except OSError as error:
        # The temporary file's disk, at whatever step it notices: full, read-only or gone. It heals; the mail waits.
        raise StorageError(f"temporary file: {errno.errorcode.get(error.errno or 0, 'OSError')}") from error


def _protect(job: PdfJob, tools: PdfTools, write: Callable[[bytes], object]) -> PdfReport:
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(tools.temporary_dir)) as spooled:
        file = cast("BinaryIO", spooled)
        report = _write(job, message_eml(job.parsed, job.subject), tools, file)
        if not _shows_all(report, job):
            # The pages cannot show all of the body: then it must be whole in the embedded message.
            file.seek(0)
            file.truncate()
            report = _write(job, full_message_eml(job.parsed, job.subject), tools, file)
        check_pdf(file, job.password)
        file.seek(0)
        carrier = CarrierMail(
            fields=job.parsed.fields,
            brand=job.branding.mail,
            hostname=job.hostname,
            languages=job.languages,
            subject=job.subject if job.show_subject else None,
            reply_url=job.reply_url,
            date=job.received,
            smtputf8=job.smtputf8,
            fallback_author=Mailbox("", job.pair_owner),
            is_pair_password=job.is_pair_password,
            is_chosen=job.is_chosen,
            removed=job.removed,
            added=job.added,
        )
        for number, piece in enumerate(write_carrier(carrier, _pieces(file), tools.texts)):
            if number == 0:
                check_carrier(piece, job)
            write(piece)
    return report


def _shows_all(report: PdfReport, job: PdfJob) -> bool:
    if report.body == "notice" or WARNING_TRUNCATED in report.warnings or WARNING_BOXES in report.warnings:
        return False
    return report.body == "html" or job.parsed.body_html() is None


def _write(job: PdfJob, eml: bytes, tools: PdfTools, file: BinaryIO) -> PdfReport:
    try:
        return write_pdf(
            _content(job, eml), job.branding.pdf, _options(job), file, tools.renderer, templates=tools.templates
        )
    except PdfMailError as error:
        # The class alone: a message may name what is in the mail.
        _log.warning("pdf-failed", error=type(error).__name__)
        problem = ProtectionError(f"PDF could not be made: {type(error).__name__}")
        problem.temporary = error.temporary
        raise problem from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _options(job: PdfJob) -> PdfOptions:
    return PdfOptions(
        user_password=job.password,
        cipher=Cipher(job.cipher),
        language=job.language,
        reply_url=job.reply_url,
        reply_code=job.reply_code,
        creation_time=job.received,
        max_pages=job.max_pages,
    )


def _content(job: PdfJob, eml: bytes) -> MailContent:
    parsed = job.parsed
    return MailContent(
        subject=job.subject,
        sender=show_mailboxes(parsed.authors)[0] if parsed.authors else "",
        to=show_mailboxes(parsed.to),
        cc=show_mailboxes(parsed.cc),
        date=parsed.date or job.received,
        text=parsed.body_text(),
        html=parsed.body_html(),
        images=tuple(
            InlineImage(i.content_id, i.media_type, i.content, i.name, i.is_attached) for i in parsed.inline_images()
        ),
        attachments=tuple(Attachment(a.name, a.media_type, a.open, a.size) for a in parsed.attachments()),
        message_eml=eml,
        language_hint=parsed.language_hint,
    )


def show_mailboxes(mailboxes: tuple[Mailbox, ...]) -> tuple[str, ...]:
    """Return the display form of each: `Name <address>`."""
    return tuple(str(mailbox) for mailbox in mailboxes)
