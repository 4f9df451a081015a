"""The cover: who writes, about what, which files come along, how to handle password and privacy.

Fixed design from the template, header texts and file names of the mail as plain data. Long values are shortened on
paper and kept whole in the tags. It must not decide what the values are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .canvas import MARGIN, PAGE_HEIGHT, PAGE_WIDTH, TEXT_WIDTH, Colour, PageCanvas
from .document import BODY_BOTTOM, BODY_TOP, DocumentDraft, cut_text
from .fonts import Face
from .structure import StructNode
from .template import (
    COVER_LEADING,
    COVER_TEXT_SIZE,
    COVER_TITLE_SIZE,
    LOGO_MAX_HEIGHT,
    PANEL_PAD,
    PANEL_TOP,
    fit_text,
)
from .textflow import break_line

_LABEL_WIDTH = 62.0
_BOX_TOP = 142.0
_ROW = 21.0
_TYPE_X = MARGIN + TEXT_WIDTH - 180
_SIZE_RIGHT = MARGIN + TEXT_WIDTH - 8


@dataclass(frozen=True, slots=True)
class HeadField:
    """A labelled value of the head, as one line of cleaned text."""

    label: str
    value: str
    max_lines: int = 2


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of the attachment table."""

    name: str
    kind: str
    size: str


@dataclass(frozen=True, slots=True)
class CoverContent:
    """What the cover shows of a mail."""

    subject: str
    fields: Sequence[HeadField]
    rows: Sequence[FileRow]
    files_note: str


def draw_cover(draft: DocumentDraft, content: CoverContent) -> None:
    """Append the cover, and further pages when the table does not fit."""
    template = draft.template
    section = draft.root.child("Sect")
    canvas = draft.add_canvas()
    canvas.begin_artifact()
    canvas.form("Cover", draft.artwork + template.artwork.cover)
    canvas.end()
    _draw_sender(draft, canvas, section)
    _draw_panel(draft, canvas, section)
    y = PANEL_TOP - template.artwork.panel_height - 36
    y = _draw_head(draft, canvas, section, content, y)
    if content.rows:
        _draw_files(draft, canvas, section, content, y - 14)
    _draw_boxes(draft, canvas, section)


def _draw_sender(draft: DocumentDraft, canvas: PageCanvas, section: StructNode) -> None:
    """Draw the logo, or the organisation's name where there is none."""
    template = draft.template
    organisation = template.brand.organisation
    middle = PAGE_HEIGHT - 8 - 26 - LOGO_MAX_HEIGHT / 2
    if template.artwork.logo is None:
        node = section.child("P")
        canvas.begin(node)
        shown = cut_text(template, organisation, template.bold, 19, TEXT_WIDTH)
        canvas.text(MARGIN, middle - 7, shown, template.bold, 19, template.palette.accent)
        canvas.end()
        return
    node = section.child("Figure", alt=template.wording.logo_alt)
    width, height = template.artwork.logo_width, template.artwork.logo_height
    left, bottom = MARGIN, middle - height / 2
    node.attributes = b"/O/Layout/Placement/Block/BBox[%.1f %.1f %.1f %.1f]" % (left, bottom, left + width, bottom + height)
    canvas.begin(node)
    canvas.raw(f"q 1 0 0 1 {left:.2f} {bottom:.2f} cm")
    canvas.form("Logo", draft.artwork + template.artwork.logo)
    canvas.raw("Q")
    canvas.end()
    shown = cut_text(template, organisation, template.bold, 11, TEXT_WIDTH - width - 30)
    advance = template.fonts.width(shown, template.bold, 11)
    canvas.begin(section.child("P"))
    canvas.text(PAGE_WIDTH - MARGIN - advance, middle - 4, shown, template.bold, 11, template.palette.quiet)
    canvas.end()


