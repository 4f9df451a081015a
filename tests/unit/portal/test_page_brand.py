"""Brands: colours that can be read or are refused, files that fit, and the tokens of the style sheet."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.pages.brand import parse_sections, read_brand
from portal.pages.palette import DARK, LEAST_CONTRAST, LIGHT, compute_contrast, make_accent
from relay.core.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
SHEET = ROOT / "static/portal/portal.css"
TABLE = {"name": "Example Bank", "host": "mail.bank.example", "phone": "+49 241 123 456"}
colours = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")


def read_tokens() -> tuple[dict[str, str], dict[str, str]]:
    light, dark = re.findall(r":root \{([^}]*)\}", SHEET.read_text("utf-8"))[:2]

    def pairs(block: str) -> dict[str, str]:
        found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", block))
        return {
            name: f"#{''.join(c * 2 for c in value[1:])}" if len(value) == 4 else value for name, value in found.items()
        }

    return pairs(light), pairs(dark)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_tokens_can_be_read(scheme: int) -> None:
    tokens = read_tokens()[scheme]
    grounds = [tokens["page"], tokens["surface"]]
    for name in ("text", "quiet", "accent", "ok", "warn", "error"):
        assert all(compute_contrast(tokens[name], ground) >= 4.5 for ground in grounds), name
    for text, ground in (
        ("on-accent", "accent"),
        ("tint-text", "tint"),
        ("text", "tint"),
        ("quiet", "tint"),
        ("ok", "ok-tint"),
        ("warn", "warn-tint"),
        ("error", "error-tint"),
        *(("text", f"{kind}-tint") for kind in ("ok", "warn", "error")),
    ):
        assert compute_contrast(tokens[text], tokens[ground]) >= 4.5, (
            text,
            ground,
        )
    # WCAG 2.2 1.4.11: what shows a control or its focus.
    for name in ("control", "focus"):
        assert all(compute_contrast(tokens[name], ground) >= 3 for ground in grounds), name


def test_the_palette_knows_the_sheets_grounds() -> None:
    light, dark = read_tokens()
    for ground, tokens in ((LIGHT, light), (DARK, dark)):
        assert (ground.page, ground.surface, ground.text) == (tokens["page"], tokens["surface"], tokens["text"])


def test_the_sheet_is_small_and_loads_nothing() -> None:
    text = SHEET.read_text("utf-8")
    assert len(gzip.compress(text.encode(), 9)) <= 12 * 1024
    assert "url(" not in text
    assert "@import" not in text
    for feature in ("prefers-color-scheme: dark", "prefers-reduced-motion", "forced-colors"):
        assert feature in text
    tokens_end = text.index("/* Ground */")
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", text[tokens_end:]) == []


@given(colours, st.sampled_from([LIGHT, DARK]))
def test_an_accent_is_refused_or_can_be_read(colour: str, ground: object) -> None:
    assert ground in (LIGHT, DARK)
    place = LIGHT if ground == LIGHT else DARK
    least = min(compute_contrast(colour, place.page), compute_contrast(colour, place.surface))
    if least < LEAST_CONTRAST:
        with pytest.raises(ConfigurationError, match="contrast"):
            make_accent("brand.accent", colour, place)
        return
    made = make_accent("brand.accent", colour, place)
    assert compute_contrast(made.on_accent, made.accent) >= LEAST_CONTRAST
    assert compute_contrast(made.tint_text, made.tint) >= LEAST_CONTRAST
    assert compute_contrast(place.text, made.tint) >= LEAST_CONTRAST


def test_contrast_is_that_of_wcag() -> None:
    assert compute_contrast("#000000", "#ffffff") == pytest.approx(21)
    assert compute_contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"name": ""}, "brand.name"),
        ({"name": 7}, "brand.name"),
        ({"host": "https://mail.bank.example"}, "brand.host"),
        ({"phone": "call us"}, "brand.phone"),
        ({"accent": "petrol"}, "brand.accent"),
        ({"accent": "#ffe000"}, "brand.accent"),
        ({"accent_dark": "#00112a"}, "brand.accent_dark"),
        ({"languages": ["fr"]}, "brand.languages"),
        ({"languages": "de"}, "brand.languages"),
        ({"languages": []}, "brand.languages"),
        ({"logo": "logo.exe"}, "brand.logo"),
        ({"logo": "missing.svg"}, "brand.logo"),
        ({"imprint": "missing.{lang}.txt"}, "brand.imprint"),
        ({"colour": "#000000"}, "brand.colour"),
    ],
)
def test_a_wrong_brand_is_refused_by_its_key(change: dict[str, object], key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_brand({**TABLE, **change}, tmp_path)
    assert caught.value.key == key
    assert caught.value.fix


def test_a_brand_is_read_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text("<svg/>")
    for language in ("de", "en"):
        (tmp_path / f"imprint.{language}.txt").write_text(
            f"# Imprint {language}\n\nExample Bank\nMain Street 1\n\nMore\n"
        )
    brand = read_brand({**TABLE, "logo": "logo.svg", "imprint": "imprint.{lang}.txt"}, tmp_path)
    assert brand.dial == "+49241123456"
    assert brand.phone == "+49\u00a0241\u00a0123\u00a0456"
    assert brand.logo is not None
    assert brand.logo.media_type == "image/svg+xml"
    assert brand.imprint["de"][0].heading == "Imprint de"
    assert brand.imprint["de"][0].paragraphs == ("Example Bank\nMain Street 1", "More")
    assert brand.sheet.count(b"--accent:") == 2


def test_a_logo_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(bytes(70 * 1024))
    with pytest.raises(ConfigurationError, match="64 kB"):
        read_brand({**TABLE, "logo": "logo.png"}, tmp_path)


@given(st.text(max_size=300))
def test_any_text_becomes_sections_that_keep_it(text: str) -> None:
    sections = parse_sections(text)
    kept = "".join(section.heading + "".join(section.paragraphs) for section in sections)
    assert re.sub(r"[\s#]", "", kept) == re.sub(r"[\s#]", "", text)
