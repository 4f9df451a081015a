"""Identifiers: unguessable, of one spelling, and fit to be typed at a terminal."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.ids import ID_LENGTH, is_id, new_id


def test_ids_are_what_is_id_takes_and_differ() -> None:
    made = {new_id() for _ in range(2000)}
    assert len(made) == 2000
    assert all(is_id(one) and len(one) == ID_LENGTH for one in made)


def test_no_id_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [b"\xf8" * 16, b"\xfb" * 16, b"\x01" * 16]
    monkeypatch.setattr(os, "urandom", lambda _count: draws.pop(0))
    assert new_id() == "AQEBAQEBAQEBAQEBAQEBAQ"
    assert not draws


@given(st.text(max_size=30))
def test_any_text_is_an_id_or_not(text: str) -> None:
    assert not is_id(text) or (len(text) == ID_LENGTH and text.isascii())
