"""From the button of the sign-in page to a mail that can be read, in Chromium held to a quarter of a core.

Times are the page's own clock: the click, the frame after the inbox shows the opened subject, the frame after the body
stands. What the page had loaded before the click, a person who types has loaded too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.bench.portal_quarter import find_programs, hold_to
from tests.bench.portal_site import BenchPortal, run_portal, tree_cpu_seconds
from tests.interop.browser.driver import Browser, Page, open_browser
from tests.interop.browser.world import BoxAccount

_IDLE = 0.02
"""CPU seconds in a second that a browser needs for nothing."""
NAME = "anna@partner.example"
SUBJECT, TEXT = "Loan contract 4711", "please sign both copies"
_CLICK = """() => {
  const now = performance.timeOrigin + performance.now();
  document.getElementById("open").click();
  return now;
}"""
# Two frames: the first callback runs before the text is painted, the second after it.
_SEEN = """(selector, text, click) => new Promise((resolve) => {
  const began = performance.timeOrigin + performance.now();
  if (click) document.querySelector(click).click();
  const look = () => {
    if (!document.querySelector(selector)?.innerText.includes(text)) return false;
    const tell = () => resolve([began, performance.timeOrigin + performance.now()]);
    requestAnimationFrame(() => requestAnimationFrame(tell));
    return true;
  };
  if (look()) return;
  const watcher = new MutationObserver(() => look() && watcher.disconnect());
  watcher.observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
})"""
_ARGON = """() => performance.getEntriesByType("resource")
  .filter(({ name }) => name.endsWith("/api/login")).at(-1).startTime + performance.timeOrigin"""


@dataclass(frozen=True, slots=True)
class Visit:
    """Milliseconds."""

    argon: float
    """From the click to the request that carries what Argon2id made."""
    inbox: float
    """From the click to the list with the opened subjects."""
    body: float
    """From the click on a mail to its text."""
    cpu: float
    """Of all processes of the browser from the first click to the text, in milliseconds."""

    @property
    def readable(self) -> float:
        """From the click to the text of a mail, without the time that a person takes to choose it."""
        return self.inbox + self.body


def measure_logins(share: float | None, rounds: int = 5) -> tuple[str, list[Visit]]:
    """Return how the browser was held, and visits, each in a new context: nothing cached, nothing compiled."""
    with run_portal() as portal:
        account = portal.make_active(NAME)
        for number in range(12):
            portal.push(account, subject=f"Mail {number}", snippet="Dear Anna,", text="Dear Anna,\n" * 20)
        portal.push(account, subject=SUBJECT, snippet="Dear Anna,", text=f"Dear Anna,\n\n{TEXT}.\n" + "Text. " * 200)
        with open_browser("chromium") as browser:
            if share is None:
                return "not held", _visits(browser, portal, account, rounds)
            with hold_to(share, browser._process.pid, b"chrom") as how:
                return how, _visits(browser, portal, account, rounds)


def _visits(browser: Browser, portal: BenchPortal, account: BoxAccount, rounds: int) -> list[Visit]:
    visits = []
    for number in range(rounds):
        name = f"visit-{number}"
        argon = _time_argon(browser, portal.url, account)
        inbox, body, used = read_mail(browser, portal.url, account, name, SUBJECT, TEXT)
        visits.append(Visit(argon, inbox, body, used))
    return visits


def _time_argon(browser: Browser, url: str, account: BoxAccount) -> float:
    """A wrong password: only a page that stays tells from its own record when Argon2id was done."""
    page = browser.new_page("argon", context="argon")
    _fill(page, url, account, "not this one, sorry")
    _settle(browser)
    clicked: float = page.evaluate(_CLICK)
    page.wait_for_selector("#problem :not(:empty)", timeout=60)
    done: float = page.evaluate(_ARGON)
    browser.close_context("argon")
    return done - clicked


def read_mail(
    browser: Browser, url: str, account: BoxAccount, context: str, subject: str, text: str
) -> tuple[float, float, float]:
    """Sign in and open the newest mail; return milliseconds from the button to the list, from the mail's row to its
    text, and of CPU."""
    page = browser.new_page(context, context=context)
    _fill(page, url, account, account.password)
    _settle(browser)
    used = _cpu(browser)
    clicked = page.evaluate(_CLICK)
    page.wait_for_url("/mailbox", 60)
    _, listed = page.evaluate(_SEEN, "#list", subject, None)
    began, shown = page.evaluate(_SEEN, "#read", text, "a.mail")
    used = _cpu(browser) - used
    browser.close_context(context)
    return listed - clicked, shown - began, 1000 * used


def _settle(browser: Browser) -> None:
    """Wait as long as a browser still works on the page that it has loaded, as a person who types does."""
    deadline, before = time.monotonic() + 20, -1.0
    while (now := _cpu(browser)) - before > _IDLE and time.monotonic() < deadline:
        before = now
        time.sleep(1)


def _cpu(browser: Browser) -> float:
    return sum(tree_cpu_seconds(pid, deep=False) for pid in find_programs(browser._process.pid, b"chrom"))


def _fill(page: Page, url: str, account: BoxAccount, password: str) -> None:
    page.goto(f"{url}/?lang=en", 60)
    page.wait_for_selector("#live:not([disabled])", timeout=60)
    page.fill("#login-name", account.name or "")
    page.fill("#password", password)
