"""Keywords such as {pdf} in a decoded subject. What a keyword means is policy's business; the table is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeywordsFound:
    """Keywords as the table spells them, in order of first appearance, and the subject without them."""

    found: tuple[str, ...]
    subject: str


class KeywordTable:
    """A set of keywords ready to search with. Make it once per policy version."""

    def __init__(self, keywords: Iterable[str]) -> None:
        self.keywords = tuple(keywords)

    def find(self, subject: str) -> KeywordsFound:
        """Find the keywords anywhere in a decoded subject, in any case, and take every one of them out.

        Space just inside a bracketed keyword does not matter; the space around a removed one is closed up.
        """
        raise NotImplementedError


def find_keywords(subject: str, keywords: Iterable[str]) -> KeywordsFound:
    """Find keywords with a table made for this one call."""
    return KeywordTable(keywords).find(subject)