def _draw_panel(draft: DocumentDraft, canvas: PageCanvas, section: StructNode) -> None:
    template = draft.template
    left = MARGIN + PANEL_PAD
    y = PANEL_TOP - PANEL_PAD - COVER_TITLE_SIZE * 0.8
    canvas.begin(section.child("H1"))
    for line in template.cover_title:
        canvas.text(left, y, line, template.bold, COVER_TITLE_SIZE, template.palette.accent)
        y -= COVER_TITLE_SIZE + 5
    canvas.end()
    canvas.begin(section.child("P"))
    y -= 0.2 * COVER_LEADING
    for line in template.cover_text:
        canvas.text(left, y, line, template.fonts.regular, COVER_TEXT_SIZE, template.palette.text)
        y -= COVER_LEADING
    canvas.end()


def _draw_head(
    draft: DocumentDraft, canvas: PageCanvas, section: StructNode, content: CoverContent, y: float
) -> float:
    """Draw subject and fields from y downwards; return where the next thing may start."""
    template = draft.template
    fonts, palette = template.fonts, template.palette
    node = section.child("H2")
    lines = wrap_text(draft, content.subject, fonts.regular, 16, TEXT_WIDTH, 4)
    node.actual_text = "" if lines.whole else content.subject
    canvas.begin(node)
    for line in lines.lines:
        canvas.text(MARGIN, y, line, fonts.regular, 16, palette.text)
        y -= 22
    canvas.end()
    y -= 8
    for field in content.fields:
        node = section.child("P")
        lines = wrap_text(draft, field.value, fonts.regular, 10.5, TEXT_WIDTH - _LABEL_WIDTH, field.max_lines)
        node.actual_text = "" if lines.whole else f"{field.label} {field.value}"
        canvas.begin(node)
        canvas.text(MARGIN, y, field.label, template.bold, 9, palette.quiet)
        for line in lines.lines:
            canvas.text(MARGIN + _LABEL_WIDTH, y, line, fonts.regular, 10.5, palette.text)
            y -= 15
        canvas.end()
        y -= 3
    return y


def _draw_boxes(draft: DocumentDraft, canvas: PageCanvas, section: StructNode) -> None:
    """Draw the two notes at the foot of the cover."""
    template = draft.template
    wording, palette = template.wording, template.palette
    width = (TEXT_WIDTH - 28) / 2
    canvas.begin_artifact()
    canvas.line(MARGIN, _BOX_TOP + 18, TEXT_WIDTH, palette.line)
    canvas.end()
    for column, (title, text) in enumerate(
        ((wording.password_title, wording.password_text), (wording.privacy_title, wording.privacy_text))
    ):
        left = MARGIN + column * (width + 28)
        canvas.begin(section.child("H3"))
        canvas.text(left, _BOX_TOP, title, template.bold, 9.5, palette.accent)
        canvas.end()
        draw_paragraph(draft, canvas, section.child("P"), text, (left, _BOX_TOP - 15, width), 8.6, palette.quiet)


def _draw_files(
    draft: DocumentDraft, canvas: PageCanvas, section: StructNode, content: CoverContent, y: float
) -> None:
    """Draw the attachment table from y downwards, on further pages where it must."""
    template = draft.template
    wording, palette = template.wording, template.palette
    note_height = 12 * len(fit_text(template.fonts, content.files_note, template.fonts.regular, 8.6, TEXT_WIDTH)) + 8
    bottom = _BOX_TOP + 30
    if y - 40 - _ROW - note_height < bottom:
        canvas, y, bottom = _next_page(draft, content.subject)
    canvas.begin(section.child("H2"))
    canvas.text(MARGIN, y - 8, f"{wording.attachments} ({len(content.rows)})", template.bold, 12, palette.accent)
    canvas.end()
    table = section.child("Table")
    y = _draw_titles(draft, canvas, table, y - 30)
    for place, row in enumerate(content.rows):
        lines = wrap_text(draft, row.name, template.fonts.regular, 10, _TYPE_X - MARGIN - 22, 2)
        height = _ROW + 13 * (len(lines.lines) - 1)
        is_last = place == len(content.rows) - 1
        if y - height - (note_height if is_last else 0) < bottom:
            canvas, y, bottom = _next_page(draft, content.subject)
            y = _draw_titles(draft, canvas, table, y - 14)
        line = table.child("TR")
        if place % 2 == 0:
            canvas.begin_artifact()
            canvas.rectangle(MARGIN, y - height, TEXT_WIDTH, height, palette.tint)
            canvas.end()
        base = y - 14
        cell = line.child("TD", actual_text="" if lines.whole else row.name)
        canvas.begin(cell)
        for step, part in enumerate(lines.lines):
            canvas.text(MARGIN + 8, base - 13 * step, part, template.fonts.regular, 10, palette.text)
        canvas.end()
        canvas.begin(line.child("TD"))
        canvas.text(_TYPE_X, base, row.kind, template.fonts.regular, 10, palette.text)
        canvas.end()
        canvas.begin(line.child("TD"))
        advance = template.fonts.width(row.size, template.fonts.regular, 10)
        canvas.text(_SIZE_RIGHT - advance, base, row.size, template.fonts.regular, 10, palette.text)
        canvas.end()
        y -= height
    draw_paragraph(draft, canvas, section.child("P"), content.files_note, (MARGIN, y - 16, TEXT_WIDTH), 8.6, palette.quiet)


