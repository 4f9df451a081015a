"""Texts, dates, sizes in both languages; what a missing font says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfmail.errors import FontMissingError
from pdfmail.fonts import find_font, load_fonts
from pdfmail.model import BrandTexts
from pdfmail.template import TemplateCache
from pdfmail.textflow import clean_language
from pdfmail.wording import Wording, choose_wording, format_date, format_size, name_type
from tests.data.pdfmail.samples import make_brand

ENGLISH = choose_wording(make_brand(), "en")
GERMAN = choose_wording(make_brand(), "de")
FILLED_LATER = {"{host}", "{url}", "{page}", "{pages}", "{count}"}


@pytest.mark.parametrize("wording", [ENGLISH, GERMAN])
def test_every_text_is_there_filled_and_drawable(wording: Wording, templates: TemplateCache) -> None:
    fonts = templates.get(make_brand(), "en").fonts
    for name in Wording.__slots__:
        value = getattr(wording, name)
        for text in value if isinstance(value, tuple) else (value,):
            assert text or name == "footer", name
            assert set(re.findall(r"\{\w*\}", text)) <= FILLED_LATER, name
            assert fonts.draws(text), name
    assert len(wording.months) == 12


def test_the_languages_say_different_things() -> None:
    same = {name for name in Wording.__slots__ if getattr(ENGLISH, name) == getattr(GERMAN, name)}
    assert same == {"footer", "column_name"}


@pytest.mark.parametrize(
    ("language", "expected"), [("de", "de"), ("de-CH", "de"), ("DE", "de"), ("en", "en"), ("fr", "en")]
)
def test_the_language_is_chosen(language: str, expected: str) -> None:
    assert choose_wording(make_brand(), language).language == expected


def test_a_brand_replaces_texts_and_its_braces_stay_braces() -> None:
    texts = {"de": BrandTexts(cover_title="Post von {organisation} {x}", last_title="Ende", footer="Fuß")}
    brand = make_brand(organisation="A {page} & <B>", texts=texts)
    own = choose_wording(brand, "de")
    assert own.cover_title == "Post von A {page} & <B> {x}"
    assert (own.last_title, own.last_title_plain, own.footer) == ("Ende", "Ende", "Fuß")
    assert own.cover_text == choose_wording(make_brand(organisation="A {page} & <B>"), "de").cover_text
    assert choose_wording(brand, "en").cover_title == ENGLISH.cover_title


def test_dates() -> None:
    moment = datetime(2026, 3, 5, 9, 5, tzinfo=timezone(timedelta(hours=1)))
    assert format_date(ENGLISH, moment) == "5 March 2026, 09:05 (UTC+01:00)"
    assert format_date(GERMAN, moment) == "5. März 2026, 09:05 (UTC+01:00)"
    west = moment.astimezone(timezone(timedelta(hours=-3, minutes=-30)))
    assert format_date(ENGLISH, west) == "5 March 2026, 04:35 (UTC\u221203:30)"
    assert format_date(ENGLISH, moment.astimezone(UTC)) == "5 March 2026, 08:05 (UTC)"


@pytest.mark.parametrize(
    ("octets", "english", "german"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1000, "1 kB", "1 kB"),
        (999_499, "999 kB", "999 kB"),
        (999_600, "1.0 MB", "1,0 MB"),
        (1_440_000, "1.4 MB", "1,4 MB"),
        (120_000_000, "120 MB", "120 MB"),
        (2_500_000_000, "2.5 GB", "2,5 GB"),
    ],
)
def test_sizes(octets: int, english: str, german: str) -> None:
    assert format_size(ENGLISH, octets) == english
    assert format_size(GERMAN, octets) == german


@given(st.integers(0, 10**13))
def test_sizes_are_short(octets: int) -> None:
    assert re.fullmatch(r"[0-9]+(\.[0-9])? (B|kB|MB|GB)", format_size(ENGLISH, octets))


@pytest.mark.parametrize(
    ("name", "media_type", "expected"),
    [
        ("a.PDF", "application/octet-stream", "PDF document"),
        ("a", "application/pdf", "PDF document"),
        ("a.unknown", "image/x-new", "Picture"),
        ("a.docx", "application/zip", "Text document"),
        ("a", "x/y", "File"),
        ("", "", "File"),
    ],
)
def test_kinds(name: str, media_type: str, expected: str) -> None:
    assert name_type(ENGLISH, name, media_type) == expected


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("de", "de"),
        ("zh-Hant-TW", "zh-Hant-TW"),
        ("de, en", "de"),
        ("", None),
        (None, None),
        ("x" * 20, None),
        ("d<e", None),
    ],
)
def test_language_tags(value: str | None, tag: str | None) -> None:
    assert clean_language(value) == tag


def test_a_missing_font_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(FontMissingError, match=r"NotoSans-Regular.ttf is missing: apt-get install fonts-noto-core"):
        load_fonts([str(tmp_path)])
    with pytest.raises(FontMissingError, match="fonts-dejavu-core"):
        find_font("DejaVuSans.ttf", "fonts-dejavu-core", [str(tmp_path)])
