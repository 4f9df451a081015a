"""Octets and structures that no honest side makes: every reader of the sealed formats refuses in its own words."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.wire.pae import decode_b64
from relay.core.wire.sealed import (
    MailboxDataError,
    decode_record,
    read_capsule,
    read_card,
    read_fragment,
    strip_capsule,
)
from relay.core.wire.sealed.capsule import read_body
from relay.core.wire.sealed.down import _read_manifest
from relay.core.wire.sealed.jsontext import Fields
from relay.core.wire.sealed.up import _read_item
from tests.unit.sealed.vectors import VECTORS, seed_keys


def manifest(octets: bytes) -> object:
    """Read a manifest's fields, as behind its signature."""
    return _read_manifest(Fields.read(octets, 65536))


def item(octets: bytes) -> object:
    """Read an item's fields, as behind its signature."""
    return _read_item(Fields.read(octets, 65536))


def body(octets: bytes) -> object:
    """Read a body, as behind its seal."""
    return read_body(seed_keys(2), octets)


READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "capsule": (read_capsule, decode_b64(VECTORS["capsule"][1]["capsule"])),
    "stripped": (strip_capsule, decode_b64(VECTORS["capsule"][0]["capsule"])),
    "card": (read_card, decode_b64(VECTORS["cards"]["records"][2]["card"])),
    "record": (decode_record, json.dumps(VECTORS["cards"]["records"][0]).encode()),
    "body": (body, json.dumps(VECTORS["capsule"][1]["body"]).encode()),
    "manifest": (manifest, json.dumps(VECTORS["down"]["manifest"]).encode()),
    "item": (item, json.dumps(VECTORS["up"]["item"]).encode()),
}
ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 2**60), st.floats(), st.text(max_size=30)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def read(name: str, octets: bytes) -> None:
    """Read; whatever is refused is refused in our words, which have a code of the table."""
    with contextlib.suppress(MailboxDataError):
        READERS[name][0](octets)


@pytest.mark.parametrize("name", READERS)
def test_the_true_one_is_read(name: str) -> None:
    reader, octets = READERS[name]
    assert reader(octets)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=200, deadline=None)
@given(octets=st.binary(max_size=300))
def test_any_octets(name: str, octets: bytes) -> None:
    read(name, octets)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_one_value_is_another(name: str, data: st.DataObject) -> None:
    values = json.loads(READERS[name][1])
    *path, last = data.draw(st.sampled_from([place for place in _places(values) if place]))
    inside = values
    for key in path:
        inside = inside[key]
    if data.draw(st.booleans()):
        inside[last] = data.draw(ODD)
    else:
        del inside[last]
    read(name, json.dumps(values).encode())


@given(st.text(max_size=60))
def test_any_fragment(text: str) -> None:
    try:
        link = read_fragment(text)
    except MailboxDataError:
        return
    assert link.fragment() == text
