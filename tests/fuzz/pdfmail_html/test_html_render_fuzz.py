"""Random markup through the whole renderer: a page comes out, or a limit is named, but our own code never crashes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.errors import RenderCause, RenderError
from pdfmail.html import ConfinedRenderer
from pdfmail.html.sanitise import ATTRIBUTES, ELEMENTS
from pdfmail.html.style import READERS
from pdfmail.model import HtmlBody

_VALUES = st.sampled_from(
    [
        "0",
        "1",
        "-1",
        "7",
        "60",
        "100%",
        "0%",
        "50%",
        "1e3px",
        "3px",
        "2em",
        "auto",
        "none",
        "left",
        "right",
        "center",
        "top",
        "middle",
        "rtl",
        "ltr",
        "red",
        "#fff",
        "transparent",
        "solid",
        "1px solid red",
        "inline-block",
        "inline-table",
        "block",
        "table",
        "table-cell",
        "table-row",
        "list-item",
        "collapse",
        "hidden",
        "pre-wrap",
        "justify",
        "bold",
        "italic",
        "Arial",
        "square",
        "A",
        "https://a.example/",
        "mailto:a@b.example",
        "cid:x",
        "zh-TW",
        "inherit",
        "10 20 30",
        "-5px -5px",
    ]
)
_STYLES = st.lists(st.tuples(st.sampled_from(sorted(READERS)), _VALUES).map(":".join), max_size=5).map(";".join)
_NAMES = sorted({name for names in ATTRIBUTES.values() for name in names} - {"style"})
_OPEN = st.tuples(
    st.sampled_from(sorted(ELEMENTS)),
    st.lists(st.tuples(st.sampled_from(_NAMES), _VALUES).map(lambda pair: f' {pair[0]}="{pair[1]}"'), max_size=3).map(
        "".join
    ),
    _STYLES,
).map(lambda parts: f'<{parts[0]}{parts[1]} style="{parts[2]}">')
_SOUP = st.lists(
    st.one_of(
        _OPEN,
        _OPEN,
        st.sampled_from(sorted(ELEMENTS)).map(lambda name: f"</{name}>"),
        st.sampled_from(
            ["text ", "שלום ", "漢字", "สวัสดี", "😀", "\u200d", "\u0301", "&nbsp;", "\n", "a\u00adb", "\t", "\u2028"]
        ),
        st.text(max_size=6),
    ),
    max_size=60,
).map("".join)


@pytest.fixture(scope="module")
def renderer() -> Iterator[ConfinedRenderer]:
    with ConfinedRenderer() as renderer:
        yield renderer


def render(renderer: ConfinedRenderer, body: HtmlBody) -> None:
    try:
        assert renderer.render_body(body).pdf.startswith(b"%PDF-")
    except RenderError as error:
        if error.cause not in {RenderCause.PAGES, RenderCause.TIME}:
            raise


_SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=40, **_SETTINGS)
@given(markup=_SOUP)
def test_random_markup_is_drawn(renderer: ConfinedRenderer, markup: str) -> None:
    render(renderer, HtmlBody(html=markup))


@settings(max_examples=25, **_SETTINGS)
@given(text=st.text(st.characters(blacklist_categories=()), max_size=200))
def test_random_text_is_drawn(renderer: ConfinedRenderer, text: str) -> None:
    render(renderer, HtmlBody(text=text))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=5000, **_SETTINGS)
@given(markup=_SOUP)
def test_much_random_markup_is_drawn(renderer: ConfinedRenderer, markup: str) -> None:
    render(renderer, HtmlBody(html=markup))
