"""HTML for a mailbox: what a browser may show, judged by Python's own parser; hostile mail of the corpus too."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfmail.html.sanitise import ELEMENTS
from pdfmail.model import InlineImage
from relay.mailbox.safe_html import find_picture_type, make_safe_html

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
CORPUS = sorted((Path(__file__).parents[2] / "data/html").glob("*.html"))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


def read(html: str) -> list[tuple[str, dict[str, str]]]:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.tags


def assert_harmless(html: str, pictures: int) -> None:
    for tag, attributes in read(html):
        assert tag in ELEMENTS
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"srcdoc", "action", "formaction", "background", "poster", "srcset", "id", "class"}
            if name == "src":
                assert value in {f"cid:p{n}" for n in range(pictures)}
            if name == "href":
                assert value.strip().lower().startswith(("http://", "https://", "mailto:"))
            if name == "style":
                assert "url" not in value.lower()
                assert "position" not in value.lower()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus_is_harmless(path: Path) -> None:
    safe = make_safe_html(path.read_text("utf-8", "replace"), [])
    assert_harmless(safe.html, len(safe.pictures))


@given(st.text(alphabet="<>/=\"' abcdehijlmnoprstuvxyz:&#;()!-", max_size=300))
def test_any_text_is_harmless(text: str) -> None:
    safe = make_safe_html(text, [InlineImage("a", "image/png", PNG)])
    assert_harmless(safe.html, len(safe.pictures))


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="https://tracker.example/a.png">',
        '<img src="//tracker.example/a.png">',
        '<img src="/api/logout">',
        '<img src="cid:unknown">',
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" java\tscript:alert(1)">x</a>',
        '<a href="cid:a">x</a>',
        '<a href="data:text/html,x">x</a>',
        '<a href="/r/token">x</a>',
        '<p style="background:url(https://tracker.example/)">x</p>',
        '<meta http-equiv="refresh" content="0;url=https://tracker.example/">',
        '<base href="https://tracker.example/"><link rel="stylesheet" href="https://tracker.example/">',
        '<form action="https://tracker.example/"><input name="x"><button>x</button></form>',
        '<svg><image href="https://tracker.example/"/></svg>',
        "<style>@import 'https://tracker.example/'; p{background:url(https://tracker.example/)}</style><p>x</p>",
    ],
)
def test_nothing_fetches_or_runs(markup: str) -> None:
    safe = make_safe_html(markup, [InlineImage("a", "image/png", PNG)])
    tags = read(safe.html)
    assert not any({"src", "href", "action"} & set(attributes) for _, attributes in tags), safe.html
    assert "tracker" not in safe.html


def test_pictures_of_the_mail_are_named_once_and_others_are_left_out() -> None:
    images = [
        InlineImage("Logo@X", "image/png", PNG),
        InlineImage("evil", "image/svg+xml", b"<svg onload=evil()>"),
        InlineImage("lie", "image/png", b"<html>"),
    ]
    markup = '<img src="cid:logo%40x"><img src="CID:logo@x"><img src="cid:evil"><img src="cid:lie">'
    safe = make_safe_html(markup + '<img src="data:image/gif;base64,R0lGODlhAQABAA==">', images)
    assert [(picture.name, picture.media_type) for picture in safe.pictures] == [
        ("p0", "image/png"),
        ("p1", "image/gif"),
    ]
    assert [attributes.get("src") for _, attributes in read(safe.html)] == ["cid:p0", "cid:p0", None, None, "cid:p1"]


def test_links_keep_their_address_and_open_without_a_trace() -> None:
    ((_, attributes),) = read(make_safe_html('<a href="https://partner.example/a?b=c&d">x</a>', []).html)
    assert attributes["href"] == "https://partner.example/a?b=c&d"
    assert set(attributes["rel"].split()) == {"noopener", "noreferrer", "nofollow"}


def test_style_sheets_become_styles_of_the_elements() -> None:
    safe = make_safe_html("<style>p{color:#123456}</style><p>x</p>", [])
    assert "color:#123456" in safe.html.replace(" ", "")


def test_html_that_is_too_long_is_known_as_cut() -> None:
    assert make_safe_html("<p>x</p>", []).is_whole
    assert not make_safe_html("x" * 1_000_001, []).is_whole


@pytest.mark.parametrize("content", [b"", b"<svg>", b"%PDF-1.7", b"RIFF    WAVE"])
def test_what_is_no_raster_picture(content: bytes) -> None:
    assert find_picture_type(content) is None
