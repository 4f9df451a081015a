"""Text cleaning, word splitting, direction and addresses in plain text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.html.text import BREAK, clean_text, cut_text, find_direction, find_links, has_rtl, split_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grüße\tund\nmehr", "Grüße\tund\nmehr"),
        ("a\x00\x01\x1b[31mb", "a[31mb"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("a\ud800b\ufffeb\U0001ffffc", "abbc"),
        ("e" + "\u0301" * 5000, "e" + "\u0301" * 6),
        ("می\u200cخواهم 👩\u200d👧", "می\u200cخواهم 👩\u200d👧"),
        ("ִשָׁלוֹם", "ִשָׁלוֹם"),
        ("a" + "\n" * 500 + "b", "a" + "\n" * 12 + "b"),
    ],
)
def test_what_has_no_place_in_a_page_goes_and_the_rest_stays(text: str, expected: str) -> None:
    assert clean_text(text) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(blacklist_categories=())))
def test_cleaning_leaves_only_text_that_can_be_written(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert clean_text(cleaned) == cleaned
    assert all(c in "\t\n\r\x85" or unicodedata.category(c) != "Cc" for c in cleaned)
    assert not set(cleaned) & set("\u202d\u202e")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet="ab \n漢", max_size=5000), st.booleans())
def test_splitting_adds_nothing_but_break_opportunities(text: str, in_cell: bool) -> None:
    split = split_words(text, in_cell=in_cell)
    assert split.replace(BREAK, "").replace(" ", "") == text.replace(" ", "")
    assert all(len(word) <= (40 if in_cell else 120) for line in split.split() for word in line.split(BREAK))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=3000), st.integers(1, 50))
def test_pieces_of_a_text_are_the_text(text: str, size: int) -> None:
    pieces = cut_text(text, size)
    assert "".join(pieces) == text
    assert all(1 <= len(piece) <= size for piece in pieces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc שלום", "ltr"),
        ("1. שלום abc", "rtl"),
        ("مرحبا", "rtl"),
        ("123", None),
        ("", None),
        ("漢字", "ltr"),
        ("Ωא", "ltr"),
    ],
)
def test_the_first_strong_letter_gives_the_direction(text: str, expected: str | None) -> None:
    assert find_direction(text) == expected
    assert has_rtl(text) is any(unicodedata.bidirectional(c) in {"R", "AL"} for c in text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "see https://bank.example/a, or (http://b.example/x_(y)).",
            ["https://bank.example/a", "http://b.example/x_(y)"],
        ),
        ("www.bank.example!", ["https://www.bank.example/"]),
        ("write to a.b@bank.example.", ["mailto:a.b@bank.example"]),
        ("<https://bank.example/?a=b&c=d>", ["https://bank.example/?a=b&c=d"]),
        ("https://user@evil.example/", ["https://evil.example/"]),
        ("javascript:alert(1) file:///etc/passwd ftp://a.example 1.2.3", []),
        ("xhttps://a.example", []),
    ],
)
def test_addresses_in_plain_text_become_links(text: str, found: list[str]) -> None:
    assert [target.url for _, _, target in find_links(text)] == found


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text() | st.lists(st.sampled_from(["http://", "www.", "a@b.example", ".", ")", "(", "x", " "])).map("".join))
def test_links_stand_in_order_and_inside_the_text(text: str) -> None:
    position = 0
    for start, end, _ in find_links(text):
        assert position <= start < end <= len(text)
        position = end
