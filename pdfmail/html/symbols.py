"""Letters that stand for signs because a symbol font draws them: Word's smileys, arrows, ticks and list bullets.

Wingdings and Symbol exist on no server, so the reader would see a J for a smile. Only what mail programs write by
themselves is mapped; anything else stays as it is. Source: Unicode's mapping of Wingdings (L2/11-052, L2/12-368),
ADOBE/symbol.txt of the Unicode consortium.
"""

from __future__ import annotations

_WINGDINGS = {
    "J": "\u263a",
    "K": "\U0001f610",
    "L": "\u2639",
    "\xe0": "\u2192",
    "\xdf": "\u2190",
    "\xe1": "\u2191",
    "\xe2": "\u2193",
    "\xe8": "\u2794",
    "\xf3": "\u2b04",
    "\xf0": "\u21e8",
    "\xa7": "\u25aa",
    "\xa8": "\u25fb",
    "\xd8": "\u27a2",
    "\xfc": "\u2713",
    "\xfb": "\u2717",
    "\xfe": "\u2611",
    "\xfd": "\u2612",
    "v": "\u2756",
    "q": "\u2751",
    "n": "\u25a0",
    "l": "\u25cf",
    "m": "\u274d",
    "u": "\u25c6",
    "o": "\u25a1",
    "w": "\u2b25",
    "*": "\u2709",
    "(": "\u260e",
    "F": "\u261e",
    "C": "\U0001f44d",
    "D": "\U0001f44e",
    "\xab": "\u2605",
    "!": "\U0001f589",
}
_SYMBOL = {
    "\xb7": "\u2022",
    "\xa8": "\u2666",
    "\xae": "\u2192",
    "\xde": "\u21d2",
    "\xac": "\u2190",
    "\xb3": "\u2265",
    "\xa3": "\u2264",
}
_PRIVATE = 0xF000  # Windows writes the codes of symbol fonts here


def _make_table(signs: dict[str, str]) -> dict[int, str]:
    return {ord(letter) + base: sign for letter, sign in signs.items() for base in (0, _PRIVATE)}


_TABLES = {"wingdings": _make_table(_WINGDINGS), "symbol": _make_table(_SYMBOL)}


def find_symbol_table(families: str) -> dict[int, str] | None:
    """Return the table for a font-family value or face attribute whose first family is a symbol font."""
    return _TABLES.get(families.partition(",")[0].strip().strip("'\"").lower())
