"""Artwork of a brand: what is drawn behind the texts of cover and last page, and the logo.

Drawn with reportlab and kept as form XObjects, without any text. The logo is the organisation's own file, a PNG, a
JPEG or the first page of a PDF. Built once per template, never per mail.

Sources: ISO 32000-1:2008 section 8.10 (form XObjects). Colours and measures: docs/pdf.md.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pikepdf

from .canvas import FOOT_LINE, MARGIN, PAGE_HEIGHT, PAGE_WIDTH, TEXT_WIDTH
from .errors import BrandError
from .frozen import Freezer, FrozenObject
from .model import Brand

LINE_COLOUR = "#d5dce2"
TINT_COLOUR = "#e2f0f1"

LOGO_MAX_WIDTH = 170.0
LOGO_MAX_HEIGHT = 46.0
PANEL_TOP = PAGE_HEIGHT - 108

_PETROL = "#0e5a63"
_LOGO_PIXELS = 1000
_LOGO_OCTETS = 2_000_000
_PREAMBLE = b"BT /F1 12 Tf 14.4 TL ET"


@dataclass(frozen=True, slots=True)
class Artwork:
    """Form XObjects by index in `bundle`, and measures in points."""

    bundle: tuple[FrozenObject, ...]
    cover: int
    last: int
    logo: int | None
    logo_width: float
    logo_height: float
    """Size of the logo as drawn."""
    panel_height: float


def draw_artwork(brand: Brand, panel_height: float) -> Artwork:
    """Draw and freeze the artwork; `panel_height` is the cover panel's in points. Raises BrandError."""
    freezer = Freezer()
    forms: list[int] = []
    with pikepdf.open(io.BytesIO(_draw_pages(brand, panel_height))) as drawn:
        for page in drawn.pages:
            form = drawn.make_indirect(page.as_form_xobject())
            _drop_font(form)
            forms.append(freezer.freeze(form))
    logo, width, height = None, 0.0, 0.0
    if brand.logo is not None:
        freezer.begin_document()
        try:
            logo, width, height = _freeze_logo(brand, brand.logo, freezer)
        except (pikepdf.PdfError, ValueError, IndexError) as error:
            raise BrandError(f"brand {brand.name}: the logo is no PNG, JPEG or PDF") from error
    return Artwork(freezer.bundle(), forms[0], forms[1], logo, width, height, panel_height)


def _freeze_logo(brand: Brand, logo: bytes, freezer: Freezer) -> tuple[int, float, float]:
    """Freeze the logo as a form of its final size; return its index, width and height in points."""
    with pikepdf.open(io.BytesIO(_logo_page(brand, logo)), suppress_warnings=True) as document:
        page = document.pages[0]
        form: Any = document.make_indirect(page.as_form_xobject())
        if logo[:5] != b"%PDF-":
            _drop_font(form)
        box = [float(value) for value in page.mediabox]
        width, height = _fit(box[2] - box[0], box[3] - box[1])
        scale = width / (box[2] - box[0])
        form.Matrix = pikepdf.Array([scale, 0, 0, scale, -box[0] * scale, -box[1] * scale])
        return freezer.freeze(form), width, height


def _drop_font(form: Any) -> None:
    """Take out the Helvetica that reportlab names on every page and nothing here uses."""
    form.write(bytes(form.read_bytes()).replace(_PREAMBLE, b""))
    resources = form.get("/Resources", {})
    for name in ("/Font", "/ProcSet"):
        if name in resources:
            del resources[name]


def _fit(width: float, height: float) -> tuple[float, float]:
    if width <= 0 or height <= 0:
        raise BrandError("the logo has no size")
    scale = min(LOGO_MAX_WIDTH / width, LOGO_MAX_HEIGHT / height)
    return width * scale, height * scale


