"""Who may call with an unsafe method, how tries are counted, what a header of the network means."""

from __future__ import annotations

import base64
import hashlib

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from portal.link.peer import check_digest
from portal.security.errors import ApiError, install_errors, make_reference
from portal.security.headers import CONTENT_POLICY
from portal.security.requests import describe_browser, find_network, install_checks, read_query_number
from portal.store.throttle import Counter, seconds_to_wait
from relay.log import Log

URL = "https://portal.bank.example"


@pytest.fixture
def app() -> Flask:
    made = Flask("test")
    install_errors(made, Log("test"))
    install_checks(made, {URL})

    @made.route("/do", methods=["GET", "POST", "PUT", "DELETE"])
    def do() -> str:
        return "done"

    @made.get("/fault")
    def fault() -> str:
        raise RuntimeError("secret words")

    return made


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X-Letterlock": "1"}, 200),
        ({"X-Letterlock": "1", "Origin": URL}, 200),
        ({"X-Letterlock": "1", "Origin": "https://evil.example"}, 403),
        ({"X-Letterlock": "1", "Origin": "null"}, 403),
        ({"X-Letterlock": "1", "Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ({"X-Letterlock": "1", "Sec-Fetch-Site": "same-site", "Origin": URL}, 403),
        ({"X-Letterlock": "1", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-Letterlock": "1", "Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": URL}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_unsafe_methods_come_from_our_own_pages(app: Flask, method: str, headers: dict[str, str], status: int) -> None:
    assert app.test_client().open("/do", method=method, headers=headers).status_code == status


def test_reading_needs_no_header(app: Flask) -> None:
    assert app.test_client().get("/do", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_fault_says_nothing_but_its_reference(app: Flask) -> None:
    answer = app.test_client().get("/fault")
    assert answer.status_code == 500
    assert set(answer.get_json()) == {"error", "reference"}
    assert b"secret" not in answer.data


def test_a_reference_is_of_one_shape() -> None:
    for _ in range(50):
        letters, _, digits = make_reference().partition("-")
        assert (len(letters), len(digits)) == (4, 4)
        assert letters.isupper()
        assert digits.isdigit()


def test_no_script_or_style_is_allowed_inline() -> None:
    assert "unsafe-inline" not in CONTENT_POLICY
    assert "'unsafe-eval'" not in CONTENT_POLICY.replace("'wasm-unsafe-eval'", "")
    for part in (
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert part in CONTENT_POLICY


@pytest.mark.parametrize(
    ("remote", "forwarded", "is_behind_proxy", "expected"),
    [
        ("192.0.2.1", None, False, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", False, "192.0.2.1"),
        ("127.0.0.1", "1.2.3.4, 198.51.100.7", True, "198.51.100.7"),
        ("127.0.0.1", "2001:db8:1:2:3::4", True, "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", None, False, "192.0.2.1"),
        ("127.0.0.1", "nonsense", True, "unknown"),
        ("127.0.0.1", None, True, "127.0.0.1"),
    ],
)
def test_tries_are_counted_by_network(
    app: Flask, remote: str, forwarded: str | None, is_behind_proxy: bool, expected: str
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    with app.test_request_context(headers=headers, environ_overrides={"REMOTE_ADDR": remote}):
        assert find_network(is_behind_proxy=is_behind_proxy) == expected


@given(st.text(max_size=60))
def test_no_forwarded_header_breaks_the_count(text: str) -> None:
    with Flask("test").test_request_context(environ_overrides={"HTTP_X_FORWARDED_FOR": text}):
        assert len(find_network(is_behind_proxy=True)) <= 45


@given(st.binary(max_size=64), st.text(max_size=80))
def test_only_the_right_digest_passes(body: bytes, text: str) -> None:
    good = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    with Flask("test").test_request_context(environ_overrides={"HTTP_CONTENT_DIGEST": good}):
        assert check_digest(body) == hashlib.sha256(body).digest()
    with Flask("test").test_request_context(environ_overrides={"HTTP_CONTENT_DIGEST": text}):
        with pytest.raises(ApiError):
            check_digest(body)


@pytest.mark.parametrize("text", ["-1", "1.5", "abc", "", "9" * 17, "²"])
def test_a_number_of_a_query_is_a_number(app: Flask, text: str) -> None:
    with app.test_request_context(query_string={"limit": text}), pytest.raises(ApiError):
        read_query_number("limit", 50, 1, 200)


def test_a_number_is_held_within_its_limits(app: Flask) -> None:
    with app.test_request_context("/?limit=100000"):
        assert read_query_number("limit", 50, 1, 200) == 200
    with app.test_request_context("/"):
        assert read_query_number("limit", 50, 1, 200) == 50


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36", "Chrome, Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", "Firefox, Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari, iPhone"),
        ("<script>", ""),
    ],
)
def test_a_browser_is_told_in_known_words(app: Flask, agent: str, words: str) -> None:
    with app.test_request_context(headers={"User-Agent": agent}):
        assert describe_browser() == words


def test_the_longest_wait_counts() -> None:
    counters = [Counter("a", 5, 0, 0, 1_500), Counter("b", 5, 0, 0, 0)]
    assert seconds_to_wait(counters, 1_000) == 1
    assert seconds_to_wait(counters, 1_500) == 0
    assert seconds_to_wait([], 0) == 0
