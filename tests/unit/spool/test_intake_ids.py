"""Ids of arriving mail keep the form of all ids, never repeat, and lie together when made together."""

from __future__ import annotations

import pytest

from relay.core.ids import is_id
from relay.spool.intake_ids import new_arrival_id


def test_ids_have_the_form_of_all_ids_and_never_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for step in range(200):
        monkeypatch.setattr("relay.spool.intake_ids.time.monotonic_ns", lambda step=step: step << 24)
        ids += [new_arrival_id() for _ in range(20)]
    assert all(is_id(one) for one in ids)
    assert len(set(ids)) == len(ids)
    # Typed at a terminal a leading hyphen would be an option.
    assert len({one[0] for one in ids} - {"-"}) == 63


def test_ids_of_one_moment_share_their_first_character_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.spool.intake_ids.time.monotonic_ns", lambda: 5 << 24)
    ids = [new_arrival_id() for _ in range(2000)]
    assert {one[0] for one in ids} == {"F"}
    for place in range(1, 21):
        assert len({one[place] for one in ids}) == 64
    # The last holds two bits.
    assert len({one[21] for one in ids}) == 4
