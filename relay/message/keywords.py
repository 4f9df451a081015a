"""Keywords such as {pdf} in a decoded subject. What a keyword means is policy's business; the table is an argument."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BRACKETS = {"{": "}", "[": "]", "(": ")", "<": ">"}
_MOST_TURNS = 5


@dataclass(frozen=True, slots=True)
class KeywordsFound:
    """Keywords as the table spells them, in order of first appearance, and the subject without them."""

    found: tuple[str, ...]
    subject: str


class KeywordTable:
    """A set of keywords ready to search with. Make it once per policy version."""

    __slots__ = ("_pattern", "keywords")

    def __init__(self, keywords: Iterable[str]) -> None:
        """Raises ValueError on an empty keyword."""
        # The longest first, so that {pdf128} is not taken for another keyword that it begins with.
        self.keywords = tuple(sorted(dict.fromkeys(word.strip() for word in keywords), key=len, reverse=True))
        if not all(self.keywords):
            raise ValueError("a keyword must not be empty")
        self._pattern = re.compile("|".join(f"({_to_pattern(word)})" for word in self.keywords), re.IGNORECASE)

    def find(self, subject: str) -> KeywordsFound:
        """Find the keywords anywhere in a decoded subject, in any case, and take every one of them out.

        Space just inside a bracketed keyword does not matter; the space around a removed one is closed up. A keyword
        that only appears when another one is taken out counts too, so none is left to leave the house.
        """
        found: dict[str, None] = {}
        if not self.keywords:
            return KeywordsFound((), subject)
        for _ in range(_MOST_TURNS):
            hits = list(self._pattern.finditer(subject))
            if not hits:
                break
            found.update(dict.fromkeys(self.keywords[(hit.lastindex or 1) - 1] for hit in hits))
            subject = _cut_out(subject, hits)
        return KeywordsFound(tuple(found), subject)


def _to_pattern(word: str) -> str:
    if len(word) > 2 and _BRACKETS.get(word[0]) == word[-1]:
        return rf"{re.escape(word[0])}\s*{re.escape(word[1:-1].strip())}\s*{re.escape(word[-1])}"
    return re.escape(word)


def _cut_out(subject: str, hits: list[re.Match[str]]) -> str:
    pieces: list[str] = []
    position = 0
    for hit in hits:
        pieces.append(subject[position : hit.start()])
        position = hit.end()
    pieces.append(subject[position:])
    out = pieces[0]
    parts = [out.rstrip()]
    had_space = out != out.rstrip()
    for piece in pieces[1:]:
        bare = piece.strip()
        if bare:
            if (had_space or piece != piece.lstrip()) and any(parts):
                parts.append(" ")
            parts.append(bare)
            had_space = piece != piece.rstrip()
        else:
            had_space = had_space or bool(piece)
    return "".join(parts).lstrip() if any(parts) else ""


def find_keywords(subject: str, keywords: Iterable[str]) -> KeywordsFound:
    """Find keywords with a table made for this one call."""
    return KeywordTable(keywords).find(subject)
