"""File names: clean for every reader and file system, unique."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfmail.names import MAX_NAME, ascii_name, clean_name, make_unique

BAD = set('/\\:*?"<>|') | {chr(code) for code in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), 0xFEFF)}


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\Angebot Müller & Söhne.pdf", "Angebot Müller & Söhne.pdf"),
        ("報告書.docx", "報告書.docx"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("", "attachment"),
        ("...", "attachment"),
        ("🎉🎉", "attachment"),
        ("CON.txt", "_CON.txt"),
        ("a\x00b\nc.txt", "a_b_c.txt"),
        ("Mu\u0308ller.pdf", "Müller.pdf"),
        ("dir/", "dir"),
    ],
)
def test_known_names(given_name: str, expected: str) -> None:
    assert clean_name(given_name) == expected


@given(st.text(max_size=400))
def test_cleaned_names_are_safe_whatever_comes(untrusted: str) -> None:
    name = clean_name(untrusted)
    assert name
    assert len(name) <= MAX_NAME
    assert len(name.encode("utf-8")) <= 255
    assert not BAD & set(name)
    assert max(map(ord, name)) <= 0xFFFF
    assert name == name.strip(" .")
    assert name == unicodedata.normalize("NFC", name)
    assert clean_name(name) == name


@given(st.text(max_size=100))
def test_ascii_names_are_ascii(untrusted: str) -> None:
    assert ascii_name(clean_name(untrusted)).isascii()


def test_ascii_names_keep_what_can_be_read() -> None:
    assert ascii_name("Angebot Müller & Söhne.pdf") == "Angebot Muller & Sohne.pdf"


@given(st.lists(st.sampled_from(["a.pdf", "A.PDF", "a (2).pdf", "b", "B", "x" * 120, "x" * 116 + ".pdf"]), max_size=12))
def test_names_become_unique_and_keep_their_order(names: list[str]) -> None:
    result = make_unique(names)
    assert len({name.casefold() for name in result}) == len(names)
    for before, after in zip(names, result, strict=True):
        assert len(after) <= MAX_NAME
        assert after.rpartition(".")[2] == before.rpartition(".")[2] or "." not in before


def test_long_names_keep_their_suffix() -> None:
    assert clean_name("x" * 300 + ".pdf") == "x" * (MAX_NAME - 4) + ".pdf"
    assert clean_name("漢" * 200 + ".docx").endswith(".docx")
