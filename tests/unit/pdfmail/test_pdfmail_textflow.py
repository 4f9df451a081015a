"""Plain text: cleaned, broken into lines, links found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfmail.textflow import break_line, clean_line, clean_text, find_links, is_safe_uri


def measure(text: str) -> float:
    return sum(9.0 if letter in "mwMW" else 5.0 for letter in text)


LINES = st.text(alphabet=st.sampled_from("abmw  \t-/.,éß>é"), max_size=120)


@given(LINES, st.floats(20, 200), st.floats(0, 60))
def test_breaking_keeps_every_visible_character_once_and_in_order(line: str, width: float, hang: float) -> None:
    broken = break_line(line, measure, width, hang)
    drawn = "".join(segment.text for row in broken for segment in row)
    assert drawn.replace(" ", "") == line.replace(" ", "").replace("\t", "")
    for row in broken:
        for segment in row:
            assert line[segment.start : segment.start + len(segment.text)] == segment.text
            # Blanks at the end may hang over the edge, nothing else may.
            assert segment.x + measure(segment.text.rstrip(" ")) <= width + 1e-6 or len(segment.text.strip()) <= 1


@given(LINES, st.floats(60, 200))
def test_breaking_makes_no_empty_line_but_for_an_empty_text(line: str, width: float) -> None:
    broken = break_line(line, measure, width)
    assert broken
    if line.strip() and "\t" not in line:
        assert all("".join(segment.text for segment in row).strip() or place == 0 for place, row in enumerate(broken))


def test_words_move_to_the_next_line_whole() -> None:
    rows = break_line("aaaa bbbb cccc", measure, 40.0)
    assert ["".join(segment.text for segment in row).strip() for row in rows] == ["aaaa", "bbbb", "cccc"]


def test_long_words_break_behind_punctuation_first() -> None:
    rows = break_line("https://a.example/bbbbbbbb/cccccccc", measure, 100.0)
    assert rows[0][0].text.endswith("/")


def test_tabs_move_to_stops() -> None:
    (row,) = break_line("a\tb\tc", measure, 500.0)
    assert [segment.x for segment in row] == [0.0, 36.0, 72.0]


@given(st.text(max_size=300))
def test_cleaning_never_fails_and_leaves_no_controls(untrusted: str) -> None:
    text = clean_text(untrusted)
    assert all(letter in "\n\t" or ord(letter) >= 32 for letter in text)
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200b\ufeff\x7f\r\x0c") & set(text)
    assert clean_text(text) == text


def test_cleaning_composes_and_unifies() -> None:
    assert clean_text("a\r\nb\rc\u2028d\x0ce") == "a\nb\nc\nd\ne"
    assert clean_text("u\u0308") == "ü"
    assert clean_text("\ud800x") == "\ufffdx"
    assert clean_line(" a\r\n b\tc ") == "a b c"


@pytest.mark.parametrize(
    ("line", "uris"),
    [
        ("see https://a.example/x?y=1.", ["https://a.example/x?y=1"]),
        ("(https://a.example/x_(y))", ["https://a.example/x_(y)"]),
        ("<https://a.example>, [http://b.example/]", ["https://a.example", "http://b.example/"]),
        ("MAILTO:anna@partner.example", ["MAILTO:anna@partner.example"]),
        ("javascript:alert(1) file:///etc/passwd data:text/html,x ftp://a.example", []),
        ("https://bank.example@evil.example/", []),
        ("https://b\u0430nk.example/ and https://", []),
        ("mailto:nobody", []),
        ("https://[bad/", []),
        ("https://a.example/" + "x" * 5000, []),
    ],
)
def test_only_plain_web_and_mail_addresses_become_links(line: str, uris: list[str]) -> None:
    assert [link.uri for link in find_links(line)] == uris


@given(st.text(max_size=200))
def test_found_links_are_safe_and_in_place(line: str) -> None:
    for link in find_links("x " + line + " https://a.example/" + line):
        assert is_safe_uri(link.uri)
        assert link.uri.isascii()


def test_finding_links_takes_linear_time() -> None:
    assert find_links("http://a" + ")" * 200_000) == []
    assert find_links("http://" * 50_000) == []
