"""What a partner does at the portal, for system tests: one function a step, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path

from tests.interop.browser.driver import Page
from tests.system.gateway import Gateway, Left

ANNA = "anna.keller@bank.example"
FIRST = re.compile(r"^ {4}([0-9A-Z]{4}(?:-[0-9A-Z]{4}){2})\r?$", re.MULTILINE)
OWN = "a walk along the river"
SLOW = 60.0
"""Seconds for what several processes do one after the other, on a busy host."""


def write_to(partner: str, subject: str, text: str, files: Sequence[tuple[str, bytes]] = (), html: str = "") -> bytes:
    """Return an ordinary mail from Anna."""
    mail = EmailMessage()
    mail["From"] = f"Anna Keller <{ANNA}>"
    mail["To"] = partner
    mail["Subject"] = subject
    mail["Message-ID"] = make_msgid(domain="mail.bank.example")
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    for name, octets in files:
        mail.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes(policy=SMTP)


def text_of(left: Left) -> str:
    """Return a caught mail's plain text."""
    body = left.message.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def to(left: Sequence[Left], address: str, subject: str = "") -> list[Left]:
    """Return the mails to an address whose subject contains a text."""
    return [one for one in left if one.rcpt_to == [address] and subject in str(one.message["Subject"])]


def wait_for_first_password(gateway: Gateway, partner: str) -> tuple[str, Left]:
    """Wait until sender and partner were told; return the first password and the partner's notice."""
    name = f"mailbox of {partner}"
    gateway.wait(lambda left: to(left, ANNA, name) and to(left, partner), SLOW)
    found = FIRST.search(text_of(to(gateway.outbox(), ANNA, name)[-1]))
    assert found is not None
    return found[1], to(gateway.outbox(), partner)[-1]


def portal_url(gateway: Gateway) -> str:
    """Return the portal's address."""
    return f"https://localhost:{gateway.base + 2}"


def sign_in(page: Page, gateway: Gateway, partner: str, password: str, code: str = "") -> None:
    """Type name and password and press the button."""
    page.goto(f"{portal_url(gateway)}/?lang=en")
    page.type("#login-name", partner)
    page.type("#password", password)
    if code:
        page.click_text("My e-mail shows a code")
        page.type("#code", code)
    page.click("#open")


def choose_password(page: Page, password: str = OWN) -> None:
    """The forced change at the first login."""
    try:
        page.wait_for_selector("#new-password", timeout=SLOW)
    except AssertionError as error:
        raise AssertionError(f"no change of password; the page says: {page.text()}") from error
    page.type("#new-password", password)
    page.type("#repeat-password", password)
    page.click_text("Save and open my mailbox")
    page.wait_for_url("/mailbox", SLOW)


def open_message(page: Page, subject: str) -> None:
    """Open the message of that subject from the inbox."""
    page.wait_for_text(subject, timeout=SLOW)
    page.evaluate(
        "(subject) => [...document.querySelectorAll('a.mail')].find((a) => a.textContent.includes(subject)).click()",
        subject,
    )
    page.wait_for_text(subject, "h1")


def reply(page: Page, text: str, files: Sequence[Path] = ()) -> None:
    """Answer the open message and wait for the page that says what happened."""
    page.click_text("Reply")
    page.wait_for_selector("textarea")
    page.type("textarea", text)
    if files:
        page.upload("input[type=file]", *files)
        page.wait_for_text("encrypted and uploaded", timeout=SLOW)
    page.click_text("Send securely")
    page.wait_for_text("on its way", timeout=SLOW)


def sign_out(page: Page) -> None:
    """End the session; the sign-in page comes."""
    page.click_text("Sign out")
    page.wait_for_selector("#login-name", timeout=SLOW)
