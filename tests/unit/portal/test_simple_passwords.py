"""Common passwords in server mode: the same rules and words as in the browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portal.simple.common_passwords import ROWS, WORDS, CommonPasswords

SCRIPT = (Path(__file__).parents[3] / "static/portal/src/engine/common_passwords.js").read_text("utf-8")


def test_words_and_rows_are_those_of_the_browser() -> None:
    words = SCRIPT[SCRIPT.index("const WORDS") : SCRIPT.index(").split(")]
    assert set(" ".join(re.findall(r'"([^"]*)"', words)).split()) == WORDS
    rows = SCRIPT[SCRIPT.index("const ROWS") : SCRIPT.index("];")]
    assert tuple(re.findall(r'"([^"]+)"', rows)) == ROWS


@pytest.mark.parametrize(
    "password",
    ["passwortpasswort1", "password 2026!", "qwertzuiopasdf", "123456789012", "abcabcabcabc", "sommer.sonnenschein"],
)
def test_common_ones_are_refused(password: str) -> None:
    assert password in CommonPasswords()


@pytest.mark.parametrize("password", ["a walk along the river", "zwölf grüne flaschen", "korrekt pferd batterie"])
def test_others_are_taken(password: str) -> None:
    assert password not in CommonPasswords()
