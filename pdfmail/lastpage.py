"""The last page: how to answer. Button, printed address and QR code lead to the same reply page.

The button is a plain link over a drawing, since forms and scripts are dead or dangerous in most readers. Without an
address all three are left out. It must not check who may reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from .canvas import MARGIN, PAGE_HEIGHT, PAGE_WIDTH, TEXT_WIDTH, Box, TextStyle
from .document import DocumentDraft
from .model import PdfOptions
from .typeset import Place, draw_lines, fit_text, measure_text

_QR_SIDE = 128.0
_QR_LEFT = PAGE_WIDTH - MARGIN - _QR_SIDE
_COLUMN = TEXT_WIDTH - _QR_SIDE - 30
_BUTTON_HEIGHT = 40.0
_BUTTON_PAD = 28.0


def draw_last_page(draft: DocumentDraft, options: PdfOptions, *, has_original: bool) -> None:
    """Append the last page. `options.reply_url` is an https address already checked, or None."""
    page = _LastPage(draft)
    wording = draft.template.wording
    if options.reply_url is None:
        page.draw_opening(wording.last_title_plain, wording.last_text_plain)
    else:
        text = wording.last_text_code if options.reply_code else wording.last_text
        page.draw_opening(wording.last_title, text)
        page.draw_reply(options.reply_url, options.reply_code)
    notes = [wording.password_text, wording.help_text]
    if has_original:
        notes.append(wording.help_original)
    page.draw_notes(notes)
    if options.signature_note:
        page.draw_signature_note(options.signature_note)


class _LastPage:
    """The pen on the last page: `_y` is the next base line."""

    def __init__(self, draft: DocumentDraft) -> None:
        self._draft = draft
        self._template = draft.template
        self._section = draft.root.child("Sect")
        self._canvas = draft.add_canvas()
        self._canvas.begin_artifact()
        self._canvas.form("Last", draft.artwork + draft.template.artwork.last)
        self._canvas.end()
        self._y = PAGE_HEIGHT - 90

    def draw_opening(self, title: str, text: str) -> None:
        """Draw title and text."""
        styles = self._template.styles
        self._paragraph("H1", title, styles.title, TEXT_WIDTH)
        self._y -= 2
        self._paragraph("P", text, styles.lead, TEXT_WIDTH)

    def draw_reply(self, url: str, code: str | None) -> None:
        """Draw button, QR code, printed address and reply code."""
        template = self._template
        styles, wording = template.styles, template.wording
        self._y -= 14
        top = self._y
        self._draw_button(url)
        self._y -= 28
        self._paragraph("P", wording.button_trouble, styles.note, _COLUMN)
        self._y -= 4
        self._draw_address(url)
        self._y -= 8
        check = wording.check_host.replace("{host}", f"https://{urlsplit(url).netloc}/")
        self._paragraph("P", check, styles.note, _COLUMN)
        if code:
            canvas = self._canvas
            self._y -= 12
            canvas.begin(self._section.child("P"))
            advance = canvas.text(MARGIN, self._y, wording.code_label, styles.small_heading)
            canvas.text(MARGIN + advance + 12, self._y, code, styles.code)
            canvas.end()
            self._y -= 16
            self._paragraph("P", wording.code_text, styles.note, _COLUMN)
        self._y = min(self._y, self._draw_code(url, top + 10))

    def draw_notes(self, notes: Sequence[str]) -> None:
        """Draw what else is good to know."""
        template, canvas = self._template, self._canvas
        canvas.begin_artifact()
        canvas.line(MARGIN, self._y - 14, TEXT_WIDTH, template.palette.line)
        canvas.end()
        self._y -= 38
        self._paragraph("H2", template.wording.help_title, template.styles.heading, TEXT_WIDTH)
        for note in notes:
            self._paragraph("P", note, template.styles.note, TEXT_WIDTH)
            self._y -= 5

    def draw_signature_note(self, note: str) -> None:
        """Draw what is said about this one mail's signature."""
        style = self._template.styles.note
        lines = fit_text(self._template.fonts, note, style, TEXT_WIDTH)[:12]
        draw_lines(self._canvas, self._section.child("P"), lines, Place(MARGIN, self._y, TEXT_WIDTH), style)

    def _paragraph(self, tag: str, text: str, style: TextStyle, width: float) -> None:
        lines = self._template.fit(text, style, width)
        self._y = draw_lines(self._canvas, self._section.child(tag), lines, Place(MARGIN, self._y, width), style)

    def _draw_button(self, url: str) -> None:
        canvas, template = self._canvas, self._template
        text, style = template.wording.button, template.styles.button
        width = measure_text(template.fonts, text, style) + 2 * _BUTTON_PAD
        box = Box(MARGIN, self._y - _BUTTON_HEIGHT, MARGIN + width, self._y)
        label = f"{text}: {url}"
        node = self._section.child("P").child("Link", alt=label)
        canvas.begin(node)
        canvas.rounded(box, 6, template.palette.accent)
        canvas.text(MARGIN + _BUTTON_PAD, box.bottom + 14.5, text, style)
        canvas.end()
        canvas.link(self._draft.file, (box,), node, url, label)
        self._y = box.bottom

    def _draw_address(self, url: str) -> None:
        """Print the address, on one line as long as that can be read."""
        canvas, template = self._canvas, self._template
        style = template.styles.address
        width = measure_text(template.fonts, url, style)
        if _COLUMN < width <= _COLUMN * 1.35:
            style = TextStyle(style.face, style.size * _COLUMN / width - 0.01, style.colour)
        node = self._section.child("P").child("Link", alt=url)
        boxes = []
        canvas.begin(node)
        for line in fit_text(template.fonts, url, style, _COLUMN):
            advance = canvas.text(MARGIN, self._y, line, style)
            boxes.append(Box(MARGIN, self._y - 3, MARGIN + advance, self._y + 10))
            self._y -= 15
        canvas.end()
        canvas.link(self._draft.file, boxes, node, url, url)

    def _draw_code(self, url: str, top: float) -> float:
        """Draw the QR code below `top`; return where it ends."""
        canvas, template = self._canvas, self._template
        style, caption = template.styles.fine, template.wording.qr_caption
        bottom = top - _QR_SIDE
        node = self._section.child("Figure", alt=template.wording.qr_alt.replace("{url}", url))
        corners = (_QR_LEFT, bottom, _QR_LEFT + _QR_SIDE, top)
        node.attributes = b"/O/Layout/Placement/Block/BBox[%.1f %.1f %.1f %.1f]" % corners
        canvas.begin(node)
        canvas.raw("0 0 0 rg")
        canvas.raw(template.codes.draw(url, _QR_LEFT, bottom, _QR_SIDE))
        canvas.end()
        left = _QR_LEFT + (_QR_SIDE - measure_text(template.fonts, caption, style)) / 2
        draw_lines(canvas, self._section.child("P"), (caption,), Place(left, bottom - 2, _QR_SIDE), style)
        return bottom - 14
