"""Fonts of the fast text writer: found on the host, subset once per process, measured and encoded here.

One Type0 font with Identity-H carries all ordinary text, so that no mail pays for subsetting; a symbol and a
fixed-pitch font join it only in documents that use them. Only scripts that need no shaping are drawn (Latin, Greek,
Cyrillic); everything else is the renderer's. Nothing is shipped: the fonts come from packages.

Sources: ISO 32000-1:2008 sections 9.7 (composite fonts), 9.10.3 (ToUnicode CMaps); OpenType head, hhea, OS/2.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import FontMissingError

FONT_DIRECTORIES = (
    "/usr/share/fonts/truetype/noto",
    "/usr/share/fonts/truetype/dejavu",
    "/usr/share/fonts/noto",
    "/usr/share/fonts/google-noto",
    "/usr/share/fonts/dejavu",
    "/usr/share/fonts/dejavu-sans-fonts",
    "/usr/share/fonts/TTF",
    "/usr/local/share/fonts",
)
"""Where packages put fonts, Debian first."""

_TEXT_RANGES = (
    (0x20, 0x7E),
    (0xA0, 0x17F),  # Latin-1, Extended-A
    (0x18F, 0x18F),
    (0x192, 0x192),
    (0x1A0, 0x1A1),  # Vietnamese
    (0x1AF, 0x1B0),
    (0x1CD, 0x1DC),  # Pinyin
    (0x1E6, 0x1E7),
    (0x218, 0x21B),  # Romanian
    (0x259, 0x259),
    (0x2BB, 0x2BC),
    (0x2C6, 0x2C7),
    (0x2D8, 0x2DD),
    (0x37E, 0x37E),
    (0x384, 0x3CE),  # Greek
    (0x400, 0x45F),  # Cyrillic
    (0x490, 0x4B3),
    (0x4BA, 0x4BB),
    (0x4D8, 0x4D9),
    (0x4E8, 0x4E9),
    (0x1E80, 0x1E85),
    (0x1E9E, 0x1E9E),
    (0x1EA0, 0x1EF9),  # Vietnamese
    (0x2010, 0x2027),
    (0x202F, 0x203A),
    (0x2044, 0x2044),
    (0x2070, 0x208E),
    (0x20A0, 0x20C0),  # currency
    (0x2113, 0x2122),
    (0x212A, 0x212E),
    (0x2150, 0x215E),
    (0xFB00, 0xFB04),
    (0xFFFD, 0xFFFD),
)
_SYMBOL_RANGES = (
    (0x2190, 0x21FF),  # arrows
    (0x2200, 0x22FF),  # mathematics
    (0x2300, 0x2311),
    (0x2460, 0x24FF),
    (0x2500, 0x25FF),  # boxes, blocks, shapes
    (0x2605, 0x2606),
    (0x2610, 0x2612),
    (0x2640, 0x2642),
    (0x2660, 0x2667),
    (0x266A, 0x266F),
    (0x2713, 0x2718),
    (0x2756, 0x2756),
    (0x2776, 0x2794),
    (0x2798, 0x27BE),
    (0x27F5, 0x27FF),
)
_MONO_RANGES = ((0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x2010, 0x2027), (0x20A0, 0x20C0))
_MONO_MORE = ((0x2190, 0x2199), (0x2212, 0x2212), (0x2500, 0x25FF), (0xFFFD, 0xFFFD))

PLACEHOLDER = "\u25af"
"""Drawn where no font has the character; the tag carries the real text."""


class Face:
    """A subset font: which characters it draws, how wide they are, how they are encoded."""

    def __init__(
        self, resource: str, base_name: str, program: bytes, glyphs: Mapping[str, int], metrics: Metrics
    ) -> None:
        """`glyphs` maps a character to its glyph in `program` (a TrueType subset)."""
        self.resource = resource
        self.metrics = metrics
        self.characters = frozenset(glyphs)
        self.widths: dict[str, int] = {character: metrics.advances[glyph] for character, glyph in glyphs.items()}
        self._codes = str.maketrans({character: chr(glyph) for character, glyph in glyphs.items()})
        self._base_name = base_name
        self._program = zlib.compress(program, 9)
        self._program_size = len(program)
        self._glyphs = dict(glyphs)

    def draws(self, text: str) -> bool:
        """Tell whether every character has a glyph."""
        return self.characters.issuperset(text)

    def width(self, text: str, size: float) -> float:
        """Return the advance of `text` in points. Every character must have a glyph."""
        return sum(map(self.widths.__getitem__, text)) * size / 1000

    def encode(self, text: str) -> str:
        """Return the text as a hexadecimal string operand of Tj: two octets a glyph (Identity-H)."""
        return text.translate(self._codes).encode("utf-16-be").hex()

    def objects(self) -> FontObjects:
        """Return the PDF objects of the font; the caller numbers them."""
        metrics = self.metrics
        by_glyph = {glyph: character for character, glyph in sorted(self._glyphs.items(), reverse=True)}
        widths = " ".join(str(advance) for advance in metrics.advances)
        descriptor = (
            f"/Type/FontDescriptor/FontName/{self._base_name}/Flags {metrics.flags}"
            f"/FontBBox[{' '.join(map(str, metrics.box))}]/ItalicAngle 0/Ascent {metrics.ascent}"
            f"/Descent {metrics.descent}/CapHeight {metrics.cap_height}/StemV {metrics.stem}"
        )
        descendant = (
            f"/Type/Font/Subtype/CIDFontType2/BaseFont/{self._base_name}/CIDSystemInfo<</Registry(Adobe)"
            f"/Ordering(Identity)/Supplement 0>>/CIDToGIDMap/Identity/W[0[{widths}]]"
        )
        font = f"/Type/Font/Subtype/Type0/BaseFont/{self._base_name}/Encoding/Identity-H"
        return FontObjects(
            font=font.encode(),
            descendant=descendant.encode(),
            descriptor=descriptor.encode(),
            program=self._program,
            program_size=self._program_size,
            to_unicode=zlib.compress(_to_unicode(by_glyph), 9),
        )


@dataclass(frozen=True, slots=True)
class Metrics:
    """Measures in thousandths of the font size."""

    advances: tuple[int, ...]
    """By glyph."""
    box: tuple[int, int, int, int]
    ascent: int
    descent: int
    cap_height: int
    stem: int
    flags: int


@dataclass(frozen=True, slots=True)
class FontObjects:
    """Insides of the dictionaries of a Type0 font, and its packed streams (FlateDecode)."""

    font: bytes
    descendant: bytes
    descriptor: bytes
    program: bytes
    program_size: int
    to_unicode: bytes


@dataclass(frozen=True, slots=True)
class FontSet:
    """The faces of the fast writer. `bold` holds controlled text only and is subset per brand."""

    regular: Face
    symbols: Face
    mono: Face

    def draws(self, text: str) -> bool:
        """Tell whether the text can be drawn without the renderer."""
        rest = set(text) - self.regular.characters
        return not rest or self.symbols.characters.issuperset(rest)

    def split(self, text: str, face: Face) -> list[tuple[Face, str]]:
        """Cut text into runs of one face; characters that no face has become PLACEHOLDER."""
        if face.draws(text):
            return [(face, text)]
        runs: list[tuple[Face, str]] = []
        for character in text:
            run_face, drawn = face, character
            if character not in face.characters:
                if character in self.regular.characters:
                    run_face = self.regular
                else:
                    run_face = self.symbols
                    drawn = character if character in self.symbols.characters else PLACEHOLDER
            if runs and runs[-1][0] is run_face:
                runs[-1] = (run_face, runs[-1][1] + drawn)
            else:
                runs.append((run_face, drawn))
        return runs

    def width(self, text: str, face: Face, size: float) -> float:
        """Return the advance in points, other faces included."""
        try:
            return sum(map(face.widths.__getitem__, text)) * size / 1000
        except KeyError:
            return sum(part.width(run, size) for part, run in self.split(text, face))


def load_fonts(directories: Iterable[str] = FONT_DIRECTORIES) -> FontSet:
    """Find and subset the fonts; takes some tenths of a second.

    Raises FontMissingError naming the package of the missing font.
    """
    known = tuple(directories)
    return FontSet(
        regular=_load("F0", find_font("NotoSans-Regular.ttf", "fonts-noto-core", known), _characters(_TEXT_RANGES)),
        symbols=_load("F1", find_font("DejaVuSans.ttf", "fonts-dejavu-core", known), _characters(_SYMBOL_RANGES)),
        mono=_load(
            "F2",
            find_font("DejaVuSansMono.ttf", "fonts-dejavu-core", known),
            _characters(_MONO_RANGES + _MONO_MORE),
        ),
    )


def load_bold(characters: Iterable[str], directories: Iterable[str] = FONT_DIRECTORIES) -> Face:
    """Return the bold face with the glyphs of a template's own texts. Raises FontMissingError."""
    return _load("F3", find_font("NotoSans-Bold.ttf", "fonts-noto-core", tuple(directories)), characters)