def _draw_pages(brand: Brand, panel_height: float) -> bytes:
    """Draw the artwork of cover and last page, one page each."""
    from reportlab.lib.colors import HexColor
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas: Any = Canvas(buffer, pagesize=(PAGE_WIDTH, PAGE_HEIGHT), pageCompression=0)
    tint = lighten_colour(brand.accent)
    for page in ("cover", "last"):
        canvas.setFillColor(HexColor(brand.accent))
        canvas.rect(0, PAGE_HEIGHT - 8, PAGE_WIDTH, 8, stroke=0, fill=1)
        if page == "cover":
            canvas.setFillColor(HexColor(tint))
            canvas.roundRect(MARGIN, PANEL_TOP - panel_height, TEXT_WIDTH, panel_height, 8, stroke=0, fill=1)
            canvas.setFillColor(HexColor(brand.accent))
            canvas.roundRect(MARGIN, PANEL_TOP - panel_height, 5, panel_height, 2.5, stroke=0, fill=1)
            _draw_padlock(canvas, brand, PAGE_WIDTH - MARGIN - 44, PANEL_TOP - 54)
        canvas.setStrokeColor(HexColor(LINE_COLOUR))
        canvas.setLineWidth(0.6)
        canvas.line(MARGIN, FOOT_LINE, PAGE_WIDTH - MARGIN, FOOT_LINE)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _draw_padlock(canvas: Any, brand: Brand, x: float, y: float) -> None:
    """Draw a small closed padlock, 24 points wide."""
    from reportlab.lib.colors import HexColor

    canvas.setStrokeColor(HexColor(brand.accent))
    canvas.setLineWidth(3)
    path = canvas.beginPath()
    path.moveTo(x + 5, y + 16)
    path.lineTo(x + 5, y + 22)
    path.curveTo(x + 5, y + 31.5, x + 19, y + 31.5, x + 19, y + 22)
    path.lineTo(x + 19, y + 16)
    canvas.drawPath(path, stroke=1, fill=0)
    canvas.setFillColor(HexColor(brand.accent))
    canvas.roundRect(x, y - 2, 24, 19, 3.5, stroke=0, fill=1)
    canvas.setFillColor(HexColor("#ffffff"))
    canvas.circle(x + 12, y + 9, 2.4, stroke=0, fill=1)
    canvas.rect(x + 11, y + 3, 2, 5, stroke=0, fill=1)


def _logo_page(brand: Brand, logo: bytes) -> bytes:
    """Return a PDF whose first page is the logo. Raises BrandError when it is none."""
    if logo[:5] == b"%PDF-":
        return logo
    from PIL import Image
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    if len(logo) > _LOGO_OCTETS:
        raise BrandError(f"brand {brand.name}: the logo is larger than {_LOGO_OCTETS // 1000} kB")
    try:
        with Image.open(io.BytesIO(logo), formats=("PNG", "JPEG")) as picture:
            size, kind = picture.size, picture.format
            if kind == "PNG" or max(size) > _LOGO_PIXELS:
                # Palettes and 16 bits become plain colours; more pixels than a printer sees only cost octets.
                plain = picture.convert("RGBA" if kind == "PNG" else "RGB")
                plain.thumbnail((_LOGO_PIXELS, _LOGO_PIXELS))
                buffer = io.BytesIO()
                plain.save(buffer, "PNG" if kind == "PNG" else "JPEG")
                logo, size = buffer.getvalue(), plain.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BrandError(f"brand {brand.name}: the logo is no PNG, JPEG or PDF") from error
    page = io.BytesIO()
    canvas: Any = Canvas(page, pagesize=size, pageCompression=0)
    canvas.drawImage(ImageReader(io.BytesIO(logo)), 0, 0, size[0], size[1], mask="auto")
    canvas.showPage()
    canvas.save()
    return page.getvalue()


def lighten_colour(colour: str) -> str:
    """Return the tint that goes with an accent: the shipped one, or 88 % towards white."""
    if colour.lower() == _PETROL:
        return TINT_COLOUR
    return "#" + "".join(f"{255 - round((255 - int(colour[i : i + 2], 16)) * 0.12):02x}" for i in (1, 3, 5))
