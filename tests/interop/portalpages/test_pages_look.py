"""Every state of sign-in, reply, registration and server mode at each width and in both schemes.

Chromium judges: WCAG 2.2 AA with axe-core, 1.4.4 (text and page at 200 %), 1.4.10 (320 pixels), 1.4.12 (text spacing),
long words. Pages of server mode are drawn with sample values; tests/system/test_server_mode.py walks through the real.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.browser.driver import WCAG_22_AA, Page

FRAGMENT = "#" + "A" * 22 + "." + "B" * 22
PDF_PASSWORD = "dghz-4eb6-7gnc-xxd6"
FIRST_PASSWORD = "K7QM-2XWP-9FTD"
LIVE = "#live:not([disabled])"
SPACING = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    * { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important }
    p { margin-bottom: 2em !important }`);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""
LONG_WORDS = """() => {
  const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    if (walk.currentNode.parentElement.closest("h1, p, label, button, summary")) {
      walk.currentNode.data = walk.currentNode.data.replace(/(\\p{L}{9,})/gu, "$1$1");
    }
  }
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"
LARGE_TEXT = "() => { document.documentElement.style.fontSize = '200%'; }"
PICTURES = os.environ.get("LETTERLOCK_PICTURES", "")
"""A folder to keep the pictures in, for people to look at."""


def open_sign_in(page: Page, address: str, query: str = "?lang=en") -> None:
    page.goto(f"{address}/{query}")
    page.wait_for_selector(LIVE)


def sign_in(page: Page, address: str, password: str, query: str = "?lang=en") -> None:
    open_sign_in(page, address, query)
    page.fill("#login-name", "anna@partner.example")
    page.fill("#password", password)
    page.click("#open")


def open_reply(page: Page, address: str, secret: str, query: str = "?lang=de") -> None:
    page.goto(f"{address}/r/open{query}")
    page.wait_for_selector(LIVE)
    page.fill("#password", secret)
    page.click("#open")


def show_wrong(page: Page, address: str, folder: Path) -> None:
    del folder
    sign_in(page, address, "wrong-password-1", "?lang=de")
    page.wait_for_selector("#problem .note")


def show_help_lines(page: Page, address: str, folder: Path) -> None:
    del folder
    open_sign_in(page, address, "?lang=de#c=K7QM-2XWP-9FTD")
    for summary in ("Ich habe kein Passwort", "Ich habe mein Passwort vergessen"):
        page.click_text(summary, "summary")
    page.fill("#forgot-name", "anna@partner.example")
    page.click("#forgot-form button")
    page.wait_for_selector("#forgot-answer .note")


def show_busy(page: Page, address: str, folder: Path) -> None:
    del folder
    sign_in(page, address, "any password", "?lang=en&slow")
    page.wait_for_selector("#progress")


def show_old_browser(page: Page, address: str, folder: Path) -> None:
    del folder
    page.goto(f"{address}/?lang=de&old")
    page.wait_for_selector("#problem .note")


def show_change(page: Page, address: str, folder: Path) -> None:
    del folder
    sign_in(page, address, FIRST_PASSWORD)
    page.wait_for_selector("#change")
    page.fill("#new-password", "short")
    page.fill("#repeat-password", "other one")
    page.click_text("Save and open my mailbox")
    page.wait_for_selector("#new-password-error")


def show_writing(page: Page, address: str, folder: Path) -> None:
    open_reply(page, address, PDF_PASSWORD, "?lang=de&everyone")
    page.wait_for_selector("#write")
    for name, size in (("done.pdf", 1_200_000), ("fail-photo.jpg", 30_000), ("slow.mp4", 3_000_000)):
        (folder / name).write_bytes(bytes(size))
    page.upload("#file-input", folder / "done.pdf", folder / "fail-photo.jpg", folder / "slow.mp4")
    page.wait_for_text("noch nicht abgelegt", "#files")
    page.click("#original summary")


def show_sent(page: Page, address: str, folder: Path) -> None:
    del folder
    open_reply(page, address, PDF_PASSWORD)
    page.wait_for_selector("#write")
    page.fill("#text", "Danke")
    page.click("#send")
    page.wait_for_selector("#done")


