"""One Chromium, one server of pages and one bundle with the fake engine, for all tests here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.browser.driver import NODE, ROOT, Browser, Page, open_browser
from tests.interop.portalpages.page_server import make_app, serve


@pytest.fixture(scope="session")
def pages_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the pages, whose scripts run on fake_engine.js."""
    folder: Path = tmp_path_factory.mktemp("pages-bundle")
    command = [str(NODE), str(Path(__file__).with_name("build.mjs")), str(folder)]
    # The bundler starts `node` by its name.
    environment = os.environ | {"PATH": f"{NODE.parent}:{os.environ['PATH']}"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    with serve(make_app(folder)) as address:
        yield address


@pytest.fixture(scope="session")
def pages_browser() -> Iterator[Browser]:
    """Chromium."""
    with open_browser("chromium") as browser:
        yield browser


@pytest.fixture
def page(pages_browser: Browser) -> Iterator[Page]:
    """A page in a context of its own, 1280 pixels wide."""
    opened = pages_browser.new_page(context="pages")
    opened.set_viewport(1280, 860)
    yield opened
    pages_browser.close_context("pages")
