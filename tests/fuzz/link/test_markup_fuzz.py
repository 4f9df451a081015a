"""Strict reading of the portal's pages against a parser that reads as browsers do: what runs there is found here."""

from __future__ import annotations

import pytest
import tinyhtml5
from hypothesis import given
from hypothesis import strategies as st

from relay.link.markup import MarkupError, read_tags

SCRIPT = '<script src="/evil.js" integrity="sha256-y"></script>'
PIECES = [
    *(
        "<",
        ">",
        "/",
        "!",
        "-",
        "--",
        "=",
        '"',
        "'",
        " ",
        "\n",
        "\x0b",
        "\0",
        "a",
        "x",
        "&#x3c;",
        "&lt",
        "&quot;",
        "]]>",
    ),
    *("<!--", "-->", "--!>", "<!-->", "<!--->", "<![CDATA[", "<?", "</", "<![<", "<!doctype html>", "<a title=", "<p>"),
    *("<title>", "</title>", "<textarea>", "</textarea>", "<style>", "</style>", "<noscript>", "</noscript>", "<xmp>"),
    *(
        "<svg>",
        "</svg>",
        "<math>",
        "<template>",
        "</template>",
        "<script",
        "<script>",
        "</script>",
        "<script/>",
        "</p ",
    ),
    *(
        '<p title="x">',
        "text",
        '<script type="application/json">',
        "<iframe>",
        "<plaintext>",
        "<select>",
        "<table>",
        "<tr>",
        "é",
        SCRIPT,
        SCRIPT,
    ),
]

READABLE = [one for one in PIECES if one[0] != "<" or (one[-1] == ">" and one[1] not in "!?")]
"""A page of these is read more often than refused."""


def seen_by_browsers(page: str) -> list[str]:
    """Return the addresses of all scripts in the tree that the standard's algorithm makes of a page."""
    tree = tinyhtml5.parse(page)
    found = [one for one in tree.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == "script"]
    return [one.get("src") or "" for one in found]


@given(st.lists(st.sampled_from(READABLE), max_size=12) | st.lists(st.sampled_from(PIECES), max_size=6))
def test_each_script_that_a_browser_finds_is_found(pieces: list[str]) -> None:
    page = "<!doctype html>" + "".join(pieces)
    try:
        ours = [tag.attributes.get("src", "") for tag in read_tags(page.encode()) if tag.name == "script"]
    except MarkupError:
        return
    for address in seen_by_browsers(page):
        assert address in ours


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    for page in (octets, b"<!doctype html><p>" + octets):
        try:
            for tag in read_tags(page):
                assert tag.name.islower()
        except MarkupError:
            continue


@pytest.mark.parametrize(
    "hidden",
    [
        f"<!-->{SCRIPT}-->",
        f"<!--->{SCRIPT}-->",
        f"<!-- a --!>{SCRIPT} -->",
        f"<svg><style>{SCRIPT}</style></svg>",
        f'<title><a title="</title>{SCRIPT}">',
        f'<script type="application/json"/><a title="</script>{SCRIPT}">',
    ],
)
def test_what_hides_a_script_from_other_parsers_hides_none_here(hidden: str) -> None:
    page = f"<!doctype html>{hidden}"
    assert "/evil.js" in seen_by_browsers(page)
    try:
        tags = list(read_tags(page.encode()))
    except MarkupError:
        return
    assert "/evil.js" in [tag.attributes.get("src") for tag in tags]
