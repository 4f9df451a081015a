"""The last page: how to answer. Button, printed address and QR code lead to the same reply page.

The button is a plain link over a drawing, since forms and scripts are dead or dangerous in most readers. Without an
address all three are left out. It must not check who may reply.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .canvas import MARGIN, PAGE_HEIGHT, PAGE_WIDTH, TEXT_WIDTH, LinkBox, PageCanvas
from .cover import draw_paragraph
from .document import DocumentDraft
from .model import PdfOptions
from .qr import draw_qr
from .structure import StructNode
from .template import fit_text

_QR_SIDE = 128.0
_BUTTON_HEIGHT = 40.0


def draw_last_page(draft: DocumentDraft, options: PdfOptions, *, has_original: bool) -> None:
    """Append the last page. `options.reply_url` is an https address already checked, or None."""
    template = draft.template
    wording, palette = template.wording, template.palette
    section = draft.root.child("Sect")
    canvas = draft.add_canvas()
    canvas.begin_artifact()
    canvas.form("Last", draft.artwork + template.artwork.last)
    canvas.end()
    y = PAGE_HEIGHT - 90
    title = wording.last_title if options.reply_url else wording.last_title_plain
    canvas.begin(section.child("H1"))
    for line in fit_text(template.fonts, title, template.bold, 21, TEXT_WIDTH):
        canvas.text(MARGIN, y, line, template.bold, 21, palette.accent)
        y -= 26
    canvas.end()
    y -= 4
    text = wording.last_text if options.reply_url else wording.last_text_plain
    y = draw_paragraph(draft, canvas, section.child("P"), text, (MARGIN, y, TEXT_WIDTH), 11, palette.text)
    if options.reply_url:
        y = _draw_reply(draft, canvas, section, options, y - 14)
    canvas.begin_artifact()
    canvas.line(MARGIN, y - 14, TEXT_WIDTH, palette.line)
    canvas.end()
    y -= 38
    canvas.begin(section.child("H2"))
    canvas.text(MARGIN, y, wording.help_title, template.bold, 11, palette.accent)
    canvas.end()
    texts = [wording.password_text, wording.help_text]
    if has_original:
        texts.append(wording.help_original)
    if options.signature_note:
        texts.append(options.signature_note)
    y -= 18
    for note in texts:
        y = draw_paragraph(draft, canvas, section.child("P"), note, (MARGIN, y, TEXT_WIDTH), 9.5, palette.quiet) - 5


def _draw_reply(
    draft: DocumentDraft, canvas: PageCanvas, section: StructNode, options: PdfOptions, y: float
) -> float:
    """Draw button, address, code and QR from y downwards; return where they end."""
    url = options.reply_url
    assert url is not None
    template = draft.template
    wording, palette, fonts = template.wording, template.palette, template.fonts
    bottom = y - _BUTTON_HEIGHT
    width = fonts.width(wording.button, template.bold, 14) + 56
    link = section.child("P").child("Link", alt=f"{wording.button}: {url}")
    canvas.begin(link)
    canvas.rounded(MARGIN, bottom, width, _BUTTON_HEIGHT, 6, palette.accent)
    canvas.text(MARGIN + 28, bottom + 14.5, wording.button, template.bold, 14, palette.on_accent)
    canvas.end()
    canvas.link(draft.file, [LinkBox(MARGIN, bottom, MARGIN + width, y)], url, f"{wording.button}: {url}", link)
    qr_left, column = PAGE_WIDTH - MARGIN - _QR_SIDE, TEXT_WIDTH - _QR_SIDE - 30
    qr_bottom = _draw_code(draft, canvas, section, url, (qr_left, y + 10))
    y = draw_paragraph(
        draft, canvas, section.child("P"), wording.button_trouble, (MARGIN, bottom - 28, column), 9.5, palette.quiet
    )
    y = _draw_address(draft, canvas, section, url, y - 4, column)
    host = f"https://{urlsplit(url).netloc}/"
    y = draw_paragraph(
        draft,
        canvas,
        section.child("P"),
        wording.check_host.replace("{host}", host),
        (MARGIN, y - 8, column),
        9.5,
        palette.quiet,
    )
    if options.reply_code:
        canvas.begin(section.child("P"))
        advance = canvas.text(MARGIN, y - 12, wording.code_label, template.bold, 9.5, palette.quiet)
        canvas.text(MARGIN + advance + 12, y - 12, options.reply_code, fonts.mono, 13, palette.text)
        canvas.end()
        y = draw_paragraph(
            draft, canvas, section.child("P"), wording.code_text, (MARGIN, y - 28, column), 9.5, palette.quiet
        )
    return min(y, qr_bottom)


def _draw_address(
    draft: DocumentDraft, canvas: PageCanvas, section: StructNode, url: str, y: float, width: float
) -> float:
    template = draft.template
    node = section.child("P").child("Link", alt=url)
    boxes = []
    canvas.begin(node)
    for line in fit_text(template.fonts, url, template.bold, 11, width):
        advance = canvas.text(MARGIN, y, line, template.bold, 11, template.palette.accent)
        boxes.append(LinkBox(MARGIN, y - 3, MARGIN + advance, y + 10))
        y -= 15
    canvas.end()
    canvas.link(draft.file, boxes, url, url, node)
    return y


def _draw_code(
    draft: DocumentDraft, canvas: PageCanvas, section: StructNode, url: str, corner: tuple[float, float]
) -> float:
    """Draw the QR code with its upper left at `corner`; return where it ends."""
    template = draft.template
    left, top = corner
    bottom = top - _QR_SIDE
    node = section.child("Figure", alt=template.wording.qr_alt.replace("{url}", url))
    node.attributes = b"/O/Layout/Placement/Block/BBox[%.1f %.1f %.1f %.1f]" % (left, bottom, left + _QR_SIDE, top)
    canvas.begin(node)
    canvas.raw("0 0 0 rg")
    canvas.raw(draw_qr(url, left, bottom, _QR_SIDE))
    canvas.end()
    caption = template.wording.qr_caption
    advance = template.fonts.width(caption, template.fonts.regular, 9)
    canvas.begin(section.child("P"))
    canvas.text(left + (_QR_SIDE - advance) / 2, bottom - 2, caption, template.fonts.regular, 9, template.palette.quiet)
    canvas.end()
    return bottom - 14
