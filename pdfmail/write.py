"""Front door: a mail becomes one encrypted, tagged PDF on a stream.

Writes strictly forward and never an unencrypted octet of the mail. If anything is raised, what was written so far is
no document and must be thrown away. It must not send, store or log.

Specification: docs/pdf.md.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO
from urllib.parse import urlsplit

from .body import BodyPlan, plan_body
from .bodytext import draw_text_body
from .canvas import MARGIN, TEXT_WIDTH
from .container import PdfFile
from .cover import CoverContent, FileRow, HeadField, draw_cover
from .document import BODY_TOP, DocumentDraft, EmbeddedFile
from .embed import embed_attachment, embed_octets
from .errors import OptionError
from .fonts import FontSet
from .graft import draw_rendered_body
from .lastpage import draw_last_page
from .model import Attachment, BodyRenderer, Brand, Cipher, MailContent, PdfOptions, PdfReport
from .names import clean_name, make_unique
from .original import build_original
from .passphrase import validate_password
from .structure import StructNode
from .template import Template, TemplateCache
from .textflow import clean_language, clean_line, is_safe_uri
from .typeset import Place, draw_lines
from .wording import format_date, format_size, name_type

ORIGINAL_NAME = "message.eml"

WARNING_AES_128 = "aes-128"
WARNING_TRUNCATED = "truncated"
WARNING_BOXES = "characters-replaced"

_MAX_RECIPIENTS = 60
_GAP = re.compile("[\0 ]*\0[\0 ]*")


def write_pdf(
    mail: MailContent,
    brand: Brand,
    options: PdfOptions,
    out: BinaryIO,
    renderer: BodyRenderer | None = None,
    *,
    templates: TemplateCache | None = None,
) -> PdfReport:
    """Write the PDF of a mail to `out`, which need not be seekable, and say what was written.

    Keep one TemplateCache per process and pass it: a fresh one costs about a second. Raises PasswordError, OptionError,
    BrandError, FontMissingError before the first octet, AttachmentReadError and what `out` and the attachments'
    streams raise while writing. A body that cannot be rendered is no error: the report says which lesser way was taken.
    """
    validate_password(options.user_password)
    check_reply_url(options.reply_url)
    template = (templates or TemplateCache()).get(brand, options.language)
    wording = template.wording
    fields = _read_head(mail, template)
    subject = clean_line(mail.subject) or wording.no_subject
    names = make_unique([ORIGINAL_NAME, *(clean_name(item.name) for item in mail.attachments)])[1:]
    title = HeadField(wording.subject, subject, 4)
    head = _undrawable(template.fonts, (title, *fields), names, wording.attachments)
    plan = plan_body(mail, template.fonts, renderer, head, options)
    if plan.rendered is not None and head:
        # The body shows these texts in full; the cover need not show boxes.
        title = _abridge(template, title)
        fields = tuple(_abridge(template, field) for field in fields)
    running = title.shown or title.value

    if mail.images:
        mail = _attach_pictures(mail, plan.shown)
        names = make_unique([ORIGINAL_NAME, *(clean_name(item.name) for item in mail.attachments)])[1:]
    file = PdfFile(out, options.cipher, options.user_password)
    draft = DocumentDraft(file, template, wording.document_title)
    files, rows = _embed_attachments(file, mail, names, template)
    note = wording.attachments_note_reply if options.reply_url else wording.attachments_note
    draw_cover(draft, CoverContent(title, fields, rows, note))
    before = len(draft.root.kids)
    body = _draw_body(draft, running, plan, options.max_pages)
    language = clean_language(mail.language_hint)
    if plan.kind != "notice" and language:
        for section in draft.root.kids[before:]:
            assert isinstance(section, StructNode)
            section.language = language
    original = mail.message_eml
    if original is None and not body.is_complete:
        original = build_original(mail)
    if original is not None:
        files.append(embed_octets(file, original, ORIGINAL_NAME, "message/rfc822").entry)
    draw_last_page(draft, options, has_original=any(item.name == ORIGINAL_NAME for item in files))
    octets = draft.finish(
        files,
        options.creation_time,
        open_files=bool(rows) or not body.is_complete,
        is_accessible=plan.rendered is None,
    )
    warnings = [WARNING_AES_128] if options.cipher is Cipher.AES_128 else []
    return PdfReport(
        pages=len(draft.pages),
        octets=octets,
        attachments=tuple(item.name for item in files),
        body=plan.kind,
        cause=plan.cause,
        warnings=(*warnings, *body.warnings),
    )


def check_reply_url(url: str | None) -> None:
    """Check that a reply address is a short ASCII https URL. Raises OptionError."""
    if url is None:
        return
    if not is_safe_uri(url) or urlsplit(url).scheme != "https" or len(url) > 300:
        raise OptionError("the reply address must be an ASCII https URL of at most 300 characters")


@dataclass(frozen=True, slots=True)
class _DrawnBody:
    is_complete: bool
    warnings: tuple[str, ...] = ()


def _read_head(mail: MailContent, template: Template) -> tuple[HeadField, ...]:
    wording = template.wording
    fields = [HeadField(wording.sender, clean_line(mail.sender), 3)]
    for label, people in ((wording.to, mail.to), (wording.cc, mail.cc)):
        shown = [clean_line(person) for person in people[:_MAX_RECIPIENTS]]
        if len(people) > _MAX_RECIPIENTS:
            shown.append(wording.more_recipients.replace("{count}", str(len(people) - _MAX_RECIPIENTS)))
        if shown:
            fields.append(HeadField(label, ", ".join(shown), 4))
    fields.append(HeadField(wording.date, format_date(wording, mail.date), 1))
    return tuple(fields)


def _undrawable(
    fonts: FontSet, fields: Sequence[HeadField], names: Sequence[str], files_label: str
) -> list[tuple[str, str]]:
    """Return what of the cover needs the renderer's fonts, so that the body may show it."""
    head = [(field.label, field.value) for field in fields if not fonts.draws(field.value)]
    head.extend((files_label, name) for name in names[:50] if not fonts.draws(name))
    return head


