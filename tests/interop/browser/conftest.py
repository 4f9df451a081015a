"""Browsers, Node, and a loopback site that serves the test page under the portal's own headers."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, send_from_directory
from werkzeug.serving import make_server

from portal.security.headers import install_headers
from tests.interop.browser.driver import NODE, ROOT, Browser, Page, open_browser

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data/sealed"

Ask = Callable[[str, Any], Any]
"""Runs one function of suite.mjs with JSON data."""


def run_node(script: str, *arguments: str, given: object = None) -> bytes:
    """Run one of our scripts in Node and return what it writes."""
    done = subprocess.run(
        [str(NODE), str(HERE / script), *arguments],
        input=json.dumps(given).encode(),
        capture_output=True,
        cwd=ROOT,
        # The bundler starts `node` by its name.
        env=os.environ | {"PATH": f"{NODE.parent}:{os.environ['PATH']}"},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout


def ask_node(name: str, data: object) -> Any:
    """Run one function of suite.mjs in Node."""
    return json.loads(run_node("run_in_node.mjs", given={"name": name, "data": data}))


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the test pages' scripts."""
    folder = tmp_path_factory.mktemp("scripts")
    run_node("build_page.mjs", str(folder))
    return folder


def write_page(folder: Path, name: str, portal: str = "") -> str:
    """Return a page with one of our scripts and its hash, as the policy demands."""
    digest = base64.b64encode(hashlib.sha384((folder / name).read_bytes()).digest()).decode()
    script = f'<script type="module" src="/static/{name}" integrity="sha384-{digest}" crossorigin></script>'
    head = '<!doctype html><html lang="en"><title>Test</title><link rel="icon" href="data:,">'
    return f'{head}<main data-portal="{portal}"></main>{script}</html>'


@pytest.fixture(scope="session")
def site(scripts: Path) -> Iterator[str]:
    """Serve the test page; return its address."""
    app = Flask("suite", static_folder=None)
    install_headers(app, with_hsts=False)

    @app.get("/")
    def show_page() -> str:
        return write_page(scripts, "page.js")

    @app.get("/static/<name>")
    def show_file(name: str) -> Response:
        return send_from_directory(scripts, name)

    @app.get("/data/<name>")
    def show_data(name: str) -> Response:
        return send_from_directory(DATA, name)

    @app.get("/favicon.ico")
    def show_nothing() -> Response:
        return Response(status=204)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Each test that asks for it runs in both browsers."""
    with open_browser(request.param) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a context of its own."""
    made = browser.new_page()
    yield made
    browser.close_context()


@pytest.fixture
def suite_page(page: Page, site: str) -> Iterator[Page]:
    """The test page, ready; afterwards nothing may stand in its console."""
    page.goto(site)
    page.wait_for_text("ready")
    yield page
    assert page.problems() == []


@pytest.fixture
def ask_browser(suite_page: Page) -> Ask:
    """Run one function of suite.mjs in the browser."""

    def ask(name: str, data: object) -> Any:
        return suite_page.evaluate("(name, data) => runSuiteWith(name, data)", name, data, timeout=100)

    return ask
