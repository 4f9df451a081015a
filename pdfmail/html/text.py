"""Untrusted text made harmless for layout: no control characters, no endless words, no towers of accents.

Must keep every visible character of ordinary text in any script. Source: Unicode 15 chapters 23.1, 23.2 (controls),
UAX #9 (bidi), UTR #36 section 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pdfmail.html.targets import LinkTarget, parse_target

WORD_CHARS = 120
RUN_CHARS = 1200  # layout is quadratic in a run without a blank; a blank there is harmless in any script
CELL_WORD_CHARS = 40  # a table is as wide as its longest words
BREAK = "\u200b"

# C0, C1 (less tab, line feed, carriage return), surrogates, non-characters, bidi overrides, annotation and tag controls
_BAD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufff9-\uffff\u202d\u202e\u206a-\u206f\ufeff"
    "\U0001fffe\U0001ffff\U000e0000-\U000e001f]"
)
_ACCENTS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_TOWER = re.compile(f"([{_ACCENTS}]{{6}})[{_ACCENTS}]+")
_LONG_WORD = re.compile(rf"[^\s{BREAK}]{{{WORD_CHARS}}}(?=[^\s{BREAK}])")
_LONG_CELL_WORD = re.compile(rf"[^\s{BREAK}]{{{CELL_WORD_CHARS}}}(?=[^\s{BREAK}])")
_LONG_RUN = re.compile(rf"[^\s]{{{RUN_CHARS}}}(?=[^\s])")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){12,}")
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_STRONG_LTR = re.compile(
    "[A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02b8\u0370-\u058f\u0900-\u1fff\u2c00-\u2dff"
    "\u3040-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def clean_text(untrusted_text: str) -> str:
    """Return the text without what has no place in a page; a run of empty lines ends after a dozen."""
    text = untrusted_text
    if not text.isascii() or not text.isprintable():
        text = _BLANK_LINES.sub("\n" * 12, _TOWER.sub(r"\1", _BAD.sub("", text)))
    return text


def split_words(text: str, *, in_cell: bool = False) -> str:
    """Return the text with a break opportunity in each word after every 120 characters, 40 in a table cell."""
    if len(text) > RUN_CHARS:
        text = _LONG_RUN.sub(lambda match: match[0] + " ", text)
    pattern, limit = (_LONG_CELL_WORD, CELL_WORD_CHARS) if in_cell else (_LONG_WORD, WORD_CHARS)
    return pattern.sub(lambda match: match[0] + BREAK, text) if len(text) > limit else text


def cut_text(text: str, size: int) -> list[str]:
    """Cut a text at blanks into pieces of at most `size` characters; joined they are the text again."""
    if len(text) <= size:
        return [text] if text else []
    return re.findall(rf".{{1,{size}}}(?:(?<=\s)|\Z)|.{{1,{size}}}", text, re.DOTALL)


def has_rtl(text: str) -> bool:
    """Say whether a right-to-left letter is in the text."""
    return not text.isascii() and _RTL.search(text) is not None


def find_direction(text: str) -> str | None:
    """Return rtl or ltr by the first strong letter (UAX #9, P2 and P3); None if there is none."""
    right = _RTL.search(text)
    left = _STRONG_LTR.search(text)
    if right is None:
        return "ltr" if left is not None else None
    return "rtl" if left is None or right.start() < left.start() else "ltr"


_URL = re.compile(
    r"""(?<![\w@/.-])(?:
        (?:https?://|www\.)[^\s<>"\u200b]{2,1900}
      | (?:mailto:)?[a-z0-9!#$%&'*+=?^_`{|}~-][a-z0-9.!#$%&'*+/=?^_`{|}~-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_TRAIL = ".,;:!?'\u2019\u201d\u00bb*_"


def find_links(text: str) -> Iterator[tuple[int, int, LinkTarget]]:
    """Yield start, end and target of each address that stands in plain text, left to right."""
    for match in _URL.finditer(text):
        found = _trim(match[0])
        url = found
        if "@" in found and not found.lower().startswith(("http:", "https:", "mailto:", "www.")):
            url = "mailto:" + found
        elif found.lower().startswith("www."):
            url = "https://" + found
        target = parse_target(url)
        if target is not None:
            yield match.start(), match.start() + len(found), target


_OPENERS = {")": "(", "]": "["}


def _trim(found: str) -> str:
    """Leave punctuation that ends the sentence, and a bracket that opened before the address, to the text."""
    while found:
        last = found[-1]
        is_stray_bracket = last in _OPENERS and found.count(_OPENERS[last]) < found.count(last)
        if last not in _TRAIL and not is_stray_bracket:
            break
        found = found[:-1]
    return found
