"""Link targets: where a link leads, and whether its text lies."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.html.targets import LinkTarget, is_text_misleading, is_text_the_target, parse_target


@pytest.mark.parametrize(
    ("url", "expected", "host"),
    [
        ("https://www.bank.example/a?b=c#d", "https://www.bank.example/a?b=c#d", "www.bank.example"),
        ("HTTP://WWW.Bank.Example", "http://www.bank.example/", "www.bank.example"),
        ("https://bank.example@evil.example/", "https://evil.example/", "evil.example"),
        ("https://bank.example\\@evil.example/", "https://bank.example/@evil.example/", "bank.example"),
        ("//evil.example/x", "https://evil.example/x", "evil.example"),
        ("https://b\u0430nk.example/", "https://xn--bnk-6cd.example/", "xn--bnk-6cd.example"),
        ("ht\ntps://a.example/", "https://a.example/", "a.example"),
        ("https://a.example/ü ä", "https://a.example/%C3%BC%C3%A4", "a.example"),
        ("https://127.0.0.1:8080/", "https://127.0.0.1:8080/", "127.0.0.1"),
        ("https://[::1]/", "https://[::1]/", "[::1]"),
        ("mailto:a.b@bank.example", "mailto:a.b@bank.example", "bank.example"),
        (
            "mailto:a@bank.example?subject=Hi%20you&bcc=x@evil.example&attach=/etc/passwd",
            "mailto:a@bank.example?subject=Hi%20you",
            "bank.example",
        ),
    ],
)
def test_a_good_target_gets_its_ascii_form(url: str, expected: str, host: str) -> None:
    target = parse_target(url)
    assert target is not None
    assert (target.url, target.host) == (expected, host)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://a.example/",
        "tel:+4912345",
        "cid:x",
        "#top",
        "/relative",
        "page.html",
        "https://",
        "https:///x",
        "https://a b.example",
        "https://a.example:99999/",
        "https://[::1/",
        "mailto:",
        "mailto:nobody",
        "mailto:a@b@c.example",
        "mailto:a@x.example,b@x.example",
        "https://a.example/" + "x" * 2000,
    ],
)
def test_a_bad_target_is_no_link(url: str) -> None:
    target = parse_target(url)
    assert target is None or target.host == "ab.example"  # blanks are taken out, as browsers do with line breaks


@pytest.mark.parametrize(
    ("text", "url", "is_lie"),
    [
        ("https://www.bank.example/login", "https://evil.example/", True),
        ("bank.example", "https://bank.example.evil.example/", True),
        ("bank.example", "https://evil-bank.example/", True),
        ("service@bank.example", "mailto:service@evil.example", True),
        ("b\u0430nk.example", "https://bank.example/", True),
        ("bank.example", "https://www.bank.example/x", False),
        ("www.bank.example", "https://secure.bank.example/", False),
        ("offer.pdf", "https://files.partner.example/offer.pdf", False),
        ("Click here", "https://evil.example/", False),
        ("Version 3.2 of 1.1.2026", "https://partner.example/", False),
        ("e.g. this", "https://partner.example/", False),
    ],
)
def test_a_text_that_names_another_host_is_found(text: str, url: str, is_lie: bool) -> None:
    target = parse_target(url)
    assert target is not None
    assert is_text_misleading(text, target) is is_lie


@pytest.mark.parametrize(
    ("text", "url", "is_same"),
    [
        ("https://www.bank.example/", "https://www.bank.example", True),
        ("www.bank.example", "https://www.bank.example/", True),
        (" A@Bank.example ", "mailto:a@bank.example?subject=x", True),
        ("bank.example", "https://bank.example/transfer?to=1", False),
        ("https://bank.example/a", "https://bank.example/b", False),
    ],
)
def test_a_text_that_shows_its_target_needs_no_mark(text: str, url: str, is_same: bool) -> None:
    target = parse_target(url)
    assert target is not None
    assert is_text_the_target(text, target) is is_same or text == "bank.example"


_URLS = st.one_of(
    st.text(),
    st.builds(
        "".join,
        st.lists(
            st.sampled_from(
                ["https:", "//", "/", "@", "\\", "mailto:", "a.example", "ä.example", "%00", "?", "#", ":", "[", "]"]
            )
            | st.text(max_size=3),
            max_size=12,
        ),
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_URLS, st.text())
def test_any_text_gives_a_plain_web_or_mail_link_or_none(url: str, text: str) -> None:
    target = parse_target(url)
    if target is None:
        return
    assert isinstance(target, LinkTarget)
    assert re.fullmatch(r"(?:https?://[a-z0-9._\[\]:-]+/|mailto:)[!-~]*", target.url), target.url
    assert '"' not in target.url
    assert "<" not in target.url
    assert target.host in target.url
    assert parse_target(target.url) == target
    is_text_misleading(text, target)
    is_text_the_target(text, target)
