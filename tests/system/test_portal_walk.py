"""The whole main job both ways in real browsers: first mail, first login, forced change, reading, answering."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.browser.driver import Browser, open_browser
from tests.system.gateway import Gateway, password_of, poppler_files, poppler_text
from tests.system.portal_walk import (
    ANNA,
    OWN,
    SLOW,
    choose_password,
    open_message,
    portal_url,
    reply,
    sign_in,
    sign_out,
    text_of,
    to,
    wait_for_first_password,
    write_to,
)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("portal") / "state", portal=True).start()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with open_browser(request.param) as browser:
        yield browser


def test_first_mail_to_final_reply(gateway: Gateway, browser: Browser, tmp_path: Path) -> None:
    partner = f"mia.{browser.name}@kanzlei.example"
    subject = f"Loan contract {browser.name}"
    contract = bytes(range(256)) * 8192  # two chunks
    gateway.send(
        write_to(partner, subject, "Dear Ms Berger,\n\nplease sign.\n", [("Contract ä.bin", contract)]),
        ANNA,
        partner,
    )
    first, notice = wait_for_first_password(gateway, partner)
    assert first not in notice.raw.decode()
    assert subject not in notice.raw.decode()
    page = browser.new_page(f"walk-{browser.name}", context=browser.name)
    sign_in(page, gateway, partner, first)
    choose_password(page)
    open_message(page, subject)
    assert "please sign" in page.text() + page.frame_text("/frame") if page.count("iframe") else page.text()
    answer = tmp_path / "signed.bin"
    answer.write_bytes(contract[::-1])
    reply(page, "Thank you, signed.", [answer])
    assert page.problems() == []

    arrived = to(gateway.wait(lambda left: to(left, ANNA, f"Re: {subject}"), SLOW), ANNA, f"Re: {subject}")[-1]
    mail = arrived.message
    assert mail["X-Letterlock-Origin"] == "portal"
    assert partner in str(mail["From"])
    assert "Thank you, signed." in text_of(arrived)
    (file,) = [part for part in mail.walk() if part.get_filename() == "signed.bin"]
    octets = file.get_payload(decode=True)
    assert hashlib.sha256(octets).digest() == hashlib.sha256(contract[::-1]).digest()  # type: ignore[arg-type]
    sent = to(gateway.outbox(), partner)[0]
    assert sent is not None

    # The sender was told of the first opening; Sent says that the answer arrived, after a new sign-in.
    gateway.wait(lambda left: [one for one in to(left, ANNA) if "opened" in str(one.message["Subject"]).lower()], SLOW)
    sign_out(page)
    sign_in(page, gateway, partner, OWN)
    page.wait_for_url("/mailbox", SLOW)
    page.click_text("Sent")
    page.wait_for_text("Arrived", timeout=SLOW)
    # The first password opens nothing any more.
    other = browser.new_page(f"late-{browser.name}", context=f"late-{browser.name}")
    sign_in(other, gateway, partner, first)
    other.wait_for_selector("#problem :not(:empty)", timeout=SLOW)
    assert "/mailbox" not in other.url
    browser.close_context(f"late-{browser.name}")
    browser.close_context(browser.name)


def test_a_pdf_is_answered_with_its_password(gateway: Gateway, browser: Browser, tmp_path: Path) -> None:
    partner = f"jonas.{browser.name}@partner.example"
    subject = f"Offer {browser.name}"
    mail = write_to(partner, f"{{pdf}} {subject}", "Our offer.\n", [("plan.csv", b"a,b\n" * 50)])
    gateway.send(mail, ANNA, partner)
    left = gateway.wait(lambda left: to(left, partner) and to(left, ANNA, partner), SLOW)
    carrier = to(gateway.outbox(), partner)[-1]
    password = password_of(to(left, ANNA, partner)[-1])
    link = re.search(re.escape(portal_url(gateway)) + r"/r/\S{22}", text_of(carrier))
    assert link is not None
    page = browser.new_page(f"pdf-{browser.name}", context=f"pdf-{browser.name}")
    # The carrier may be faster than the portal's word of its link.
    gateway.wait_until(lambda: page.goto(f"{link[0]}?lang=en") == 200, SLOW)
    page.type("#password", "aaaa-bbbb-cccc-dddd")
    page.press("Enter")
    page.wait_for_text("tries left", timeout=SLOW)
    page.problems()  # the console's own lines about the answers 404 and 401
    page.type("#password", password)
    page.press("Enter")
    page.wait_for_text("plan.csv", timeout=SLOW)
    page.type("textarea", "Agreed, with one remark.")
    answer = tmp_path / "remark.txt"
    answer.write_bytes(b"one remark\n" * 100)
    page.upload("input[type=file]", answer)
    page.wait_for_text("ready to send", timeout=SLOW)
    page.click_text("Send reply")
    page.wait_for_text("on its way", timeout=SLOW)
    assert page.problems() == []
    arrived = to(gateway.wait(lambda left: to(left, ANNA, "Re: Offer"), SLOW) and gateway.outbox(), ANNA, "Re: Offer")[
        -1
    ]
    assert arrived.message["In-Reply-To"]
    assert "Agreed, with one remark." in text_of(arrived)
    # The partner's own copy, in a PDF with the same password.
    gateway.wait(lambda left: len(to(left, partner)) == 2, SLOW)
    copy = to(gateway.outbox(), partner)[-1]
    assert "Agreed, with one remark." in poppler_text(copy.pdf, password, tmp_path)
    assert poppler_files(copy.pdf, password, tmp_path).get("remark.txt") == b"one remark\n" * 100
    browser.close_context(f"pdf-{browser.name}")
