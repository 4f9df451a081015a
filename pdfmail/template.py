"""The corporate design of one brand in one language, built once and kept.

Artwork and logo are drawn with reportlab and kept as form XObjects; texts are the brand's and ours, never a mail's. The
texts themselves are set by the text writer in the one embedded font, so that they can be tagged. A template holds
octets ready to be written into any number of documents.

Sources: ISO 32000-1:2008 section 8.10 (form XObjects). Colours and measures: docs/pdf.md.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .canvas import MARGIN, PAGE_HEIGHT, PAGE_WIDTH, TEXT_WIDTH, Colour, TextStyle, parse_colour
from .errors import BrandError
from .fonts import FONT_DIRECTORIES, Face, FontObjects, FontSet, load_bold, load_fonts
from .frozen import Freezer, FrozenObject
from .model import Brand
from .typeset import fit_text
from .wording import Wording, choose_wording

LINE_COLOUR = "#d5dce2"
TINT_COLOUR = "#e2f0f1"
_PETROL = "#0e5a63"

LOGO_MAX_WIDTH = 170.0
LOGO_MAX_HEIGHT = 46.0
PANEL_TOP = PAGE_HEIGHT - 108
PANEL_PAD = 22.0
COVER_TITLE_WIDTH = TEXT_WIDTH - 2 * PANEL_PAD - 50
COVER_TEXT_WIDTH = TEXT_WIDTH - 2 * PANEL_PAD - 20
COVER_TITLE_SIZE = 21.0
COVER_TEXT_SIZE = 10.5
COVER_LEADING = 15.0

_LOGO_PIXELS = 1000
_LOGO_OCTETS = 2_000_000
_MAX_TEMPLATES = 64
_MAX_FITTED = 200
_PREAMBLE = b"BT /F1 12 Tf 14.4 TL ET"


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of a brand as operators."""

    accent: Colour
    on_accent: Colour
    text: Colour
    quiet: Colour
    line: Colour
    tint: Colour


@dataclass(frozen=True, slots=True)
class Styles:
    """Text styles by their job."""

    name: TextStyle
    small_name: TextStyle
    title: TextStyle
    heading: TextStyle
    small_heading: TextStyle
    label: TextStyle
    column: TextStyle
    subject: TextStyle
    text: TextStyle
    cell: TextStyle
    lead: TextStyle
    note: TextStyle
    fine: TextStyle
    running: TextStyle
    running_name: TextStyle
    foot: TextStyle
    button: TextStyle
    address: TextStyle
    code: TextStyle


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


@dataclass(frozen=True, slots=True)
class Template:
    """Everything of a document that does not depend on the mail."""

    brand: Brand
    wording: Wording
    palette: Palette
    fonts: FontSet
    bold: Face
    artwork: Artwork
    font_objects: dict[str, FontObjects]
    styles: Styles
    fitted: dict[tuple[object, ...], tuple[str, ...]] = field(default_factory=dict)

    def fit(self, text: str, style: TextStyle, width: float) -> tuple[str, ...]:
        """Return one of the template's own texts as lines; remembered, since they are few and come with every mail."""
        key = (text, style.face.resource, style.size, width)
        lines = self.fitted.get(key)
        if lines is None:
            if len(self.fitted) >= _MAX_FITTED:
                self.fitted.clear()
            lines = self.fitted[key] = fit_text(self.fonts, text, style, width)
        return lines


class TemplateCache:
    """Keeps fonts and templates of a process. Safe to use from several threads."""

    def __init__(self, font_directories: Sequence[str] = FONT_DIRECTORIES) -> None:
        self._directories = tuple(font_directories)
        self._fonts: FontSet | None = None
        self._objects: dict[str, FontObjects] = {}
        self._templates: OrderedDict[tuple[object, ...], Template] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, brand: Brand, language: str) -> Template:
        """Return the template; the first call takes some tenths of a second.

        Raises FontMissingError, and BrandError when the brand cannot be drawn.
        """
        key = (
            brand.name,
            brand.organisation,
            (brand.accent, brand.on_accent, brand.text, brand.quiet),
            brand.logo,
            brand.contact,
            tuple(sorted(brand.texts.items(), key=lambda item: item[0])),
            language.lower()[:2],
        )
        with self._lock:
            template = self._templates.get(key)
            if template is None:
                template = self._build(brand, language)
                self._templates[key] = template
                if len(self._templates) > _MAX_TEMPLATES:
                    self._templates.popitem(last=False)
            else:
                self._templates.move_to_end(key)
            return template

    def _build(self, brand: Brand, language: str) -> Template:
        if self._fonts is None:
            self._fonts = load_fonts(self._directories)
            for face in (self._fonts.regular, self._fonts.symbols, self._fonts.mono):
                self._objects[face.resource] = face.objects()
        fonts = self._fonts
        wording = choose_wording(brand, language)
        bold = load_bold(_bold_characters(brand, wording), self._directories)
        palette = _read_palette(brand)
        styles = _make_styles(fonts, bold, palette)
        title = fit_text(fonts, wording.cover_title, styles.title, COVER_TITLE_WIDTH)
        text = fit_text(fonts, wording.cover_text, styles.text, COVER_TEXT_WIDTH)
        height = 2 * PANEL_PAD + len(title) * (COVER_TITLE_SIZE + 5) + len(text) * COVER_LEADING
        return Template(
            brand=brand,
            wording=wording,
            palette=palette,
            fonts=fonts,
            bold=bold,
            artwork=_draw_artwork(brand, height),
            font_objects={**self._objects, bold.resource: bold.objects()},
            styles=styles,
        )


