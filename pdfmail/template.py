"""The corporate design of one brand in one language, built once and kept.

Artwork and logo become form XObjects; texts are the brand's and ours, never a mail's, and are set by the text writer in
the one embedded font, so that they can be tagged. A template holds octets ready to be written into any number of
documents. Measures and colours: docs/pdf.md.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from .artwork import LINE_COLOUR, Artwork, draw_artwork, lighten_colour
from .canvas import TEXT_WIDTH, Colour, TextStyle, parse_colour
from .errors import BrandError
from .fonts import FONT_DIRECTORIES, Face, FontObjects, FontSet, load_bold, load_fonts
from .model import Brand
from .qr import QrCodes
from .typeset import fit_text
from .wording import Wording, choose_wording

PANEL_PAD = 22.0
COVER_TITLE_WIDTH = TEXT_WIDTH - 2 * PANEL_PAD - 50
COVER_TEXT_WIDTH = TEXT_WIDTH - 2 * PANEL_PAD - 20
COVER_TITLE_SIZE = 21.0
COVER_TEXT_SIZE = 10.5
COVER_LEADING = 15.0
COVER_TITLE_LINES = 2
COVER_TEXT_LINES = 8
LAST_TEXT_LINES = 16

_MAX_TEMPLATES = 64
_MAX_FITTED = 200


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
    codes: QrCodes
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
        self._codes = QrCodes()
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
        if len(title) > COVER_TITLE_LINES or len(text) > COVER_TEXT_LINES:
            raise BrandError(f"brand {brand.name}: title or text of the cover is too long for its panel")
        if len(fit_text(fonts, wording.last_text, styles.lead, TEXT_WIDTH)) > LAST_TEXT_LINES:
            raise BrandError(f"brand {brand.name}: the text of the last page is too long")
        height = 2 * PANEL_PAD + len(title) * (COVER_TITLE_SIZE + 5) + len(text) * COVER_LEADING
        return Template(
            brand=brand,
            wording=wording,
            palette=palette,
            fonts=fonts,
            bold=bold,
            artwork=draw_artwork(brand, height),
            font_objects={**self._objects, bold.resource: bold.objects()},
            styles=styles,
            codes=self._codes,
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
            tint=parse_colour(lighten_colour(brand.accent)),
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