def show_join(page: Page, address: str, folder: Path) -> None:
    del folder
    page.goto(f"{address}/join/open?lang=de{FRAGMENT}")
    page.wait_for_selector(LIVE)


def show_chosen(page: Page, address: str, folder: Path) -> None:
    show_join(page, address, folder)
    page.click("#want-pdf")
    page.fill("#new-password", "four green boats in may")
    page.fill("#repeat-password", "four green boats in may")
    page.click("#join-form button.whole")
    page.wait_for_selector("#done")


def show_unlock(page: Page, address: str, folder: Path) -> None:
    del folder
    page.goto(f"{address}/r/few?lang=de")
    page.wait_for_text("Versuche", "#problem")
    page.click("#reader-help summary")


def show_plain(path: str) -> Callable[[Page, str, Path], None]:
    def show(page: Page, address: str, folder: Path) -> None:
        del folder
        page.goto(f"{address}{path}")

    return show


STATES: dict[str, Callable[[Page, str, Path], None]] = {
    "sign-in-wrong": show_wrong,
    "sign-in-help": show_help_lines,
    "sign-in-busy": show_busy,
    "old-browser": show_old_browser,
    "change": show_change,
    "reply-writing": show_writing,
    "reply-sent": show_sent,
    "join": show_join,
    "join-chosen": show_chosen,
    "join-done": show_plain("/join/done?lang=de"),
    "join-expired": show_plain("/join/expired?lang=de"),
    "reply-unlock": show_unlock,
    "reply-closed": show_plain("/r/closed?lang=de"),
    "link-unknown": show_plain("/r/nobody?lang=de"),
    "imprint": show_plain("/imprint?lang=de"),
    "simple-entry": show_plain("/simple/entry?lang=de"),
    "simple-password": show_plain("/simple/password?lang=de"),
    "simple-inbox": show_plain("/simple/inbox?lang=de"),
    "simple-message": show_plain("/simple/message?lang=de"),
    "simple-damaged": show_plain("/simple/damaged?lang=de"),
    "simple-other": show_plain("/simple/other?lang=de"),
    "reply-locked": show_plain("/r/locked?lang=de"),
    "error": show_plain("/broken/429?lang=de"),
    "help": show_plain("/help?lang=de"),
    "privacy": show_plain("/privacy?lang=en"),
    "accessibility": show_plain("/accessibility?lang=en"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_state_can_be_read_at_each_width_in_both_schemes(
    state: str, page: Page, pages_address: str, tmp_path: Path
) -> None:
    page.set_viewport(320, 640)
    STATES[state](page, pages_address, tmp_path)
    # The dark scheme changes colours alone.
    for scheme, rules in (("light", WCAG_22_AA), ("dark", ("cat.color",))):
        page.set_media(prefers_color_scheme=scheme)
        for width, height in ((320, 640), (390, 844), (1280, 860)):
            page.set_viewport(width, height)
            assert page.find_violations(rules, disable=("color-contrast-enhanced",)) == [], (state, width, scheme)
            assert page.evaluate(OVERFLOW) <= 0, (state, width)
            if PICTURES:
                page.screenshot(Path(PICTURES, f"{state}-{scheme}-{width}.png"))
    # A window of 1280 by 860 at 200 %: the same pixels, half as many of CSS.
    page.set_viewport(640, 430)
    assert page.evaluate(OVERFLOW) <= 0, "at 200 %"
    page.set_viewport(320, 640)
    page.evaluate(SPACING)
    assert page.evaluate(OVERFLOW) <= 0, "with wide spacing"
    page.evaluate(LONG_WORDS)
    assert page.evaluate(OVERFLOW) <= 0, "with long words"
    page.evaluate(LARGE_TEXT)
    for width in (640, 1280):
        page.set_viewport(width, 860)
        assert page.evaluate(OVERFLOW) <= 0, "with text of twice the size"
    refused = [line for line in page.problems() if "Failed to load resource" not in line]
    assert refused == []
