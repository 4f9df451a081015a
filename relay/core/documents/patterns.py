"""Wildcard patterns over addresses, domains and other short texts. `*` stands for any run of characters, nothing else
is special.

Matching is linear in the text for a given pattern: the pieces between the stars are searched one after the other, never
backtracking. Regular expressions are not used. Patterns and texts are compared in normal form (relay.core.address).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.core.address import normalise_address, normalise_domain
from relay.core.documents.reading import DocumentError, check_text, read_domain
from relay.core.errors import AddressError

_LONGEST = 320


@dataclass(frozen=True, slots=True)
class Wildcard:
    """One compiled pattern."""

    pattern: str
    _head: str = field(init=False, repr=False, compare=False)
    _middle: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _tail: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pieces = self.pattern.split("*")
        object.__setattr__(self, "_head", pieces[0])
        object.__setattr__(self, "_middle", tuple(piece for piece in pieces[1:-1] if piece))
        object.__setattr__(self, "_tail", pieces[-1] if len(pieces) > 1 else None)

    def matches(self, text: str) -> bool:
        """Tell whether the whole text fits."""
        if self._tail is None:
            return text == self._head
        if len(text) < len(self._head) + len(self._tail):
            return False
        if not text.startswith(self._head) or not text.endswith(self._tail):
            return False
        place, end = len(self._head), len(text) - len(self._tail)
        for piece in self._middle:
            found = text.find(piece, place, end)
            if found < 0:
                return False
            place = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class PatternSet:
    """Several patterns; a text fits when one does. The common forms cost one look-up."""

    patterns: tuple[str, ...]
    _exact: frozenset[str] = field(init=False, repr=False, compare=False)
    _domains: frozenset[str] = field(init=False, repr=False, compare=False)
    _heads: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _tails: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _wild: tuple[Wildcard, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exact: set[str] = set()
        domains: set[str] = set()
        heads: list[str] = []
        tails: list[str] = []
        wild: list[Wildcard] = []
        for pattern in self.patterns:
            if "*" not in pattern:
                exact.add(pattern)
            elif pattern.count("*") > 1 or not (pattern.startswith("*") or pattern.endswith("*")):
                wild.append(Wildcard(pattern))
            elif pattern.startswith("*@") and pattern.count("@") == 1:
                domains.add(pattern[2:])
            elif pattern.startswith("*"):
                tails.append(pattern[1:])
            else:
                heads.append(pattern[:-1])
        for name, value in (("_exact", exact), ("_domains", domains)):
            object.__setattr__(self, name, frozenset(value))
        for name, found in (("_heads", heads), ("_tails", tails), ("_wild", wild)):
            object.__setattr__(self, name, tuple(found))

    def matches(self, text: str) -> bool:
        """Tell whether one pattern fits the normalised text."""
        if text in self._exact:
            return True
        if self._domains:
            _, at, domain = text.rpartition("@")
            if at and domain in self._domains:
                return True
        if self._tails and text.endswith(self._tails):
            return True
        if self._heads and text.startswith(self._heads):
            return True
        for wild in self._wild:  # noqa: SIM110 - a loop, not a generator: this runs for every rule and copy
            if wild.matches(text):
                return True
        return False

    def find(self, text: str) -> str | None:
        """Return the first pattern in written order that fits, for explanations."""
        for pattern in self.patterns:
            if Wildcard(pattern).matches(text):
                return pattern
        return None

    def __bool__(self) -> bool:
        return bool(self.patterns)


def read_address_pattern(untrusted_value: object, path: str) -> str:
    """Item reader: `*`, an address, or an address with stars (`*@bank.example`, `*@*.bank.example`), in normal form.

    Raises DocumentError; a bare domain is refused because it could never fit an address.
    """
    value = unicodedata.normalize("NFC", check_text(untrusted_value, path, longest=_LONGEST).strip())
    if value == "*":
        return value
    if "@" not in value:
        raise DocumentError(
            path, "is neither an address nor `*`", "Write local-part@domain or *@domain; stars may stand in both"
        )
    if "*" not in value:
        try:
            return normalise_address(value)
        except AddressError as error:
            raise DocumentError(path, f"is not a mail address ({error})", "Write local-part@domain") from error
    local, _, domain = value.rpartition("@")
    if not local:
        raise DocumentError(path, "has no local-part", "Write *@domain for everybody there")
    lowered = "".join(c.lower() if c.isascii() else c for c in local)
    return f"{lowered}@{_read_domain_or_star(domain, path)}"


def read_domain_pattern(untrusted_value: object, path: str) -> str:
    """Item reader: `*`, a domain, or a domain with stars (`*.bank.example` fits what is below, not itself)."""
    value = unicodedata.normalize("NFC", check_text(untrusted_value, path, longest=_LONGEST).strip())
    if "@" in value:
        raise DocumentError(path, "is an address", "Write the domain alone")
    return _read_domain_or_star(value, path)


def _read_domain_or_star(value: str, path: str) -> str:
    if "*" not in value:
        return value.lower() if value.startswith("[") else read_domain(value, path)
    try:
        labels = [label if "*" in label else normalise_domain(label) for label in value.split(".")]
    except AddressError as error:
        raise DocumentError(path, f"is not a domain ({error})", "Write it like *.bank.example") from error
    result = ".".join(labels).lower()
    if not all(
        label and all(c.isalnum() or c in "-_*" for c in label) and label.isascii() for label in result.split(".")
    ):
        raise DocumentError(path, "is not a domain with stars", "Write it like *.bank.example")
    return result


def read_text_pattern(untrusted_value: object, path: str) -> str:
    """Item reader: a pattern over any text, case-folded; at most 320 characters."""
    return unicodedata.normalize("NFC", check_text(untrusted_value, path, longest=_LONGEST)).casefold()


def fold_text(text: str) -> str:
    """Return the form in which texts are compared with `read_text_pattern` patterns."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def specificity(pattern: str) -> tuple[int, int]:
    """Return a key that sorts patterns from the general to the particular: address, then domain, then `*`."""
    if pattern == "*":
        return (0, 0)
    local, at, domain = pattern.rpartition("@")
    if at and local != "*":
        return (3 if "*" not in pattern else 2, len(pattern))
    return (2 if "*" not in domain else 1, len(domain))


def most_specific(patterns: Iterable[str]) -> list[str]:
    """Return the patterns, the most particular first; equals keep their order."""
    return sorted(patterns, key=specificity, reverse=True)
