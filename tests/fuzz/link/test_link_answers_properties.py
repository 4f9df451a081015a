"""Whatever the portal answers, reading it gives values of the agreed shape or one error, and never another."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.ids import is_id, new_id
from relay.link.client import _read_object
from relay.link.wire import (
    MAX_CHUNKS,
    MAX_PARTS,
    MAX_SEALED,
    MalformedAnswerError,
    decode_b64,
    encode_b64,
    read_box_conflict,
    read_generations,
    read_held_chunks,
    read_inventory,
    read_mark,
    read_missing,
    read_outbox,
    read_reports,
)
from relay.mailbox.incoming_values import BrokenEntry, ItemEntry, JoinEntry, RekeyEntry

IDS = st.builds(new_id)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | IDS
    | st.builds(encode_b64, st.binary(max_size=64))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["kind", "box", "seq", "id", "gen", "card", "sealed", "parts", "capsule", "sig", "i", "chunks", "count", "sha256"]
)
ENTRIES = st.dictionaries(NAMES, VALUES | st.sampled_from(["item", "rekey", "join"]), max_size=10)
ANSWERS = st.dictionaries(
    NAMES
    | st.sampled_from(
        ["entries", "reports", "boxes", "cards", "tokens", "more", "mark", "waiting", "missing", "rekeys", "messages"]
    ),
    VALUES | st.lists(ENTRIES, max_size=3),
    max_size=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANSWERS)
def test_every_reader_gives_a_value_or_its_one_error(answer: dict[str, Any]) -> None:
    for read in (
        read_outbox,
        read_held_chunks,
        read_missing,
        read_mark,
        read_reports,
        read_inventory,
        read_box_conflict,
        lambda one: read_generations(one, "A" * 22),
    ):
        with contextlib.suppress(MalformedAnswerError):
            read(answer)  # type: ignore[operator]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ENTRIES, max_size=4))
def test_entries_are_of_the_agreed_shape(entries: list[dict[str, Any]]) -> None:
    for entry in read_outbox({"entries": entries}):
        assert is_id(entry.id)
        assert entry.seq >= 0
        match entry:
            case ItemEntry():
                assert is_id(entry.box)
                assert len(entry.sealed) <= MAX_SEALED
                assert len(entry.parts) <= MAX_PARTS
                assert all(1 <= part.chunks <= MAX_CHUNKS for part in entry.parts)
                assert len({part.i for part in entry.parts}) == len(entry.parts)
            case RekeyEntry():
                assert len(entry.sig) <= 64
            case JoinEntry():
                assert entry.box is None
            case BrokenEntry():
                assert entry.box is None or is_id(entry.box)


@given(st.binary(max_size=300))
def test_octets_that_are_no_object_are_refused(untrusted: bytes) -> None:
    with contextlib.suppress(MalformedAnswerError):
        assert isinstance(_read_object(untrusted), dict)


@given(st.binary(max_size=90), st.text(alphabet="AB-_=+/ \n", max_size=4))
def test_only_one_spelling_of_octets_is_read(data: bytes, more: str) -> None:
    text = encode_b64(data)
    assert decode_b64(text, 90) == data
    with contextlib.suppress(MalformedAnswerError):
        assert encode_b64(decode_b64(text + more, 100)) == text + more
    json.dumps(text)
