"""Wildcard patterns: a reference matcher agrees, long input stays linear, forms that fit nothing are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.documents.patterns import (
    PatternSet,
    Wildcard,
    most_specific,
    read_address_pattern,
    read_domain_pattern,
)
from relay.core.documents.reading import DocumentError


def slow(pattern: str, text: str) -> bool:
    """Match by the definition: a star is any run of characters."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slow(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] == text[0] and slow(pattern[1:], text[1:])


@given(st.text("ab*", max_size=7), st.text("ab", max_size=9))
def test_wildcard_agrees_with_the_definition(pattern: str, text: str) -> None:
    assert Wildcard(pattern).matches(text) is slow(pattern, text)


@given(st.lists(st.text("ab*@.", max_size=6), max_size=4), st.text("ab@.", max_size=8))
def test_set_fits_when_one_of_its_patterns_does(patterns: list[str], text: str) -> None:
    found = PatternSet(tuple(patterns))
    expected = [pattern for pattern in patterns if slow(pattern, text)]
    assert found.matches(text) is bool(expected)
    assert found.find(text) == (expected[0] if expected else None)


class CountingText(str):
    """A text that counts how many characters were looked at by `find`."""

    looked = 0

    def find(self, piece: str, start: int = 0, end: int = 2**62) -> int:  # type: ignore[override]
        found = super().find(piece, start, end)
        type(self).looked += (found + len(piece) if found >= 0 else min(end, len(self))) - start
        return found


def test_matching_looks_at_each_character_once() -> None:
    text = CountingText("a" * 100_000)
    assert not Wildcard("*" + "a*" * 100 + "b*").matches(text)
    assert CountingText.looked <= len(text) + 200


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("*", "*"),
        ("Anna@Bank.Example", "anna@bank.example"),
        ("*@Bänk.example", "*@xn--bnk-qla.example"),
        ("Sales-*@*.Bank.Example", "sales-*@*.bank.example"),
        (" anna@bank.example ", "anna@bank.example"),
    ],
)
def test_address_pattern_is_brought_into_normal_form(raw: str, normal: str) -> None:
    assert read_address_pattern(raw, "p") == normal
    assert read_address_pattern(normal, "p") == normal


@pytest.mark.parametrize(
    "raw", ["", "bank.example", "@bank.example", "*@", "*@a..b", "*@ä*.example", "a b@x", 5, None, "*@-*"]
)
def test_bad_address_pattern_is_refused(raw: object) -> None:
    if raw == "*@-*":
        assert read_address_pattern(raw, "p") == raw
        return
    with pytest.raises(DocumentError):
        read_address_pattern(raw, "p")


@pytest.mark.parametrize("raw", ["", "anna@bank.example", "a b", "*..b", "a." + "b" * 64])
def test_bad_domain_pattern_is_refused(raw: str) -> None:
    with pytest.raises(DocumentError):
        read_domain_pattern(raw, "p")


def test_particular_patterns_come_first() -> None:
    ordered = ["jonas@partner.example", "j*@partner.example", "*@partner.example", "*@*.example", "*"]
    assert most_specific(ordered[::-1])[0] == ordered[0]
    assert most_specific(ordered[::-1])[-2:] == ordered[-2:]
    assert most_specific(["partner.example", "*.partner.example", "*"]) == ["partner.example", "*.partner.example", "*"]
