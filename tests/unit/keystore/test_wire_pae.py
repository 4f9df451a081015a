"""PAE and base64url against the organisation's vectors, and against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.wire.contexts import PAIR_LABEL, pair_password_context, read_label
from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_b64, decode_pae, encode_b64, encode_pae

VECTORS = json.loads((Path(__file__).parents[2] / "data/sealed/vectors.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS["pae"], ids=lambda vector: vector["hex"])
def test_pae_vectors(vector: dict[str, object]) -> None:
    elements = vector["i"]
    assert isinstance(elements, list)
    assert encode_pae(*elements).hex() == vector["hex"]


@pytest.mark.parametrize("text", VECTORS["b64_refused"])
def test_b64_vectors_refused(text: str) -> None:
    with pytest.raises(EncodingError):
        decode_b64(text)


@given(st.lists(st.binary(max_size=40)))
def test_pae_is_read_back_and_has_one_reading(elements: list[bytes]) -> None:
    assert decode_pae(encode_pae(*elements)) == tuple(elements)


@given(st.binary(max_size=60))
def test_what_decodes_as_pae_is_what_encodes_to_it(octets: bytes) -> None:
    try:
        elements = decode_pae(octets)
    except EncodingError:
        return
    assert encode_pae(*elements) == octets


@given(st.text(max_size=20))
def test_b64_accepts_only_the_one_spelling(text: str) -> None:
    try:
        octets = decode_b64(text)
    except EncodingError:
        return
    assert encode_b64(octets) == text


@given(st.binary(max_size=60))
def test_b64_is_read_back(octets: bytes) -> None:
    assert decode_b64(encode_b64(octets)) == octets


@pytest.mark.parametrize("element", [-1, True])
def test_pae_refuses_what_is_no_whole_number(element: int) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        encode_pae(element)


@pytest.mark.parametrize("octets", [b"", b"\0\0\0", b"\0\0\0\2a", encode_pae("ü")])
def test_a_context_without_a_label_is_refused(octets: bytes) -> None:
    with pytest.raises(EncodingError):
        read_label(octets)


def test_the_label_of_a_pair_password() -> None:
    context = pair_password_context("bank", "anna@bank.example", "partner-1", 2)
    assert read_label(context) == PAIR_LABEL
    assert context != pair_password_context("bank", "anna@bank.example", "partner-1", 3)
