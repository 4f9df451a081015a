"""The word beside a new password: repeats, rows of keys and digits weigh little, several words weigh much."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.interop.browser.driver import NODE, ROOT

WEAK = [
    "aaaaaaaaaaaaaaaa",
    "abcdefghijklmnop",
    "qwertzuiopasdf",
    "123456789012",
    "abcabcabcabcabc",
    "x",
    "ääääääääääää",
]
GOOD = [
    "four green boats in may",
    "Der Zug nach Aachen fuhr um acht",
    "correct horse battery staple",
    "日本語のパスワードはここにあります今日",
]
FIT = ["four green boats in may", "x" * 32, "tr0ub4dor&3 (twice)"]
UNFIT = {
    "grüne Boote im Mai": "password.ascii",
    "x" * 33: "password.pdf-long",
    " leading spaces": "password.edge",
    "tab\there and there": "password.ascii",
}


@pytest.fixture(scope="module")
def rated() -> dict[str, tuple[int, str]]:
    passwords = ["", *WEAK, *GOOD, *FIT, *UNFIT]
    script = "tests/interop/portalpages/rate_passwords.mjs"
    done = subprocess.run(
        [str(NODE), script], cwd=ROOT, input=json.dumps(passwords).encode(), capture_output=True, check=True, timeout=60
    )
    return {one: tuple(found) for one, found in zip(passwords, json.loads(done.stdout), strict=True)}


def test_strength_follows_what_a_guesser_has_to_choose(rated: dict[str, tuple[int, str]]) -> None:
    assert rated[""][0] == 0
    assert {one: rated[one][0] for one in WEAK} == dict.fromkeys(WEAK, 1)
    assert all(rated[one][0] >= 3 for one in GOOD), {one: rated[one][0] for one in GOOD}


def test_a_password_for_pdfs_is_one_that_readers_take(rated: dict[str, tuple[int, str]]) -> None:
    assert {one: rated[one][1] for one in FIT} == dict.fromkeys(FIT, "")
    assert {one: rated[one][1] for one in UNFIT} == UNFIT