def _bold_characters(brand: Brand, wording: Wording) -> set[str]:
    texts = [value for name in Wording.__slots__ if isinstance(value := getattr(wording, name), str)]
    printable = "".join(map(chr, range(0x20, 0x7F)))
    return set("".join(texts) + brand.organisation + printable)


def _read_palette(brand: Brand) -> Palette:
    try:
        return Palette(
            accent=parse_colour(brand.accent),
            on_accent=parse_colour(brand.on_accent),
            text=parse_colour(brand.text),
            quiet=parse_colour(brand.quiet),
            line=parse_colour(LINE_COLOUR),
            tint=parse_colour(_lighten(brand.accent)),
        )
    except ValueError as error:
        raise BrandError(f"brand {brand.name}: {error}") from error


def _make_styles(fonts: FontSet, bold: Face, palette: Palette) -> Styles:
    regular = fonts.regular
    return Styles(
        name=TextStyle(bold, 19, palette.accent),
        small_name=TextStyle(bold, 11, palette.quiet),
        title=TextStyle(bold, COVER_TITLE_SIZE, palette.accent),
        heading=TextStyle(bold, 12, palette.accent),
        small_heading=TextStyle(bold, 9.5, palette.accent),
        label=TextStyle(bold, 9, palette.quiet),
        column=TextStyle(bold, 8.6, palette.quiet),
        subject=TextStyle(regular, 16, palette.text),
        text=TextStyle(regular, COVER_TEXT_SIZE, palette.text),
        cell=TextStyle(regular, 10, palette.text),
        lead=TextStyle(regular, 11, palette.text),
        note=TextStyle(regular, 9.5, palette.quiet),
        fine=TextStyle(regular, 8.6, palette.quiet),
        running=TextStyle(regular, 9, palette.quiet),
        running_name=TextStyle(bold, 9, palette.accent),
        foot=TextStyle(regular, 8, palette.quiet),
        button=TextStyle(bold, 14, palette.on_accent),
        address=TextStyle(bold, 10.5, palette.accent),
        code=TextStyle(fonts.mono, 13, palette.text),
    )


def _lighten(colour: str) -> str:
    """Return the tint that goes with an accent: the shipped one, or 88 % towards white."""
    if colour.lower() == _PETROL:
        return TINT_COLOUR
    return "#" + "".join(f"{255 - round((255 - int(colour[i : i + 2], 16)) * 0.12):02x}" for i in (1, 3, 5))


def _draw_artwork(brand: Brand, panel_height: float) -> Artwork:
    # Slow imports, needed only while a template is built.
    import pikepdf

    freezer_pages: list[int] = []
    freezer = Freezer()
    with pikepdf.open(io.BytesIO(_draw_pages(brand, panel_height))) as drawn:
        for page in drawn.pages:
            form = page.as_form_xobject()
            content = bytes(form.read_bytes()).replace(_PREAMBLE, b"")
            # reportlab always names Helvetica, which nothing here uses.
            form.Resources = pikepdf.Dictionary()
            form.write(content)
            freezer_pages.append(freezer.freeze(drawn.make_indirect(form)))
    logo, width, height = None, 0.0, 0.0
    if brand.logo is not None:
        bundle_start = freezer.bundle()
        with pikepdf.open(io.BytesIO(_logo_page(brand, brand.logo))) as document:
            logo_freezer = Freezer()
            page = document.pages[0]
            form = document.make_indirect(page.as_form_xobject())
            if brand.logo[:5] != b"%PDF-":
                form.write(bytes(form.read_bytes()).replace(_PREAMBLE, b""))
                if "/Font" in form.Resources:
                    del form.Resources["/Font"]
            box = [float(value) for value in page.mediabox]
            width, height = _fit(box[2] - box[0], box[3] - box[1])
            scale = width / (box[2] - box[0])
            form.Matrix = pikepdf.Array([scale, 0, 0, scale, -box[0] * scale, -box[1] * scale])
            logo = logo_freezer.freeze(form) + len(bundle_start)
            shift = len(bundle_start)
            moved = tuple(
                FrozenObject(item.parts, tuple(ref + shift for ref in item.refs), item.data)
                for item in logo_freezer.bundle()
            )
            bundle = bundle_start + moved
    else:
        bundle = freezer.bundle()
    return Artwork(bundle, freezer_pages[0], freezer_pages[1], logo, width, height, panel_height)


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
    tint = _lighten(brand.accent)
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
        canvas.line(MARGIN, 50, PAGE_WIDTH - MARGIN, 50)
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
