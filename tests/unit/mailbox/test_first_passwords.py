"""First passwords: 60 bits in a form that people can say and type."""

from __future__ import annotations

import re

import pytest

from relay.core.ports import SealedBlob
from relay.core.wire.sealed import OWN, read_crockford, read_secret
from relay.mailbox.generations import is_code_needed, is_nearly_full
from relay.mailbox.passwords import CROCKFORD, FirstSecret, generate_first_password
from relay.store.repositories.mailbox_generations import Generation


def test_shape_and_alphabet() -> None:
    made = {generate_first_password() for _ in range(500)}
    assert len(made) == 500
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}", one) for one in made)
    assert set("".join(made).replace("-", "")) == set(CROCKFORD)
    assert len(CROCKFORD) == 32


def test_what_is_shown_is_what_the_browser_reads() -> None:
    password = generate_first_password()
    plain = password.replace("-", "").lower()
    assert read_crockford(password, 12) == plain
    assert read_secret(OWN, password.lower()) == plain.encode()


def test_code_is_made_only_where_one_is_needed_and_changes_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.modules["relay.core.wire.sealed.stretch"], "_PARAMETERS", {1: (64, 1)})
    secret = FirstSecret.generate(with_code=True)
    assert secret.code != secret.password
    alone = FirstSecret(secret.password, "")
    assert secret.stretch("portal", "anna@partner.example").kek != alone.stretch("portal", "anna@partner.example").kek
    assert FirstSecret.generate(with_code=False).code == ""
    assert secret.password not in repr(secret)


@pytest.mark.parametrize(
    ("told", "senders", "makers", "needed"),
    [
        ("maria@bank.example", set(), [], False),
        ("maria@bank.example", {"maria@bank.example"}, ["relay"], False),
        ("maria@bank.example", {"maria@bank.example"}, ["relay", "relay"], False),
        ("maria@bank.example", {"maria@bank.example"}, ["relay", "browser"], True),
        ("maria@bank.example", {"maria@bank.example"}, ["relay", "browser", "relay"], True),
        ("maria@bank.example", {"maria@bank.example", "otto@bank.example"}, ["relay"], True),
        ("maria@bank.example", {"otto@bank.example"}, ["relay"], True),
    ],
)
def test_code_rule(told: str, senders: set[str], makers: list[str], needed: bool) -> None:
    assert is_code_needed(told, senders, [make_generation(maker) for maker in makers]) is needed


@pytest.mark.parametrize(
    ("gen", "ours", "nearly"),
    [
        (2, [1], False),
        (449, [1], False),
        (450, [1], False),
        (451, [1], True),
        (451, [1, 300], False),
        (501, [300], True),
    ],
)
def test_operators_hear_before_a_capsule_is_full_of_seeds(gen: int, ours: list[int], nearly: bool) -> None:
    kept = [make_generation("relay", one) for one in ours] + [make_generation("browser", gen - 1)]
    assert is_nearly_full(gen, kept) is nearly


def make_generation(maker: str, gen: int = 1) -> Generation:
    key = SealedBlob("key", "software", 1, b"")
    return Generation("box", gen, "default", maker, "first", None, key, "", "", "", None, None, 0, 0)