def find_font(file_name: str, package: str, directories: Iterable[str] = FONT_DIRECTORIES) -> Path:
    """Return the path of a font file. Raises FontMissingError."""
    for directory in directories:
        path = Path(directory) / file_name
        if path.is_file():
            return path
    raise FontMissingError(f"font {file_name} is missing: apt-get install {package}")


def _characters(ranges: Iterable[tuple[int, int]]) -> set[str]:
    return {chr(code) for first, last in ranges for code in range(first, last + 1)}


def _load(resource: str, path: Path, characters: Iterable[str]) -> Face:
    # fontTools is slow to import and only needed when a template is built.
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    wanted = {ord(character) for character in characters}
    options: Any = Options()
    options.hinting = False
    options.layout_features = []
    options.name_IDs = []
    options.notdef_outline = True
    options.glyph_names = False
    options.legacy_kern = False
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "DSIG", "OS/2", "STAT", "meta", "FFTM"]
    subsetter: Any = Subsetter(options)
    buffer = io.BytesIO()
    with TTFont(path, lazy=True) as font:
        subsetter.populate(unicodes=sorted(wanted & set(font.getBestCmap())))
        cap_height, weight = getattr(font["OS/2"], "sCapHeight", 0), font["OS/2"].usWeightClass
        subsetter.subset(font)
        glyphs = {chr(code): font.getGlyphID(name) for code, name in font.getBestCmap().items()}
        metrics = _measure(font, cap_height, weight)
        for table in ("cmap", "post", "name"):
            # Identity-H needs none of them in the file (9.9, table 126).
            if table in font:
                del font[table]
        font.save(buffer)
    return Face(resource, f"LLTEXT+{path.stem}", buffer.getvalue(), glyphs, metrics)


