"""Plain text as a tree, the fonts file, the style sheet."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.html.fonts import (
    GENERICS,
    METRIC_TWINS,
    PACKAGES,
    can_read_fonts,
    find_missing_packages,
    make_fonts_conf,
)
from pdfmail.html.page import MAX_LINES, STYLESHEET, build_text_tree, wrap_body
from pdfmail.html.text import BREAK, clean_text
from pdfmail.html.texts import ENGLISH
from pdfmail.html.tree import write_tree


def test_line_breaks_stay_and_addresses_can_be_clicked() -> None:
    root, is_cut = build_text_tree("Hello,\r\n\r\n  see https://bank.example/x.\r\n> quoted\r\nbye")
    assert not is_cut
    assert write_tree(root) == (
        '<div class="ll-text"><div>Hello,\n</div>'
        '<div>  see <a href="https://bank.example/x">https://bank.example/x</a>.</div>'
        '<div class="ll-quote">&gt; quoted</div><div>bye</div></div>'
    )


def test_each_line_has_its_own_direction_where_a_script_runs_from_the_right() -> None:
    root, _ = build_text_tree("שלום Bank\nhello שלום\n123")
    assert [(block.get("dir"), block.text) for block in root] == [
        ("rtl", "שלום Bank"),
        (None, "hello שלום"),
        (None, "123"),
    ]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(blacklist_categories=()), max_size=400))
def test_the_text_of_the_tree_is_the_text(text: str) -> None:
    root, _ = build_text_tree(text)
    expected = clean_text(text.replace("\r\n", "\n").replace("\r", "\n")).expandtabs(8)
    shown = "".join("".join(block.itertext()) for block in root).replace(BREAK, "")
    assert shown.replace("\n", "") == expected.replace(BREAK, "").replace("\n", "")
    for link in root.iter("a"):
        assert link.get("href", "").startswith(("https://", "http://", "mailto:"))


def test_a_text_that_is_too_long_is_cut_and_says_so() -> None:
    assert build_text_tree("x\n" * (MAX_LINES + 10))[1]
    root, is_cut = build_text_tree("word " * 200_000)
    assert is_cut
    document = wrap_body(root, "en", ENGLISH, is_shortened=is_cut)
    assert ENGLISH.shortened in "".join(document.itertext())
    assert document.get("lang") == "en"
    assert wrap_body(root, "zh-Hant-TW", ENGLISH, is_shortened=False).get("lang") == "zh-Hant-TW"
    assert wrap_body(root, "no language\0", ENGLISH, is_shortened=False).get("lang") == "en"


def test_the_fonts_file_is_well_formed_and_puts_no_emoji_before_text() -> None:
    conf = ElementTree.fromstring(make_fonts_conf("/nowhere"))
    preferred = {
        family.text
        for alias in conf.iter("alias")
        if (name := alias.find("family")) is not None and name.text != "emoji"
        for family in alias.iterfind("prefer/family")
    }
    assert preferred >= set(METRIC_TWINS.values()) | set(GENERICS["serif"])
    assert not any("Emoji" in (family or "") for family in preferred)
    assert any("10-scale-bitmap-fonts" in (include.text or "") for include in conf.iter("include"))


def test_the_style_sheet_fetches_nothing() -> None:
    assert "url(" not in STYLESHEET
    assert "@import" not in STYLESHEET


def test_missing_font_packages_are_named(tmp_path: Path) -> None:
    assert set(find_missing_packages([str(tmp_path)])) == set(PACKAGES)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "NotoSans-Regular.ttf").write_bytes(b"true")
    assert "fonts-noto-core" not in find_missing_packages([str(tmp_path)])
    assert can_read_fonts([str(tmp_path)])
    assert not can_read_fonts([str(tmp_path / "none")])
