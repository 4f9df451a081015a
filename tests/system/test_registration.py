"""Registration in a real browser, through real processes: notice, page, own password, only then the mail (E2, L3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.browser.driver import Browser, Page, open_browser
from tests.system.gateway import Gateway, Left, poppler_refuses, poppler_text
from tests.system.portal_walk import ANNA, SLOW, open_message, portal_url, reply, sign_in, text_of, to, write_to

pytestmark = pytest.mark.timeout(300)
OWN = "a walk along the river"
DAY = 86_400
CANARY = "Kanarienvogel 4711"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("registration") / "state", portal=True).start()
    gateway.put("policy", lambda policy: policy["switches"].update(registration="on"))
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with open_browser(request.param) as browser:
        yield browser


def link_in(notice: Left) -> str:
    """Return the registration link of a mail."""
    found = re.search(r"https://localhost:\d+/join/[\w-]{22}#[\w-]{22}\.[\w-]{22}", text_of(notice))
    assert found is not None, text_of(notice)
    return found[0]


def wait_for_link(gateway: Gateway, partner: str, subject: str) -> str:
    """Send a mail that has to wait; return the link that its partner got."""
    message_id = gateway.send(write_to(partner, subject, f"Dear partner,\n\n{CANARY}.\n"), ANNA, partner)
    gateway.wait(lambda left: to(left, ANNA, f"Your message to {partner} waits") and to(left, partner), SLOW)
    (copy,) = gateway.copies(message_id)
    assert copy.state == "awaiting_registration"
    (notice,) = to(gateway.outbox(), partner)
    assert subject not in str(notice.message["Subject"]) + text_of(notice)
    return link_in(notice)


def choose(page: Page, link: str, want: str, partner: str) -> None:
    """Choose on the page and wait until it says that it is done."""
    page.goto(link.replace("#", "?lang=en#"))
    page.wait_for_selector("#live:enabled", timeout=SLOW)
    page.click(f"#want-{want}")
    if want == "mailbox":
        page.type("#login-name", partner)
    page.type("#new-password", OWN)
    page.type("#repeat-password", OWN)
    page.click_text("Save my password")
    page.wait_for_selector("#done", timeout=SLOW)


def test_a_mailbox_chosen_first(gateway: Gateway, browser: Browser) -> None:
    partner, subject = f"mailbox.{browser.name}@kanzlei.example", f"{{webmail}} Loan contract {browser.name}"
    link = wait_for_link(gateway, partner, subject)
    page = browser.new_page("mailbox", context="mailbox")
    choose(page, link, "mailbox", partner)
    assert page.problems() == []
    gateway.wait(lambda left: len(to(left, partner)) == 2 and to(left, ANNA, f"{partner} has chosen a password"), SLOW)
    notice = to(gateway.outbox(), partner)[-1]
    assert "Please use the password that you chose." in " ".join(text_of(notice).split())
    sign_in(page, gateway, partner, OWN)
    page.wait_for_url("/mailbox", SLOW)
    open_message(page, f"Loan contract {browser.name}")
    page.wait_for_text(CANARY, timeout=SLOW)
    # The organisation confirmed the keys that this browser made; else no answer could be sent.
    reply(page, "Thank you, signed.")
    gateway.wait(lambda left: to(left, ANNA, f"Re: Loan contract {browser.name}"), SLOW)
    # The link works once.
    page.goto(link.replace("#", "?lang=en#"))
    page.wait_for_text("This link was used already")


def test_a_pdf_chosen_first(gateway: Gateway, browser: Browser, tmp_path: Path) -> None:
    partner, subject = f"pdf.{browser.name}@kanzlei.example", f"{{pdf}} Price list {browser.name}"
    link = wait_for_link(gateway, partner, subject)
    page = browser.new_page("pdf", context="pdf")
    choose(page, link, "pdf", partner)
    gateway.wait(lambda left: len(to(left, partner)) == 2 and to(left, ANNA, f"{partner} has chosen a password"), SLOW)
    carrier = to(gateway.outbox(), partner)[-1]
    assert OWN.encode() not in carrier.raw
    assert poppler_refuses(carrier.pdf, tmp_path)
    shown = poppler_text(carrier.pdf, OWN, tmp_path)
    assert CANARY in shown
    # The page asks for the code that the PDF prints, and knows nothing of the password.
    (code,) = set(re.findall(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b", shown))
    found = re.search(rf"{portal_url(gateway)}/r/[\w-]{{22}}", text_of(carrier))
    assert found is not None
    gateway.wait_until(lambda: gateway.sql("SELECT count(*) FROM portal_push WHERE state = 'waiting'") == [(0,)], SLOW)
    page.goto(f"{found[0]}?lang=en")
    page.type("#password", code, SLOW)
    page.click_text("Continue")
    page.wait_for_selector("#write", timeout=SLOW)
    page.type("#text", "I take two of them.")
    page.click_text("Send reply")
    page.wait_for_selector("#done", timeout=SLOW)
    gateway.wait(lambda left: to(left, ANNA, f"Re: Price list {browser.name}"), SLOW)
    assert not any("Password for your protected message" in str(one.message["Subject"]) for one in gateway.outbox())


def test_reminders_and_the_end(gateway: Gateway) -> None:
    """Last, since it moves the clock."""
    partner = "nobody.answers@kanzlei.example"
    link = wait_for_link(gateway, partner, "{webmail} Urgent")
    for number, days in enumerate((3, 7), start=2):
        gateway.set_clock(days * DAY + 3600)
        gateway.wait(lambda left, number=number: len(to(left, partner)) == number, SLOW)  # type: ignore[misc]
        assert link_in(to(gateway.outbox(), partner)[-1]) == link
    gateway.set_clock(14 * DAY + 2 * 3600)
    gateway.wait(lambda left: to(left, ANNA, f"Not delivered: your message to {partner}"), SLOW)
    assert [copy.state for copy in gateway.copies() if copy.to == partner and copy.method == "webmail"] == ["failed"]