def _measure(font: Any, cap_height: int, weight: int) -> Metrics:
    scale = 1000 / font["head"].unitsPerEm
    head, hhea = font["head"], font["hhea"]
    advances = tuple(round(font["hmtx"][name][0] * scale) for name in font.getGlyphOrder())
    return Metrics(
        advances=advances,
        box=(round(head.xMin * scale), round(head.yMin * scale), round(head.xMax * scale), round(head.yMax * scale)),
        ascent=round(hhea.ascent * scale),
        descent=round(hhea.descent * scale),
        cap_height=round(cap_height * scale) or 714,
        stem=120 if weight > 500 else 80,
        flags=4,  # symbolic: the glyphs are chosen by number (9.8.2)
    )


def _to_unicode(by_glyph: Mapping[int, str]) -> bytes:
    """Return the CMap that gives the text back to search, copy and screen readers (9.10.3)."""
    rows = [f"<{glyph:04x}> <{character.encode('utf-16-be').hex()}>" for glyph, character in sorted(by_glyph.items())]
    blocks = []
    for start in range(0, len(rows), 100):  # at most 100 a block
        part = rows[start : start + 100]
        blocks.append(f"{len(part)} beginbfchar\n" + "\n".join(part) + "\nendbfchar")
    return (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
        "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        "1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"
        + "\n".join(blocks)
        + "\nendcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
    ).encode()
