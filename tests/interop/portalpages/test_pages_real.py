"""The pages with the bundle that is shipped, in Chromium and Firefox: they come alive, or send nothing at all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, abort, request

from tests.interop.browser.driver import ROOT, Browser, Page, open_browser
from tests.interop.portalpages.page_server import make_app, serve
from tests.interop.portalpages.test_pages_look import FIRST_PASSWORD, FRAGMENT, LIVE, PDF_PASSWORD

DIST = ROOT / "static/portal/dist"


@pytest.fixture(scope="module")
def shipped() -> Path:
    """The folder of the bundle, made anew if a source is newer."""
    subprocess.run([str(ROOT / ".ci/bundle")], cwd=ROOT, check=True, timeout=120)
    return DIST


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def any_browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with open_browser(request.param) as browser:
        yield browser


@pytest.fixture
def any_page(any_browser: Browser) -> Iterator[Page]:
    yield any_browser.new_page(context="real")
    any_browser.close_context("real")


@pytest.mark.parametrize("path", ["/?lang=en", "/r/open?lang=en"])
def test_a_form_comes_alive_under_the_policies_in_force(any_page: Page, shipped: Path, path: str) -> None:
    with serve(make_app(shipped)) as address:
        any_page.goto(address + path)
        any_page.wait_for_selector(LIVE)
        assert any_page.count("#script-missing") == 0
        assert any_page.problems() == []


def test_registration_does_not_begin_while_the_portal_is_silent(any_page: Page, shipped: Path) -> None:
    with serve(make_app(shipped)) as address:
        any_page.goto(f"{address}/join/open?lang=en{FRAGMENT}")
        any_page.wait_for_selector("#problem .note")
        assert not any_page.is_visible(LIVE)


@pytest.mark.parametrize("path", ["/", "/r/open"])
def test_without_its_script_a_page_sends_nothing_and_says_what_to_do(any_page: Page, shipped: Path, path: str) -> None:
    app = make_app(shipped)
    block_scripts(app)
    with serve(app) as address:
        any_page.goto(f"{address}{path}?lang=en")
        any_page.wait_for_text("Part of it did not load.", "#script-missing")
        any_page.requests()
        assert not any_page.is_visible(LIVE)
        # A browser's tool, or a habit, fills the fields all the same.
        secret = FIRST_PASSWORD if path == "/" else PDF_PASSWORD
        any_page.evaluate(
            """(secret) => {
              document.querySelectorAll("fieldset").forEach((one) => { one.disabled = false; });
              document.querySelectorAll("form").forEach((one) => { one.noValidate = true; });
              const input = document.querySelector("#password");
              input.value = secret;
              input.form.requestSubmit();
              try { input.form.submit(); } catch { /* Firefox refuses aloud */ }
            }""",
            secret,
        )
        any_page.reload()
        assert [
            call for call in any_page.requests() if secret in call["url"] + call["body"] or call["method"] != "GET"
        ] == []
        assert any_page.url == f"{address}{path}?lang=en"


def test_what_is_typed_leaves_as_a_computed_value_only(any_page: Page, shipped: Path) -> None:
    app = make_app(shipped)
    app.add_url_rule("/api/login", view_func=answer_wrong, methods=["POST"])
    with serve(app) as address:
        any_page.goto(f"{address}/?lang=en")
        any_page.wait_for_selector(LIVE)
        any_page.requests()
        any_page.fill("#login-name", "anna@partner.example")
        any_page.fill("#password", FIRST_PASSWORD)
        any_page.click("#open")
        any_page.wait_for_text("is not right", "#problem", timeout=60)
        sent = any_page.requests()
        assert [call["url"].rpartition("/")[2] for call in sent if call["method"] == "POST"] == ["login"]
        whole = "".join(call["url"] + call["body"] for call in sent).lower()
        assert "anna" not in whole
        assert "k7qm" not in whole


def answer_wrong() -> Response:
    response = Response('{"error": "wrong", "reference": "ABCD-1234"}', mimetype="application/json")
    response.status_code = 401
    return response


def block_scripts(app: Flask) -> None:
    """Answer every script with 404, as a filter on the way may."""

    @app.before_request
    def refuse() -> None:
        if request.path.endswith(".js"):
            abort(404)