def _abridge(template: Template, field: HeadField) -> HeadField:
    """Return the field with an ellipsis for what the cover cannot draw, or a pointer when nothing else is left."""
    fonts = template.fonts
    if fonts.draws(field.value):
        return field
    kept = "".join(letter if fonts.draws(letter) else "\0" for letter in field.value)
    shown = " ".join(_GAP.sub(" … ", kept).split())
    if not any(letter.isalnum() for letter in shown):
        shown = template.wording.see_next_page
    return replace(field, shown=shown)


def _draw_body(draft: DocumentDraft, subject: str, plan: BodyPlan, max_pages: int) -> _DrawnBody:
    """Append the body's pages."""
    wording = draft.template.wording
    if plan.rendered is not None:
        draw_rendered_body(draft, subject, plan.rendered)
        return _DrawnBody(plan.is_complete)
    if plan.text is None:
        _draw_note(draft, subject, wording.notice_title, wording.notice_text)
        return _DrawnBody(is_complete=False)
    if not plan.text.strip():
        _draw_note(draft, subject, "", wording.no_text)
        return _DrawnBody(plan.is_complete)
    warnings = [WARNING_BOXES] if plan.has_boxes else []
    preface = wording.replaced_text if plan.has_boxes else ""
    is_whole = draw_text_body(draft, subject, plan.text, max_pages, preface=preface)
    if not is_whole:
        _draw_note(draft, subject, "", wording.truncated_text)
        warnings.append(WARNING_TRUNCATED)
    return _DrawnBody(plan.is_complete and is_whole, tuple(warnings))


def _draw_note(draft: DocumentDraft, subject: str, title: str, text: str) -> None:
    """Append a page with a sentence of ours in the place of a body."""
    template = draft.template
    section = draft.root.child("Sect")
    canvas = draft.add_canvas()
    draft.draw_head(canvas, subject)
    place = Place(MARGIN, BODY_TOP - 20, TEXT_WIDTH)
    if title:
        base = draw_lines(canvas, section.child("H1"), (title,), place, template.styles.title)
        place = Place(MARGIN, base, TEXT_WIDTH)
    style = template.styles.lead
    draw_lines(canvas, section.child("P"), template.fit(text, style, TEXT_WIDTH), place, style)


def _attach_pictures(mail: MailContent, shown: frozenset[int]) -> MailContent:
    """Return the mail with every picture of its body that no page shows in full among the attachments."""
    seen = {mail.images[place].content for place in shown if place < len(mail.images)}
    left = [
        Attachment(
            image.name or f"image-{place}.{image.media_type.rpartition('/')[2][:4]}",
            image.media_type,
            partial(io.BytesIO, image.content),
            len(image.content),
        )
        for place, image in enumerate(mail.images, 1)
        if place - 1 not in shown and not image.is_attached and image.content not in seen
    ]
    return replace(mail, attachments=(*mail.attachments, *left)) if left else mail


def _embed_attachments(
    file: PdfFile, mail: MailContent, names: Sequence[str], template: Template
) -> tuple[list[EmbeddedFile], list[FileRow]]:
    """Stream the sender's files first, so that the table can give their true sizes."""
    wording = template.wording
    files: list[EmbeddedFile] = []
    rows: list[FileRow] = []
    for name, attachment in zip(names, mail.attachments, strict=True):
        written = embed_attachment(file, attachment, name)
        files.append(written.entry)
        kind = name_type(wording, name, attachment.media_type)
        rows.append(FileRow(name, kind, format_size(wording, written.size)))
    return files, rows
