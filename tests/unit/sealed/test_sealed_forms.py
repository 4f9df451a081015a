"""Forms of login names, secrets and passwords: property 4 of sealed-mailbox 19, the inside's half of it."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pdfmail.passphrase import PasswordForm, generate_password
from relay.core.wire.sealed import (
    LoginNameError,
    MailboxDataError,
    check_own_password,
    normalise_login_name,
    read_crockford,
    read_secret,
)
from relay.core.wire.sealed.forms import WHITE_SPACE
from tests.unit.sealed.forms_corpus import FILE, NAME, answer

CORPUS: dict[str, Any] = json.loads(FILE.read_text("ascii"))
MORE = settings(max_examples=300, deadline=None)
ANSWERS = {"name", "utf8", "why", "error", "refused"}


@pytest.mark.parametrize("section", ["login_name", "secret", "own_password"])
def test_the_corpus_for_the_browsers_says_what_python_says(section: str) -> None:
    entries = CORPUS[section]
    assert len(entries) >= 400
    for entry in entries:
        asked = {name: value for name, value in entry.items() if name in ("typed", "form", "code")}
        asked |= {"name": NAME} if section == "own_password" else {}
        found = {name: value for name, value in entry.items() if name in ANSWERS - ({"name"} & set(asked))}
        assert answer(section, asked) == found, entry


def test_the_corpus_has_names_taken_and_refused() -> None:
    names = CORPUS["login_name"]
    assert sum("name" in entry for entry in names) > 50
    assert sum("error" in entry for entry in names) > 20
    assert {entry["why"] for entry in CORPUS["own_password"]} >= {None, "short", "form", "name"}


@MORE
@given(typed=st.text(max_size=30))
@example("a@\uff11.2.3")
@example("a@b\u00fccher.0x1f")
def test_a_login_name_is_its_own_normal_form_or_there_is_none(typed: str) -> None:
    try:
        name = normalise_login_name(typed)
    except LoginNameError:
        return
    assert normalise_login_name(name) == name
    assert normalise_login_name(f"\ufeff {name}\u3000") == name
    assert normalise_login_name(name.replace("a", "A")) == name
    assert name.rpartition("@")[2].isascii()


@pytest.mark.parametrize(
    "typed", ["a@\uff11.2.3", "a@b\u00fccher.0x1f", "a@b\u00fccher.7.", "a@\u2603.a_b", "a@-\u00fc.org"]
)
def test_domains_that_a_browser_may_read_otherwise_get_no_mailbox(typed: str) -> None:
    with pytest.raises(LoginNameError) as caught:
        normalise_login_name(typed)
    assert caught.value.code == "name"


@MORE
@given(typed=st.text(max_size=40))
def test_an_own_password_is_never_read_as_a_first_password(typed: str) -> None:
    if check_own_password(typed, NAME) is None:
        assert read_secret("own", typed) == unicodedata.normalize("NFC", typed).encode()


@MORE
@given(
    typed=st.text(st.characters(exclude_categories=("Cs", "Cn")), min_size=13, max_size=40),
    form=st.sampled_from(["NFC", "NFD"]),
)
def test_a_password_is_the_same_however_its_letters_are_composed(typed: str, form: Any) -> None:
    assume(read_crockford(typed, 12) is None and read_crockford(unicodedata.normalize(form, typed), 12) is None)
    assert read_secret("own", unicodedata.normalize(form, typed)) == read_secret("own", typed)


@given(st.integers(0, 2**60 - 1))
def test_a_first_password_reads_however_it_is_typed(number: int) -> None:
    plain = "".join("0123456789abcdefghjkmnpqrstvwxyz"[number >> 5 * place & 31] for place in range(12))
    shown = "-".join(plain[place : place + 4] for place in (0, 4, 8))
    for typed in (
        shown.upper(),
        shown.replace("-", " \u2013"),
        plain.replace("0", "o").replace("1", "L"),
        f"\ufeff{plain}",
    ):
        assert read_secret("own", typed) == plain.encode()
    assert check_own_password(shown, NAME) == "form"


@pytest.mark.parametrize("form", list(PasswordForm))
def test_the_pdf_passwords_that_are_made_open_reply_boxes(form: PasswordForm) -> None:
    made = generate_password(form)
    reply_form = {PasswordForm.BASE32: "b32", PasswordForm.DIGITS: "digits"}[form]
    assert read_secret(reply_form, made.upper()) == made.replace("-", "").encode()


@pytest.mark.parametrize(
    ("form", "typed", "code"),
    [
        *(("own", "", ""), ("b32", "too short", ""), ("b32", "uuuu-uuuu-uuuu-uuuu", ""), ("digits", "none", "")),
        *(("words", " - ", ""), ("else", "x", ""), ("own", "a good password", "short"), ("own", "\ud800" * 13, "")),
    ],
)
def test_secrets_without_form_are_refused(form: str, typed: str, code: str) -> None:
    with pytest.raises(MailboxDataError) as caught:
        read_secret(form, typed, code)
    assert caught.value.code == "format"


def test_common_passwords_and_the_own_name_are_refused() -> None:
    assert check_own_password("Correct Horse 1", NAME, frozenset({"correct horse 1"})) == "common"
    assert check_own_password("ANNA@example.org", NAME) == "name"
    assert check_own_password("anna@example.org.", NAME) is None


def test_white_space_is_what_javascript_trims() -> None:
    # ECMA-262: WhiteSpace and LineTerminator. Python's own strip() would take U+0085 and leave U+FEFF.
    code_points = {ord(c) for c in "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"} | set(
        range(0x2000, 0x200B)
    )
    assert {code for code in range(0x110000) if re.match(f"[{WHITE_SPACE}]", chr(code))} == code_points
