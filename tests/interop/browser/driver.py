"""A real browser under a test's command: Chromium or Firefox ESR, headless, through driver.mjs and puppeteer-core.

    with open_browser("chromium") as browser:
        page = browser.new_page()
        page.goto(url)
        page.type("#login-name", "anna@partner.example")
        page.click("button")
        page.wait_for_text("Inbox")
        assert page.problems() == []

Nothing here decides by waiting a fixed time: every wait polls until its condition holds or `timeout` (seconds) is over.
Content-Security-Policy and Trusted Types stay in force.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

ROOT = Path(__file__).parents[3]
NODE = ROOT / ".venv/bin/node"
PROGRAMS = {"chromium": ("chromium", "chromium-browser"), "firefox": ("firefox-esr", "firefox")}
WCAG_22_AA = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
WAIT = 20.0
"""Seconds a wait lasts at most; a quarter of a core is enough for that."""
LAUNCH = 60.0


class BrowserError(AssertionError):
    """What was asked of the browser did not come true."""


def find_program(name: str) -> str:
    """Return the program of a browser. Raises BrowserError that says what to install."""
    for program in PROGRAMS[name]:
        found = shutil.which(program)
        if found:
            return found
    raise BrowserError(f"{PROGRAMS[name][0]} is missing: run `make setup` for tests (.ci/setup test)")


class Browser:
    """One browser process. Contexts share nothing with one another, like private windows."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self._next = 0
        self._answers: Queue[dict[str, Any] | None] = Queue()
        with (folder / "driver.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(NODE), str(Path(__file__).with_name("driver.mjs"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "HOME": str(folder), "MOZ_HEADLESS": "1"},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.version: str = self.ask(
            "launch",
            LAUNCH,
            browser=name,
            executable=find_program(name),
            profile=str(folder / "profile"),
            downloads=str(self.downloads),
        )

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def ask(self, method: str, seconds: float = WAIT, **arguments: Any) -> Any:
        """Call one method of driver.mjs. Raises BrowserError."""
        assert self._process.stdin is not None
        self._next += 1
        message = {"id": self._next, "method": method, "args": {"timeout": int(seconds * 1000), **arguments}}
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()
        while True:
            try:
                answer = self._answers.get(timeout=seconds + 30)
            except Empty:
                raise BrowserError(f"{method}: no answer from the browser's driver") from None
            if answer is None:
                raise BrowserError(f"{method}: the browser's driver has ended")
            if answer["id"] != self._next:
                continue  # of a call that was given up
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error']}")
            return answer["result"]

    def new_page(self, name: str = "main", *, context: str = "main", language: str | None = None) -> Page:
        """Open a page; pages of one context share cookies."""
        self.ask("newPage", page=name, context=context, language=language)
        return Page(self, name)

    def close_context(self, context: str = "main") -> None:
        """Close a context with its pages and cookies."""
        self.ask("closeContext", context=context)

    def close(self) -> None:
        """End the browser and the driver."""
        assert self._process.stdin is not None
        try:
            self.ask("close", 15)
            self._process.stdin.close()
            self._process.wait(15)
        except (BrowserError, OSError, subprocess.TimeoutExpired):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(15)
        self._reader.join(15)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Page:
    """One page. Selectors are CSS; `timeout` is in seconds."""

    def __init__(self, browser: Browser, name: str) -> None:
        self.browser = browser
        self.name = name

    def _ask(self, method: str, timeout: float = WAIT, **arguments: Any) -> Any:
        return self.browser.ask(method, timeout, page=self.name, **arguments)

    def goto(self, url: str, timeout: float = 30) -> int:
        """Open an address; return the status."""
        return int(self._ask("goto", timeout, url=url))

    def reload(self) -> None:
        """Load the page again."""
        self._ask("reload", 30)

    def back(self) -> None:
        """Go back in the history."""
        self._ask("back", 30)

    @property
    def url(self) -> str:
        """The present address, with fragment."""
        return str(self._ask("url"))

    @property
    def title(self) -> str:
        """The document's title."""
        return str(self._ask("title"))

    @property
    def html(self) -> str:
        """The document as it stands now."""
        return str(self._ask("html"))

    def click(self, selector: str, timeout: float = WAIT) -> None:
        """Wait until it is shown, then click it with the mouse."""
        self._ask("click", timeout, selector=selector)

    def click_text(
        self, text: str, selector: str = "button, a, summary, label, [role=button]", timeout: float = WAIT
    ) -> None:
        """Click what shows exactly this text, or has it as its label."""
        self._ask("clickText", timeout, text=text, selector=selector)

    def type(self, selector: str, text: str, timeout: float = WAIT) -> None:
        """Replace what stands in a field, by keys."""
        self._ask("type", timeout, selector=selector, text=text)

    def fill(self, selector: str, text: str, timeout: float = WAIT) -> None:
        """Replace what stands in a field at once, with its events; for long or odd texts."""
        self._ask("fill", timeout, selector=selector, text=text)

    def press(self, key: str) -> None:
        """Press a key by its name: Enter, Tab, Escape, j."""
        self._ask("press", key=key)

    def upload(self, selector: str, *files: Path) -> None:
        """Choose files in a file field, which may be hidden."""
        self._ask("upload", selector=selector, files=[str(file) for file in files])

    def select(self, selector: str, value: str) -> None:
        """Choose in a select."""
        self._ask("select", selector=selector, value=value)

    def focus(self, selector: str) -> None:
        """Put the focus there."""
        self._ask("focus", selector=selector)

    def focused(self) -> dict[str, str]:
        """Return tag, id and text of what has the focus."""
        return dict(self._ask("focused"))

    def wait_for_selector(self, selector: str, *, hidden: bool = False, timeout: float = WAIT) -> None:
        """Wait until it is shown, or gone."""
        self._ask("waitForSelector", timeout, selector=selector, hidden=hidden)

    def wait_for_text(self, text: str, selector: str = "body", *, gone: bool = False, timeout: float = WAIT) -> None:
        """Wait until the shown text contains this, or no longer does."""
        self._ask("waitForText", timeout, text=text, selector=selector, gone=gone)

    def wait_for_url(self, pattern: str, timeout: float = WAIT) -> str:
        """Wait until the address matches a regular expression; return it."""
        return str(self._ask("waitForUrl", timeout, pattern=pattern))

    def text(self, selector: str = "body") -> str:
        """Return the shown text, as innerText gives it."""
        return str(self._ask("text", selector=selector))

    def attribute(self, selector: str, name: str) -> str | None:
        """Return an attribute."""
        found = self._ask("attribute", selector=selector, name=name)
        return None if found is None else str(found)

    def value(self, selector: str) -> str | None:
        """Return a field's value."""
        found = self._ask("value", selector=selector)
        return None if found is None else str(found)

    def count(self, selector: str) -> int:
        """Return how many elements match."""
        return int(self._ask("count", selector=selector))

    def is_visible(self, selector: str) -> bool:
        """Tell whether the first match is shown now."""
        return bool(self._ask("isVisible", selector=selector))

    def evaluate(self, script: str, *arguments: Any, timeout: float = 60) -> Any:
        """Run a JavaScript function, given as text, with JSON arguments; return its JSON result, awaited."""
        return self._ask("evaluate", timeout, script=script, args=list(arguments))

    def frame_text(self, pattern: str, timeout: float = WAIT) -> str:
        """Return the text of the frame whose address matches."""
        return str(self._ask("frameText", timeout, pattern=pattern))

    def set_viewport(self, width: int, height: int) -> None:
        """Size of the window in CSS pixels."""
        self._ask("viewport", width=width, height=height)

    def set_media(self, **features: str) -> None:
        """Emulate media features (Chromium): prefers_color_scheme="dark"."""
        pairs = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._ask("media", features=pairs)

    def set_offline(self, *, offline: bool) -> None:
        """Cut or restore the network (Chromium)."""
        self._ask("offline", offline=offline)

    def set_javascript(self, *, enabled: bool) -> None:
        """Let the page's own scripts run, or none of them, from the next address on; a test still looks at the page."""
        self._ask("javascript", enabled=enabled)

    def screenshot(self, path: Path, *, full: bool = True) -> None:
        """Write a PNG."""
        self._ask("screenshot", path=str(path), full=full)

    def problems(self) -> list[str]:
        """Return and forget errors and warnings of the console, and exceptions nobody caught."""
        return list(self._ask("problems"))

    def requests(self) -> list[dict[str, str]]:
        """Return and forget what was requested: method, url, body."""
        return list(self._ask("requests"))

    def dialogs(self) -> list[str]:
        """Return and forget the texts of dialogs, which are accepted at once."""
        return list(self._ask("dialogs"))

    def find_violations(self, tags: Sequence[str] = WCAG_22_AA, disable: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Run axe-core; return id, help and nodes of each rule that is violated."""
        return list(self._ask("axe", 60, tags=list(tags), disable=list(disable)))

    def close(self) -> None:
        """Close the page."""
        self._ask("closePage")


@contextmanager
def open_browser(name: str) -> Iterator[Browser]:
    """Start a browser ("chromium" or "firefox") with a profile of its own, and end it."""
    with tempfile.TemporaryDirectory(prefix="letterlock-browser-", ignore_cleanup_errors=True) as folder:
        browser = Browser(name, Path(folder))
        try:
            yield browser
        finally:
            browser.close()
