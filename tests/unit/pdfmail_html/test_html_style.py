"""Style attributes: what stays, what goes, and that nothing else can come out."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.html.style import READERS, filter_style


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("color:red", "color:red"),
        ("COLOR : #F00 ; ", "color:#ff0000"),
        ("color:rgb(255, 0, 0)", "color:#ff0000"),
        ("border:solid windowtext 1.0pt", "border:solid #000000 1.33333px"),
        ("background:#fff url(http://a.example/x.png) no-repeat", "background-color:#ffffff"),
        ("background:url('data:image/png;base64,AAAA') #123456", ""),
        ("background:linear-gradient(red,blue)", ""),
        (
            "font:bold 12pt/1.5 Arial, sans-serif",
            "font-weight:bold;font-size:16px;line-height:1.5;font-family:'Arial', sans-serif",
        ),
        ('font:7.0pt "Times New Roman"', "font-size:9.33333px;font-family:'Times New Roman'"),
        ("font-family:'Noto Color Emoji', Arial", "font-family:'Arial'"),
        ("width:99999px", "width:642px"),
        ("width:150.9pt", "width:201.2px"),
        ("height:1e9px", ""),
        ("margin:-99999px 0 0 4px", "margin:0px 0px 0px 4px"),
        ("font-size:1000000pt", "font-size:72px"),
        ("line-height:0", "line-height:0.9"),
        ("white-space:nowrap", ""),
        ("white-space:pre", "white-space:pre-wrap"),
        ("text-decoration:underline !important", "text-decoration:underline"),
        ("color:red;color:blue", "color:blue"),
        ("mso-hide:all", "display:none"),
        ("color:transparent", ""),
    ],
)
def test_a_declaration_gets_its_normal_form(style: str, expected: str) -> None:
    assert filter_style(style) == expected


@pytest.mark.parametrize(
    "style",
    [
        "position:fixed;top:0",
        "float:left",
        "display:flex",
        "display:grid;grid-template-columns:repeat(100000,1px)",
        "columns:9",
        "content:url(http://a.example/)",
        "background-image:url(http://a.example/)",
        "list-style-image:url(http://a.example/)",
        "background:u\\72l(http://a.example/)",
        "background:\\75\\72\\6c(http://a.example/)",
        "background:/*x*/url/**/(http://a.example/)",
        "width:calc(100% - 1px)",
        "width:expression(alert(1))",
        "color:var(--x)",
        "behavior:url(#default#VML)",
        "-moz-binding:url(http://a.example/)",
        "page-break-after:always",
        "counter-increment:a",
        "transform:scale(100)",
        "opacity:0",
        "z-index:9",
        "unicode-bidi:bidi-override",
        "@import url(http://a.example/)",
        "color:red}p{background:url(http://a.example/)",
        "font-family:'x\\'",
        "attachment:url(x)",
    ],
)
def test_a_dangerous_declaration_goes(style: str) -> None:
    assert filter_style(style) == ""


_PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *READERS,
                "background",
                "font",
                ":",
                ";",
                "url(",
                ")",
                "\\",
                "/*",
                "*/",
                "'",
                '"',
                "#fff",
                "1px",
                "1e9px",
                "-5em",
            ]
        ),
        st.sampled_from(["!important", "@import", "{", "}", "calc(", "red", "expression(", "\x00", "\n", ",", "50%"]),
        st.text(max_size=8),
    ),
    max_size=40,
).map(" ".join)

_SAFE = re.compile(r"(?:[a-z-]+:[^;:{}@\\<>]*)?(?:;[a-z-]+:[^;:{}@\\<>]*)*")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(_PIECES, st.text()))
def test_only_known_properties_with_plain_values_come_out(style: str) -> None:
    filtered = filter_style(style)
    assert _SAFE.fullmatch(filtered), filtered
    for part in filtered.split(";") if filtered else []:
        name, _, value = part.partition(":")
        assert name in READERS or name == "background-color"
        assert not re.search(r"url|expression|calc|image|var\(|/\*", value.lower())
    assert filter_style(filtered) == filtered