def _next_page(draft: DocumentDraft, subject: str) -> tuple[PageCanvas, float, float]:
    canvas = draft.add_canvas()
    draft.draw_head(canvas, subject)
    return canvas, BODY_TOP, BODY_BOTTOM


def _draw_titles(draft: DocumentDraft, canvas: PageCanvas, table: StructNode, y: float) -> float:
    """Draw the header row with its base line near y; return the top of the next row."""
    template = draft.template
    wording, palette = template.wording, template.palette
    row = table.child("TR")
    size_left = _SIZE_RIGHT - template.fonts.width(wording.column_size, template.bold, 8.6)
    for x, title in ((MARGIN + 8, wording.column_name), (_TYPE_X, wording.column_type), (size_left, wording.column_size)):
        canvas.begin(row.child("TH", attributes=b"/O/Table/Scope/Column"))
        canvas.text(x, y, title, template.bold, 8.6, palette.quiet)
        canvas.end()
    canvas.begin_artifact()
    canvas.line(MARGIN, y - 6, TEXT_WIDTH, palette.line)
    canvas.end()
    return y - 6.5


@dataclass(frozen=True, slots=True)
class WrappedText:
    """Lines of a value; `whole` is false when something was cut off."""

    lines: Sequence[str]
    whole: bool


def wrap_text(
    draft: DocumentDraft, text: str, face: Face, size: float, width: float, max_lines: int
) -> WrappedText:
    """Break one line of mail text into at most `max_lines`, the last one shortened with an ellipsis."""
    fonts = draft.template.fonts
    if len(text) < 200 and fonts.width(text, face, size) <= width:
        return WrappedText((text,), True)
    # More letters than could ever be shown need not be measured.
    limit = max_lines * 400
    broken = break_line(text[:limit], lambda part: fonts.width(part, face, size), width)
    lines = ["".join(segment.text for segment in line).rstrip() for line in broken]
    if len(lines) <= max_lines and len(text) <= limit:
        return WrappedText(lines, True)
    kept = lines[:max_lines]
    kept[-1] = cut_text(draft.template, kept[-1] + " …", face, size, width)
    if not kept[-1].endswith("…"):
        kept[-1] += "…"
    return WrappedText(kept, False)


def draw_paragraph(
    draft: DocumentDraft,
    canvas: PageCanvas,
    node: StructNode,
    text: str,
    place: tuple[float, float, float],
    size: float,
    colour: Colour,
) -> float:
    """Draw controlled text at (left, first base line, width); return the base line below it."""
    left, y, width = place
    fonts = draft.template.fonts
    leading = round(size * 1.4, 1)
    canvas.begin(node)
    for line in fit_text(fonts, text, fonts.regular, size, width):
        canvas.text(left, y, line, fonts.regular, size, colour)
        y -= leading
    canvas.end()
    return y
