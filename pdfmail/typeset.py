"""Small pieces of text set on a page: shortened, wrapped, drawn as a paragraph.

For header texts and for our own sentences; long mail text is bodytext's job. It must not know what a text means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .canvas import PageCanvas, TextStyle
from .fonts import FontSet
from .structure import StructNode
from .textflow import break_line

_MEASURED_WHOLE = 400
"""Characters up to which a text is measured at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a paragraph begins: left edge and first base line, and how wide it may be."""

    left: float
    base: float
    width: float


@dataclass(frozen=True, slots=True)
class WrappedText:
    """Lines of a value; `is_whole` is false when something was cut off."""

    lines: Sequence[str]
    is_whole: bool


def measure_text(fonts: FontSet, text: str, style: TextStyle) -> float:
    """Return the advance in points."""
    return fonts.width(text, style.face, style.size)


def fit_text(fonts: FontSet, text: str, style: TextStyle, width: float) -> tuple[str, ...]:
    """Return all of a text as lines of at most `width` points; a line feed begins a new one."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        broken = break_line(paragraph, lambda part: measure_text(fonts, part, style), width)
        lines.extend("".join(segment.text for segment in line).rstrip() for line in broken)
    return tuple(lines)


def cut_text(fonts: FontSet, text: str, style: TextStyle, width: float) -> str:
    """Return the text, or its beginning with an ellipsis, within `width` points."""
    if len(text) <= _MEASURED_WHOLE and measure_text(fonts, text, style) <= width:
        return text
    room = width - measure_text(fonts, "…", style)
    used = 0.0
    for place, letter in enumerate(text):
        used += measure_text(fonts, letter, style)
        if used > room:
            return text[:place].rstrip() + "…"
    return text


def wrap_text(fonts: FontSet, text: str, style: TextStyle, width: float, max_lines: int) -> WrappedText:
    """Break one line into at most `max_lines`, the last one shortened with an ellipsis."""
    # More letters than could ever be shown need not be measured.
    limit = max_lines * _MEASURED_WHOLE
    if len(text) <= limit:
        lines = list(fit_text(fonts, text, style, width))
        if len(lines) <= max_lines:
            return WrappedText(lines, is_whole=True)
    else:
        lines = list(fit_text(fonts, text[:limit], style, width))
    kept = lines[:max_lines]
    kept[-1] = cut_text(fonts, kept[-1] + " …", style, width).removesuffix(" …").removesuffix("…").rstrip() + "…"
    return WrappedText(kept, is_whole=False)


def draw_lines(canvas: PageCanvas, node: StructNode, lines: Sequence[str], place: Place, style: TextStyle) -> float:
    """Draw lines as one tagged element; return the base line below them."""
    leading = round(style.size * 1.4, 1)
    y = place.base
    canvas.begin(node)
    for line in lines:
        canvas.text(place.left, y, line, style)
        y -= leading
    canvas.end()
    return y
