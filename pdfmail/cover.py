"""The cover: who writes, about what, which files come along, how to handle password and privacy.

Fixed design from the template, header texts and file names of the mail as plain data. Long values are shortened on
paper and kept whole in the tags. It must not decide what the values are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .artwork import LOGO_MAX_HEIGHT, PANEL_TOP
from .canvas import MARGIN, PAGE_HEIGHT, PAGE_WIDTH, TEXT_WIDTH, TextStyle
from .document import BODY_BOTTOM, BODY_TOP, DocumentDraft
from .structure import StructNode
from .template import (
    COVER_LEADING,
    COVER_TEXT_WIDTH,
    COVER_TITLE_SIZE,
    COVER_TITLE_WIDTH,
    PANEL_PAD,
)
from .typeset import Place, cut_text, draw_lines, measure_text, wrap_text

_LABEL_WIDTH = 62.0
_NOTES_TOP = 142.0
_ROW = 21.0
_ROW_MORE = 13.0
_TYPE_X = MARGIN + TEXT_WIDTH - 180
_SIZE_RIGHT = MARGIN + TEXT_WIDTH - 8
_NAME_WIDTH = _TYPE_X - MARGIN - 22


@dataclass(frozen=True, slots=True)
class HeadField:
    """A labelled value of the head, as one line of cleaned text."""

    label: str
    value: str
    max_lines: int = 2
    shown: str = ""
    """What is drawn instead of a value in a script that only the renderer has; tags keep the value."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of the attachment table."""

    name: str
    kind: str
    size: str


@dataclass(frozen=True, slots=True)
class CoverContent:
    """What the cover shows of a mail."""

    subject: HeadField
    fields: Sequence[HeadField]
    rows: Sequence[FileRow]
    files_note: str


def draw_cover(draft: DocumentDraft, content: CoverContent) -> None:
    """Append the cover, and further pages when the table does not fit."""
    cover = _Cover(draft, content)
    cover.draw_sender()
    cover.draw_panel()
    cover.draw_head()
    notes = cover.draw_notes()
    if content.rows:
        cover.draw_files()
    cover.close(notes)


