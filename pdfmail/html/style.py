"""Untrusted style attributes -> declarations that cannot fetch, cover, hide behind, or blow up the layout.

An allow-list of properties, each with a reader that returns a normal form or None. Whatever holds a backslash, an
at-sign, a brace or an unknown function is dropped whole, so no second CSS parser can read it differently. Numbers are
clamped. No url, calc, position, float, flex, grid, columns, content, counters, page or transform.
Source: CSS 2.2 chapters 8-18; docs/pdf.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from pdfmail.html.colours import parse_colour

STYLE_CHARS = 8000  # of one attribute
DECLARATIONS = 120
PAGE_WIDTH_PX = 642.0  # 170 mm between the side margins at 96 px an inch
MAX_HEIGHT_PX = 850.0

ValueReader = Callable[[str], str | None]

_PX = {"px": 1.0, "": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6}
_LENGTH = re.compile(r"([+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}))(px|pt|pc|in|cm|mm|q|em|rem|ex|ch|%|)")
_FORBIDDEN = re.compile(r"[\\@{}<>;:*&$|~^=`]|/\*|url|expression|image|var\(|env\(|attr\(|calc", re.IGNORECASE)
_SPLIT = re.compile(r"""((?:[^\s"'(),]|"[^"]*"|'[^']*'|\([^)]*\))+)""")


@lru_cache(maxsize=4096)
def filter_style(untrusted_style: str) -> str:
    """Return the safe declarations of a style attribute, in order, later ones winning; "" if none is left."""
    kept: dict[str, str] = {}
    for name, untrusted_value in _split_declarations(untrusted_style[:STYLE_CHARS]):
        for safe_name, value in _read_declaration(name, untrusted_value):
            kept.pop(safe_name, None)
            kept[safe_name] = value
    return ";".join(f"{name}:{value}" for name, value in kept.items())


def _split_declarations(untrusted_style: str) -> Iterator[tuple[str, str]]:
    text = re.sub(r"/\*.*?(?:\*/|$)", " ", untrusted_style, flags=re.DOTALL)
    for part in text.split(";")[:DECLARATIONS]:
        name, colon, value = part.partition(":")
        value = re.sub(r"!\s*important\s*$", "", value.strip(), flags=re.IGNORECASE).strip()
        if colon and value and len(value) <= 400:
            yield name.strip().lower(), value


def _read_declaration(name: str, untrusted_value: str) -> Iterator[tuple[str, str]]:
    if name in {"background", "background-color"}:  # the colour may stand beside an image, which goes
        for token in _SPLIT.findall(untrusted_value):
            colour = None if _FORBIDDEN.search(token) else parse_colour(token)
            if colour:
                yield "background-color", colour
                return
        return
    if _FORBIDDEN.search(untrusted_value):
        return
    if name == "font":
        yield from _read_font(untrusted_value)
    elif name == "mso-hide" and untrusted_value.lower() == "all":
        yield "display", "none"
    elif reader := READERS.get(name):
        value = reader(untrusted_value.lower() if name != "font-family" else untrusted_value)
        if value is not None:
            yield name, value


def _read_font(untrusted_value: str) -> Iterator[tuple[str, str]]:
    """CSS 2.2, 15.8: [style variant weight] size[/line-height] family."""
    match = re.fullmatch(
        r"((?:[a-z0-9-]+\s+){0,4}?)([0-9.]+[a-z%]+|[a-z]*-?small|medium|[a-z]*-?large)"
        r"(?:\s*/\s*([0-9.]+[a-z%]*|normal))?\s+(.+)",
        untrusted_value,
        re.IGNORECASE,
    )
    if match is None:
        return
    for word in match[1].lower().split():
        for name in ("font-style", "font-weight"):
            if word != "normal" and (value := READERS[name](word)):
                yield name, value
    for name, part in (("font-size", match[2]), ("line-height", match[3]), ("font-family", match[4])):
        if part and (value := READERS[name](part if name == "font-family" else part.lower())):
            yield name, value


def _words(allowed: str, **renamed: str) -> ValueReader:
    table = {word: word for word in allowed.split()} | renamed
    return lambda value: table.get(value.strip())


def _length(low: float, high: float, percent: float = 100.0, em: float = 6.0, *, words: str = "") -> ValueReader:
    """Reader of one length, clamped to low..high px; percentages and em have caps of their own."""
    allowed = frozenset(words.split())

    def read(value: str) -> str | None:
        if value in allowed:
            return value
        match = _LENGTH.fullmatch(value)
        if match is None:
            return None
        number, unit = float(match[1]), match[2]
        if unit == "%":
            return f"{_clamp(number, 0.0 if low >= 0 else -percent, percent):g}%"
        if unit in {"em", "rem", "ex", "ch"}:
            return f"{_clamp(number, 0.0 if low >= 0 else -em, em):g}{unit}"
        return f"{_clamp(number * _PX[unit], low, high):g}px"

    return read


def _clamp(number: float, low: float, high: float) -> float:
    return min(high, max(low, number))


def _several(reader: ValueReader, count: int = 4) -> ValueReader:
    def read(value: str) -> str | None:
        parts = [reader(part) for part in _SPLIT.findall(value)]
        if not 1 <= len(parts) <= count:
            return None
        kept = [part for part in parts if part is not None]
        return " ".join(kept) if len(kept) == len(parts) else None

    return read


_border_width = _length(0, 20, words="thin medium thick")
_border_style = _words("none hidden dotted dashed solid double groove ridge inset outset")


def _read_border(value: str) -> str | None:
    """CSS 2.2, 8.5.4: width, style and colour in any order; Word adds `windowtext` and `currentColor`."""
    kept: list[str] = []
    for token in _SPLIT.findall(value):
        part = _border_style(token) or _border_width(token) or parse_colour(token)
        if part is None and token not in {"currentcolor", "initial", "inherit"}:
            return None
        if part:
            kept.append(part)
    return " ".join(kept[:3]) or None


def _read_families(untrusted_value: str) -> str | None:
    families: list[str] = []
    for part in untrusted_value.split(",")[:8]:
        name = part.strip().strip("\"'").strip()
        if not re.fullmatch(r"[\w .-]{1,60}", name) or "emoji" in name.lower():  # an emoji family widens digits
            continue
        generic = name.lower() in {"serif", "sans-serif", "monospace"}
        families.append(name.lower() if generic else f"'{name}'")
    return ", ".join(families) or None


def _read_line_height(value: str) -> str | None:
    if value == "normal":
        return value
    match = _LENGTH.fullmatch(value)
    if match is None:
        return None
    number, unit = float(match[1]), match[2]
    if unit in {"", "em", "rem"}:
        return f"{_clamp(number, 0.9, 4.0):g}"
    if unit == "%":
        return f"{_clamp(number, 90.0, 400.0):g}%"
    return f"{_clamp(number * _PX.get(unit, 8.0), 6.0, 150.0):g}px"


def _read_size(value: str) -> str | None:
    sizes = "xx-small x-small small medium large x-large xx-large smaller larger"
    return _length(0, 72, 400.0, 5.0, words=sizes)(value)


def _read_colour(value: str) -> str | None:
    return parse_colour(value) if value != "transparent" else None  # text that cannot be seen


def _read_list_style(value: str) -> str | None:
    for token in value.split():
        if kind := _list_type(token):
            return kind
    return None


_list_type = _words(
    "none disc circle square decimal decimal-leading-zero lower-roman upper-roman lower-alpha upper-alpha "
    "lower-latin upper-latin lower-greek"
)
_width = _length(0, PAGE_WIDTH_PX, words="auto")
_height = _length(0, MAX_HEIGHT_PX, 100.0, 40.0, words="auto")
_margin = _length(0, 240, 40.0, 10.0, words="auto")
_padding = _length(0, 240, 40.0, 10.0)

READERS: dict[str, ValueReader] = {
    "color": _read_colour,
    "font-family": _read_families,
    "font-size": _read_size,
    "font-weight": _words("normal bold bolder lighter 100 200 300 400 500 600 700 800 900"),
    "font-style": _words("normal italic oblique"),
    "font-variant": _words("normal small-caps"),
    "line-height": _read_line_height,
    "letter-spacing": _length(-1, 10, 0.0, 0.5, words="normal"),
    "word-spacing": _length(-1, 20, 0.0, 1.0, words="normal"),
    "text-align": _words("left right center justify start end"),
    "text-decoration": _words("none underline line-through overline"),
    "text-decoration-line": _words("none underline line-through overline"),
    "text-transform": _words("none uppercase lowercase capitalize"),
    "text-indent": _length(-200, 200, 40.0),
    "white-space": _words("normal pre-wrap pre-line", **{"pre": "pre-wrap", "break-spaces": "pre-wrap"}),
    "direction": _words("ltr rtl"),
    "vertical-align": _length(-20, 20, 100.0, 2.0, words="baseline sub super top text-top middle bottom text-bottom"),
    "list-style": _read_list_style,
    "list-style-type": _list_type,
    "display": _words(
        "none block inline inline-block list-item table table-row table-cell table-row-group table-header-group "
        "table-footer-group table-caption",
        **{"inline-table": "inline-block"},
    ),
    "visibility": _words("hidden visible collapse"),
    "margin": _several(_margin),
    "padding": _several(_padding),
    "border": _read_border,
    "border-width": _several(_border_width),
    "border-style": _several(_border_style),
    "border-color": _several(parse_colour),
    "border-radius": _several(_length(0, 60, 50.0)),
    "border-collapse": _words("collapse separate"),
    "border-spacing": _several(_length(0, 40, 0.0), 2),
    "caption-side": _words("top bottom"),
    "table-layout": _words("auto fixed"),
    "empty-cells": _words("show hide"),
    "width": _width,
    "max-width": _width,
    "min-width": _length(0, 300),
    "height": _height,
    "min-height": _length(0, MAX_HEIGHT_PX),
    "max-height": _length(0, MAX_HEIGHT_PX, words="none"),
    "box-sizing": _words("border-box content-box"),
}
for _side in ("top", "right", "bottom", "left"):
    READERS[f"margin-{_side}"] = _margin
    READERS[f"padding-{_side}"] = _padding
    READERS[f"border-{_side}"] = _read_border
    READERS[f"border-{_side}-width"] = _border_width
    READERS[f"border-{_side}-style"] = _border_style
    READERS[f"border-{_side}-color"] = parse_colour
