"""Passwords: made, checked, typed back, spelled."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfmail.errors import PasswordError
from pdfmail.passphrase import PasswordForm, generate_password, normalise_typed, password_bits, validate_password
from pdfmail.spelling import spell_password


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (PasswordForm.BASE32, r"([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}"),
        (PasswordForm.DIGITS, r"([0-9]{4}-){5}[0-9]{4}"),
    ],
)
def test_generated_passwords_have_their_shape_and_are_valid(form: PasswordForm, shape: str) -> None:
    made = {generate_password(form) for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert re.fullmatch(shape, password)
        validate_password(password)
        assert normalise_typed(password, form) == password
    assert password_bits(form) > 71


def test_all_characters_of_the_alphabet_occur() -> None:
    letters = set("".join(generate_password() for _ in range(400))) - {"-"}
    assert letters == set("0123456789abcdefghjkmnpqrstvwxyz")


@pytest.mark.parametrize(
    "typed",
    [
        "DGHZ-4EB6-7GNC-XXD6",
        "dghz4eb67gncxxd6",
        " dghz 4eb6\t7gnc\u00a0xxd6 ",
        "dghz\u20104eb6\u20137gnc\u2014xxd6",
    ],
)
def test_typed_forms_are_understood(typed: str) -> None:
    assert normalise_typed(typed, PasswordForm.BASE32) == "dghz-4eb6-7gnc-xxd6"


def test_lookalikes_are_read_as_digits() -> None:
    assert normalise_typed("Oooo-iIlL-0123-abcd", PasswordForm.BASE32) == "0000-1111-0123-abcd"


@pytest.mark.parametrize("typed", ["", "dghz-4eb6-7gnc-xxd", "dghz-4eb6-7gnc-xxdu", "dghz-4eb6-7gnc-xxd66", "ſſſſ" * 4])
def test_other_texts_are_refused_without_repeating_them(typed: str) -> None:
    with pytest.raises(PasswordError) as caught:
        normalise_typed(typed, PasswordForm.BASE32)
    assert not typed or typed not in str(caught.value)


@given(st.text(max_size=40))
def test_whatever_is_typed_gives_a_valid_password_or_an_error(typed: str) -> None:
    for form in PasswordForm:
        try:
            result = normalise_typed(typed, form)
        except PasswordError:
            continue
        validate_password(result)
        assert normalise_typed(result, form) == result


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short-pass1",
        "x" * 33,
        "päßword-lang-genug",
        " leading-blank-1",
        "trailing-blank-1 ",
        "tab\tinside-it-all",
        "zero\0inside-it",
    ],
)
def test_passwords_that_some_reader_would_not_take_are_refused(password: str) -> None:
    with pytest.raises(PasswordError) as caught:
        validate_password(password)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("password", ["x" * 12, "x" * 32, "with blank inside", "1234-5678-9012"])
def test_passwords_within_the_rules_pass(password: str) -> None:
    validate_password(password)


def test_spelling_in_english_and_german() -> None:
    assert spell_password("dghz-4x", "en") == ["dghz   Delta, Golf, Hotel, Zulu", "4x   four, X-ray"]
    assert spell_password("dghz-4x", "de-AT") == ["dghz   Düsseldorf, Goslar, Hamburg, Zwickau", "4x   vier, Xanten"]
    assert spell_password("A b", "de") == ["A b   groß Aachen, Leerzeichen, Berlin"]


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=32))
def test_every_letter_is_spelled(password: str) -> None:
    for language in ("en", "de"):
        lines = spell_password(password, language)
        assert "-".join(line.partition("   ")[0] for line in lines) or set(password) <= {"-", " "}
        assert len(lines) == password.count("-") + 1
