"""The depth pre-scan: deep markup becomes flat, ordinary markup stays, no markup is slow."""

from __future__ import annotations

import re

import nh3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.html.depth import flatten_deep_markup


def test_ordinary_markup_comes_back_as_it_is() -> None:
    markup = "<table><tr><td><p>a<p>b<li>c<br></table>" * 500 + "<b>x</b>"
    assert flatten_deep_markup(markup) is markup


@pytest.mark.parametrize(
    "unit",
    ["<div>", "<div></span>", "<div><style></div></style>", "<div><!--</div>-->", "<DIV class='>'>", "<font size=1><p>",
     "<div title=\"</div>\">", "<table><tr><td></div>", "<div><table></div></table>"],
)  # fmt: skip
def test_deep_markup_becomes_flat_and_keeps_its_text(unit: str) -> None:
    flat = flatten_deep_markup((unit + "x") * 2000, limit=50)
    assert flat.count("x") >= 2000
    assert measure_depth(nh3.clean(flat, tags={"div", "span", "font", "p", "table", "tbody", "tr", "td"})) <= 250


def measure_depth(canonical: str) -> int:
    """Depth as a real HTML parser sees it: html5ever wrote this, with every tag closed."""
    deepest = depth = 0
    for slash in re.findall(r"<(/?)[a-z]", canonical):
        depth += -1 if slash else 1
        deepest = max(deepest, depth)
    return deepest


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", ["<", "<a ", "<a '", '<a "', "<!--", "<style", "<style>", "</", "<a '\"", '<div \'">"', '<a b="c" ']
)
def test_no_repeated_piece_is_slow(unit: str) -> None:
    assert flatten_deep_markup(unit * (400_000 // len(unit)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(["<div>", "</div>", "<b", ">", "'", '"', "<!--", "-->", "<p>", "t", "<style>", "</style>"])
    )
)
def test_text_is_never_lost(pieces: list[str]) -> None:
    markup = "".join(pieces)
    flat = flatten_deep_markup(markup, limit=3)
    assert len(flat) <= len(markup)
    if "<" not in markup:
        assert flat == markup
