"""Server mode as a partner walks through it: no script from the first login to the answer, then back to the browser."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.browser.driver import Browser, Page, open_browser
from tests.system.gateway import Gateway
from tests.system.portal_walk import (
    ANNA,
    OWN,
    SLOW,
    choose_password,
    open_message,
    portal_url,
    sign_in,
    text_of,
    to,
    wait_for_first_password,
    write_to,
)

pytestmark = pytest.mark.timeout(300)
CONTRACT = bytes(range(256)) * 8192
"""Two chunks."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    state = tmp_path_factory.mktemp("simple") / "state"
    gateway = Gateway(state, portal=True).start()
    assert gateway.stop() == 0
    for path, old in ((state / "inside/letterlock.toml", "[portal]\n"), (state / "portal/letterlock-portal.toml", "")):
        text, word = path.read_text("utf-8"), 'decrypt = "browser-or-server"'
        changed = text.replace(old, f"{old}{word}\n", 1) if old else text.replace('decrypt = "browser"', word)
        assert changed != text
        path.write_text(changed, "utf-8")
    gateway.start()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module", params=["chromium", pytest.param("firefox", marks=pytest.mark.long)])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with open_browser(request.param) as browser:
        yield browser


def reach_entry(page: Page, gateway: Gateway) -> None:
    """Come to the page without script; Chromium can switch scripts off, and then the sign-in page leads there."""
    if page.browser.name == "chromium":
        page.set_javascript(enabled=False)
        page.goto(f"{portal_url(gateway)}/?lang=en")
        page.click_text("Let our server open your mail")
    else:
        page.goto(f"{portal_url(gateway)}/simple?lang=en")
    page.wait_for_text("our server opens your mail for this visit")
    page.requests()


def look_at(page: Page) -> None:
    """Hold a page to WCAG 2.2 AA, where the checker's script can run."""
    if page.browser.name == "firefox":
        assert page.find_violations() == []


def sign_in_simply(page: Page, partner: str, password: str) -> None:
    """Type, agree, press."""
    page.type("#name", partner)
    page.type("#password", password)
    page.click("input[name=consent]")
    page.click_text("Open my mailbox")


def wait_for_download(browser: Browser, name: str) -> bytes:
    """Return a file that the browser saved."""
    deadline = time.monotonic() + SLOW
    path = browser.downloads / name
    while not (path.exists() and path.stat().st_size == len(CONTRACT)):
        assert time.monotonic() < deadline, list(browser.downloads.iterdir())
        time.sleep(0.1)
    return path.read_bytes()


def test_a_walk_without_script(gateway: Gateway, browser: Browser, tmp_path: Path) -> None:
    partner, subject = f"mia.{browser.name}@kanzlei.example", f"Loan contract {browser.name}"
    html = "<p>Dear Ms Berger, <b>please sign</b>.</p><script>document.title = 'ran'</script>"
    name = f"Contract-{browser.name}.bin"
    gateway.send(write_to(partner, subject, "Dear Ms Berger.\n", [(name, CONTRACT)], html), ANNA, partner)
    first, _notice = wait_for_first_password(gateway, partner)
    page = browser.new_page(f"simple-{browser.name}", context=browser.name)
    reach_entry(page, gateway)
    look_at(page)
    sign_in_simply(page, partner, first)
    page.wait_for_text("Choose your own password", timeout=SLOW)
    page.type("#new", OWN)
    page.type("#again", OWN)
    page.click_text("Save and open my mailbox")
    page.wait_for_text(subject, timeout=SLOW)
    page.wait_for_text("Our server opened your mail for this visit")
    look_at(page)
    gateway.wait(lambda left: [one for one in to(left, ANNA) if "opened" in str(one.message["Subject"]).lower()], SLOW)
    page.click("button.mail")
    page.wait_for_text(subject, "h1", timeout=SLOW)
    assert "Our server opened your mail for this visit" in page.text()
    assert "please sign" in page.frame_text("/body")
    assert "ran" not in page.title
    look_at(page)
    page.click(".file a")
    assert hashlib.sha256(wait_for_download(browser, name)).digest() == hashlib.sha256(CONTRACT).digest()
    answer = tmp_path / "signed.bin"
    answer.write_bytes(CONTRACT[::-1])
    page.type("#text", "Thank you, signed.")
    page.upload("#files", answer)
    page.click_text("Send the answer")
    page.wait_for_text("Your answer is on its way", timeout=SLOW)
    arrived = to(gateway.wait(lambda left: to(left, ANNA, f"Re: {subject}"), SLOW), ANNA, f"Re: {subject}")[-1]
    assert "Thank you, signed." in text_of(arrived)
    (file,) = [part for part in arrived.message.walk() if part.get_filename() == "signed.bin"]
    assert file.get_payload(decode=True) == CONTRACT[::-1]
    # No page of a visit asks for a script, where scripts may run as well.
    assert [one["url"] for one in page.requests() if one["url"].endswith(".js")] == []
    page.click_text("Sign out")
    page.wait_for_text("You are signed out", timeout=SLOW)
    # The reader is told by e-mail.
    told = gateway.wait(lambda left: [one for one in to(left, partner) if "erver" in str(one.message["Subject"])], 90)
    assert told

    # In a browser that can, the same password opens nothing but the choice of a new one.
    other = browser.new_page(f"able-{browser.name}", context=f"able-{browser.name}")
    sign_in(other, gateway, partner, OWN)
    choose_password(other, "another walk along the river")
    open_message(other, subject)
    browser.close_context(f"able-{browser.name}")
    browser.close_context(browser.name)