class _Cover:
    """The pen on the cover: `_y` is where the next thing may start."""

    def __init__(self, draft: DocumentDraft, content: CoverContent) -> None:
        self._draft = draft
        self._content = content
        self._template = draft.template
        self._section = draft.root.child("Sect")
        self._canvas = draft.add_canvas()
        self._canvas.begin_artifact()
        self._canvas.form("Cover", draft.artwork + draft.template.artwork.cover)
        self._canvas.end()
        self._y = PANEL_TOP
        self._bottom = _NOTES_TOP + 30

    def draw_sender(self) -> None:
        """Draw the logo with the organisation's name, or the name alone."""
        canvas, template = self._canvas, self._template
        styles, fonts, artwork = template.styles, template.fonts, template.artwork
        organisation = template.brand.organisation
        middle = PAGE_HEIGHT - 34 - LOGO_MAX_HEIGHT / 2
        if artwork.logo is None:
            style = styles.name
            width = measure_text(fonts, organisation, style)
            if width > TEXT_WIDTH:
                style = TextStyle(style.face, max(style.size * TEXT_WIDTH / width - 0.01, 10), style.colour)
            shown = cut_text(fonts, organisation, style, TEXT_WIDTH)
            draw_lines(canvas, self._section.child("P"), (shown,), Place(MARGIN, middle - 7, TEXT_WIDTH), style)
            return
        width, height = artwork.logo_width, artwork.logo_height
        bottom = middle - height / 2
        node = self._section.child("Figure", alt=template.wording.logo_alt)
        node.attributes = b"/O/Layout/Placement/Block/BBox[%.1f %.1f %.1f %.1f]" % (
            MARGIN,
            bottom,
            MARGIN + width,
            bottom + height,
        )
        canvas.begin(node)
        canvas.raw(f"q 1 0 0 1 {MARGIN:.2f} {bottom:.2f} cm")
        canvas.form("Logo", self._draft.artwork + artwork.logo)
        canvas.raw("Q")
        canvas.end()
        shown = cut_text(fonts, organisation, styles.small_name, TEXT_WIDTH - width - 30)
        advance = measure_text(fonts, shown, styles.small_name)
        place = Place(PAGE_WIDTH - MARGIN - advance, middle - 4, advance)
        draw_lines(canvas, self._section.child("P"), (shown,), place, styles.small_name)

    def draw_panel(self) -> None:
        """Draw title and text of the organisation on the tinted panel."""
        canvas, template = self._canvas, self._template
        styles, wording = template.styles, template.wording
        left = MARGIN + PANEL_PAD
        y = PANEL_TOP - PANEL_PAD - COVER_TITLE_SIZE * 0.8
        canvas.begin(self._section.child("H1"))
        for line in template.fit(wording.cover_title, styles.title, COVER_TITLE_WIDTH):
            canvas.text(left, y, line, styles.title)
            y -= COVER_TITLE_SIZE + 5
        canvas.end()
        y -= 0.2 * COVER_LEADING
        canvas.begin(self._section.child("P"))
        for line in template.fit(wording.cover_text, styles.text, COVER_TEXT_WIDTH):
            canvas.text(left, y, line, styles.text)
            y -= COVER_LEADING
        canvas.end()
        self._y = PANEL_TOP - template.artwork.panel_height - 36

    def draw_head(self) -> None:
        """Draw the subject and the labelled fields."""
        canvas, template, content = self._canvas, self._template, self._content
        styles, fonts = template.styles, template.fonts
        node = self._section.child("H2")
        subject = content.subject
        wrapped = wrap_text(fonts, subject.shown or subject.value, styles.subject, TEXT_WIDTH, subject.max_lines)
        node.actual_text = "" if wrapped.is_whole and not subject.shown else subject.value
        self._y = draw_lines(canvas, node, wrapped.lines, Place(MARGIN, self._y, TEXT_WIDTH), styles.subject) - 8
        for field in content.fields:
            node = self._section.child("P")
            shown = field.shown or field.value
            wrapped = wrap_text(fonts, shown, styles.text, TEXT_WIDTH - _LABEL_WIDTH, field.max_lines)
            node.actual_text = "" if wrapped.is_whole and not field.shown else f"{field.label} {field.value}"
            canvas.begin(node)
            canvas.text(MARGIN, self._y, field.label, styles.label)
            for line in wrapped.lines:
                canvas.text(MARGIN + _LABEL_WIDTH, self._y, line, styles.text)
                self._y -= COVER_LEADING
            canvas.end()
            self._y -= 3

    def close(self, notes: StructNode) -> None:
        """Put the notes, which stand at the foot of the first page, last in the reading order."""
        self._section.kids.append(notes)

    def draw_notes(self) -> StructNode:
        """Draw the two notes at the foot of the cover; return their element, which has no parent yet."""
        section = StructNode("Sect")
        canvas, template = self._canvas, self._template
        wording, styles = template.wording, template.styles
        width = (TEXT_WIDTH - 28) / 2
        canvas.begin_artifact()
        canvas.line(MARGIN, _NOTES_TOP + 18, TEXT_WIDTH, template.palette.line)
        canvas.end()
        notes = ((wording.password_title, wording.password_text), (wording.privacy_title, wording.privacy_text))
        for column, (title, text) in enumerate(notes):
            left = MARGIN + column * (width + 28)
            place = Place(left, _NOTES_TOP, width)
            draw_lines(canvas, section.child("H3"), (title,), place, styles.small_heading)
            lines = template.fit(text, styles.fine, width)
            place = Place(left, _NOTES_TOP - 15, width)
            draw_lines(canvas, section.child("P"), lines, place, styles.fine)
        return section

    def draw_files(self) -> None:
        """Draw the attachment table, on further pages where it must."""
        template, rows = self._template, self._content.rows
        styles = template.styles
        note = template.fit(self._content.files_note, styles.fine, TEXT_WIDTH)
        note_height = 12 * len(note) + 8
        self._y -= 14
        if self._y - 40 - _ROW - note_height < self._bottom:
            self._turn_page()
        heading = f"{template.wording.attachments} ({len(rows)})"
        place = Place(MARGIN, self._y - 8, TEXT_WIDTH)
        draw_lines(self._canvas, self._section.child("H2"), (heading,), place, styles.heading)
        self._y -= 30
        table = self._section.child("Table")
        self._draw_titles(table)
        for place_in_table, row in enumerate(rows):
            lines = wrap_text(template.fonts, row.name, styles.cell, _NAME_WIDTH, 2)
            height = _ROW + _ROW_MORE * (len(lines.lines) - 1)
            rest = note_height if place_in_table == len(rows) - 1 else 0.0
            if self._y - height - rest < self._bottom:
                self._turn_page()
                self._y -= 14
                self._draw_titles(table)
            node = table.child("TR")
            cell = node.child("TD", actual_text="" if lines.is_whole else row.name)
            self._draw_row(node, cell, lines.lines, row, tinted=place_in_table % 2 == 0)
            self._y -= height
        place = Place(MARGIN, self._y - 16, TEXT_WIDTH)
        draw_lines(self._canvas, self._section.child("P"), note, place, styles.fine)

    def _draw_row(
        self, node: StructNode, cell: StructNode, lines: Sequence[str], row: FileRow, *, tinted: bool
    ) -> None:
        canvas, template = self._canvas, self._template
        style = template.styles.cell
        if tinted:
            height = _ROW + _ROW_MORE * (len(lines) - 1)
            canvas.begin_artifact()
            canvas.rectangle(MARGIN, self._y - height, TEXT_WIDTH, height, template.palette.tint)
            canvas.end()
        base = self._y - 14
        canvas.begin(cell)
        for step, line in enumerate(lines):
            canvas.text(MARGIN + 8, base - _ROW_MORE * step, line, style)
        canvas.end()
        canvas.begin(node.child("TD"))
        canvas.text(_TYPE_X, base, row.kind, style)
        canvas.end()
        canvas.begin(node.child("TD"))
        canvas.text(_SIZE_RIGHT - measure_text(template.fonts, row.size, style), base, row.size, style)
        canvas.end()

    def _turn_page(self) -> None:
        self._canvas = self._draft.add_canvas()
        self._draft.draw_head(self._canvas, self._content.subject.shown or self._content.subject.value)
        self._y = BODY_TOP
        self._bottom = BODY_BOTTOM

    def _draw_titles(self, table: StructNode) -> None:
        """Draw the header row, its base line at _y."""
        canvas, template = self._canvas, self._template
        wording, style = template.wording, template.styles.column
        row = table.child("TR")
        size_x = _SIZE_RIGHT - measure_text(template.fonts, wording.column_size, style)
        titles = ((MARGIN + 8, wording.column_name), (_TYPE_X, wording.column_type), (size_x, wording.column_size))
        for x, title in titles:
            canvas.begin(row.child("TH", attributes=b"/O/Table/Scope/Column"))
            canvas.text(x, self._y, title, style)
            canvas.end()
        self._y -= 6.5
        canvas.begin_artifact()
        canvas.line(MARGIN, self._y, TEXT_WIDTH, template.palette.line)
        canvas.end()
