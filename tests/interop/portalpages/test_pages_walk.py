"""Sign-in, forced change, reply and registration by hand and by keyboard, on a fake engine: what a person meets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.browser.driver import Page
from tests.interop.portalpages.test_pages_look import (
    FIRST_PASSWORD,
    FRAGMENT,
    LIVE,
    PDF_PASSWORD,
    open_reply,
    open_sign_in,
    sign_in,
)


def test_the_first_login_by_keyboard_alone(page: Page, pages_address: str) -> None:
    open_sign_in(page, pages_address)
    page.press("Tab")
    assert page.focused()["text"] == "Skip to content"
    page.press("Enter")
    page.press("Tab")
    assert page.focused()["id"] == "login-name"
    page.type("#login-name", "anna@partner.example")
    page.press("Tab")
    page.type("#password", FIRST_PASSWORD)
    page.press("Tab")
    assert page.focused()["text"] == "Show the password" or "Show" in page.focused()["text"]
    page.press("Enter")
    assert page.attribute("#password", "type") == "text"
    assert page.attribute("[data-reveal=password]", "aria-label") == "Hide the password"
    page.focus("#password")
    page.press("Enter")
    page.wait_for_selector("#change")
    assert page.focused()["id"] == "new-password"
    assert page.title == "Choose your own password · Example Bank"
    page.type("#new-password", "four green boats in may")
    page.wait_for_text("Strength: very good", "#strength")
    page.type("#repeat-password", "four green boats in may")
    page.press("Enter")
    page.wait_for_url("/mailbox")
    # By the page that took the password: nothing was loaded in between.
    assert page.text("#who") == "opened here"
    assert page.problems() == []


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("wrong-password-1", "The e-mail address or the password is not right."),
        ("locked-password-1", "This mailbox takes no more passwords."),
        ("waiting-password-1", "Please wait 4 minutes"),
        ("offline-password-1", "There is no connection right now."),
        ("broken-password-1", "Reference ABCD-1234."),
        ("unverified-password-1", "This message could not be verified."),
    ],
)
def test_what_goes_wrong_at_sign_in_is_said_in_words(page: Page, pages_address: str, password: str, words: str) -> None:
    sign_in(page, pages_address, password)
    page.wait_for_text(words, "#problem")
    assert page.attribute("#problem", "role") == "alert"
    assert page.value("#login-name") == "anna@partner.example"
    page.wait_for_selector(LIVE)
    assert page.focused()["id"] in ("password", "open")


def test_what_is_missing_is_said_beside_the_field(page: Page, pages_address: str) -> None:
    open_sign_in(page, pages_address, "?lang=de")
    page.click("#open")
    page.wait_for_text("ganze E-Mail-Adresse", "#login-name-error")
    assert page.focused()["id"] == "login-name"
    assert page.attribute("#login-name", "aria-invalid") == "true"
    page.fill("#login-name", "anna@partner.example")
    page.click("#open")
    page.wait_for_text("Passwort", "#password-error")
    assert page.attribute("#login-name", "aria-invalid") is None


def test_a_code_in_the_address_fills_its_field_and_leaves_the_address(page: Page, pages_address: str) -> None:
    fragment = f"#c={FIRST_PASSWORD}"
    open_sign_in(page, pages_address, f"?lang=en{fragment}")
    assert page.value("#code") == FIRST_PASSWORD
    assert page.is_visible("#code")
    assert "#" not in page.url
    assert page.attribute("[data-language]", "href") == f"?lang=de{fragment}"
    # What a server sees of an address ends at #.
    assert FIRST_PASSWORD not in str([one["url"].partition("#")[0] + one["body"] for one in page.requests()])
    # Nor does it stand in a link of the mailbox, where nothing would take it out of the address.
    page.fill("#login-name", "anna@partner.example")
    page.fill("#password", "an own good password")
    page.click("#open")
    page.wait_for_text("opened here", "#who")
    assert page.attribute("[data-language]", "href") == "?lang=de"
    # A language that was chosen stays, whatever the browser asks for.
    page.goto(f"{pages_address}/help?lang=en")
    open_sign_in(page, pages_address, f"?lang=en{fragment}")
    page.click("[data-language]")
    page.wait_for_url("lang=de")
    open_sign_in(page, pages_address, "")
    assert page.evaluate("() => document.documentElement.lang") == "de"
    assert page.value("#login-name") == ""


def test_going_back_from_a_mailbox_in_another_language_leads_past_the_sign_in(page: Page, pages_address: str) -> None:
    page.goto(f"{pages_address}/help")
    sign_in(page, pages_address, "ein gutes eigenes Passwort", "")
    page.wait_for_url(r"/mailbox\?lang=de")
    page.wait_for_text("opened on its own page", "#who")
    page.back()
    page.wait_for_url("/help")


@pytest.mark.parametrize("typed", ["anna@partner.example", "nobody@elsewhere.example"])
def test_forgetting_a_password_is_answered_alike_for_all(page: Page, pages_address: str, typed: str) -> None:
    open_sign_in(page, pages_address)
    page.click_text("I forgot my password", "summary")
    page.fill("#forgot-name", typed)
    page.click("#forgot-form button")
    page.wait_for_selector("#forgot-answer .note")
    assert "If there is a mailbox for this address" in page.text("#forgot-answer")
    assert "by e-mail" in page.text("#forgot-answer")


def test_a_browser_that_cannot_is_told_before_anything_is_typed(page: Page, pages_address: str) -> None:
    page.goto(f"{pages_address}/?lang=en&old")
    page.wait_for_text("Your browser cannot open this page", "#problem")
    assert page.count("input[type=password]:not(#change input)") == 0
    assert "+49\u00a0241\u00a0123\u00a0456" in page.text("#problem")


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "Too short: 7 characters to go."),
        ("K7QM-2XWP-9FTD", "password from a phone call"),
        ("anna@partner.example", "your e-mail address"),
        ("passwordpassword", "Many people use this password"),
        ("x" * 129, "at most 128"),
    ],
)
def test_a_password_that_breaks_a_rule_is_refused_with_the_rule(
    page: Page, pages_address: str, password: str, words: str
) -> None:
    sign_in(page, pages_address, "another first one")
    page.wait_for_selector("#change")
    page.fill("#new-password", password)
    page.fill("#repeat-password", password)
    page.click_text("Save and open my mailbox")
    page.wait_for_text(words, "#new-password-error")
    assert page.focused()["id"] == "new-password"


def test_a_first_password_may_not_be_kept(page: Page, pages_address: str) -> None:
    sign_in(page, pages_address, "the old long password")
    page.wait_for_selector("#change")
    page.fill("#new-password", "the old long password")
    page.fill("#repeat-password", "the old long password")
    page.click_text("Save and open my mailbox")
    page.wait_for_text("the password you have now", "#new-password-error")


def test_a_change_elsewhere_leads_back_to_the_sign_in(page: Page, pages_address: str) -> None:
    sign_in(page, pages_address, FIRST_PASSWORD)
    page.wait_for_selector("#change")
    page.fill("#new-password", "changed-password-1")
    page.fill("#repeat-password", "changed-password-1")
    page.click_text("Save and open my mailbox")
    page.wait_for_text("changed elsewhere", "#problem")
    assert page.is_visible("#sign-in-form")
    assert page.is_visible("#sign-in-help")
    assert page.value("#new-password") == ""


def test_a_reply_with_files_from_the_pdf_page(page: Page, pages_address: str, tmp_path: Path) -> None:
    open_reply(page, pages_address, "wrong-password-1", "?lang=en&everyone")
    page.wait_for_text("4 tries left.", "#problem")
    page.fill("#password", "not a pdf password")
    page.fill("#password", PDF_PASSWORD)
    page.click("#open")
    page.wait_for_selector("#write")
    assert page.text("#write-title") == "Reply to Maria Keller"
    assert page.value("#subject") == "Re: Loan contract for signature"
    assert "Contract.pdf" in page.text("#got-files")
    assert page.value("#password") == ""
    assert "Everyone at Example Bank: Maria Keller, Jens Otto" in page.text("#to")
    assert "Bernd" not in page.text("#to")
    assert page.is_visible("#to-hint")
    page.click("#send")
    page.wait_for_text("Please write something", "#text-error")
    for name in ("one.pdf", "fail.jpg"):
        (tmp_path / name).write_bytes(bytes(4000))
    (tmp_path / "empty.txt").write_bytes(b"")
    page.upload("#file-input", tmp_path / "one.pdf", tmp_path / "fail.jpg", tmp_path / "empty.txt")
    page.wait_for_text("empty.txt is empty", "#drop-hint")
    page.wait_for_text("not stored yet", "#files")
    page.click_text("Try again with fail.jpg")
    page.wait_for_text("not stored yet", "#files", gone=True)
    page.click_text("Remove one.pdf")
    page.wait_for_text("one.pdf", "#files", gone=True)
    assert page.focused()["text"].startswith("Remove")
    page.type("#text", "Here it is, signed.")
    page.click("#send")
    page.wait_for_selector("#done")
    assert "With one file: fail.jpg." in page.text("#done")
    assert "same password" in page.text("#done")
    sent = page.evaluate("() => globalThis.sentReply")
    assert sent == {"text": "Here it is, signed.", "to": "sender", "subject": page_subject(), "files": ["fail.jpg"]}


def page_subject() -> str:
    return "Re: Loan contract for signature"


def test_files_of_the_message_are_saved_from_the_reply_page(page: Page, pages_address: str) -> None:
    open_reply(page, pages_address, PDF_PASSWORD, "?lang=en&no-copy")
    page.wait_for_selector("#write")
    assert "no copy" in page.text("#copy")
    assert not page.is_visible("#to-hint")
    page.click_text("Save Contract.pdf")
    page.wait_for_text("412 kB, saved", "#got-files")
    assert page.problems() == []


def test_who_was_away_signs_in_again_and_loses_nothing(page: Page, pages_address: str, tmp_path: Path) -> None:
    open_reply(page, pages_address, PDF_PASSWORD, "?lang=en")
    page.wait_for_selector("#write")
    (tmp_path / "one.pdf").write_bytes(bytes(4000))
    page.upload("#file-input", tmp_path / "one.pdf")
    page.wait_for_text("ready to send", "#files")
    page.fill("#text", "signed-out")
    page.fill("#subject", "My own words")
    page.click("#send")
    page.wait_for_text("You were away for a while, or something else was opened", "#problem")
    assert page.focused()["id"] == "password"
    page.fill("#password", PDF_PASSWORD)
    page.click("#open")
    page.wait_for_selector("#write")
    assert page.value("#subject") == "My own words"
    page.fill("#text", "now it goes")
    page.wait_for_text("ready to send", "#files")
    page.click("#send")
    page.wait_for_selector("#done")
    assert page.evaluate("() => globalThis.sentReply.files") == ["one.pdf"]


@pytest.mark.parametrize("what", ["download", "attach"])
def test_a_file_of_a_session_that_is_over_asks_for_the_password(
    page: Page, pages_address: str, tmp_path: Path, what: str
) -> None:
    open_reply(page, pages_address, PDF_PASSWORD, f"?lang=en&away={what}")
    page.wait_for_selector("#write")
    page.fill("#text", "typed before")
    for name in ("one.pdf", "two.pdf"):
        (tmp_path / name).write_bytes(bytes(4000))
    if what == "attach":
        page.upload("#file-input", tmp_path / "one.pdf", tmp_path / "two.pdf")
    else:
        page.click_text("Save Contract.pdf")
    page.wait_for_text("You were away for a while, or something else was opened", "#problem")
    page.fill("#password", PDF_PASSWORD)
    page.click("#open")
    page.wait_for_selector("#write")
    assert page.value("#text") == "typed before"
    assert page.text("#write-problem") == ""
    if what == "attach":
        page.wait_for_text("not stored yet", "#files", gone=True)
    page.click("#send")
    page.wait_for_selector("#done")
    files = ["one.pdf", "two.pdf"] if what == "attach" else []
    assert page.evaluate("() => globalThis.sentReply.files") == files


@pytest.mark.parametrize("password", ["locked-password-1"])
def test_too_many_tries_close_the_reply_page_with_words(page: Page, pages_address: str, password: str) -> None:
    open_reply(page, pages_address, password, "?lang=en")
    page.wait_for_selector("#locked")
    assert "has been told" in page.text("#locked")
    assert not page.is_visible("#unlock")


def test_few_tries_are_told_before_typing(page: Page, pages_address: str) -> None:
    page.goto(f"{pages_address}/r/few?lang=en")
    page.wait_for_text("2 tries left.", "#problem")


@pytest.mark.parametrize("want", ["mailbox", "pdf"])
def test_registration_asks_for_what_it_needs(page: Page, pages_address: str, want: str) -> None:
    page.goto(f"{pages_address}/join/open?lang=en{FRAGMENT}")
    page.wait_for_selector(LIVE)
    page.click(f"#want-{want}")
    password = "four green boats in may"
    assert page.is_visible("#login-name") == (want == "mailbox")
    assert page.is_visible("#note-pdf") == (want == "pdf")
    if want == "mailbox":
        page.fill("#login-name", "anna@partner.example")
    else:
        page.fill("#new-password", "vierzig grüne Boote")
        page.fill("#repeat-password", "vierzig grüne Boote")
        page.click_text("Save my password")
        page.wait_for_text("letters without accents", "#new-password-error")
    page.fill("#new-password", password)
    page.fill("#repeat-password", password)
    page.click_text("Save my password")
    page.wait_for_selector("#done")
    joined = page.evaluate("() => globalThis.joined")
    assert joined["want"] == want
    assert joined["password"] == password
    assert FRAGMENT in page.attribute("[data-language]", "href")  # type: ignore[operator]


def test_a_cut_registration_link_says_so(page: Page, pages_address: str) -> None:
    page.goto(f"{pages_address}/join/open?lang=en#AAAA")
    page.wait_for_text("This link is not complete", "#problem")
    assert page.count("#join-form") == 0
