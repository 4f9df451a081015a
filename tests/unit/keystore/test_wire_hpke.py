"""HPKE: an independent key schedule, checked by the vectors of RFC 9180, judges our two suites in both directions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.wire.errors import EncodingError, SealedDataError
from relay.core.wire.hpke import SUITE_P256, SUITE_X25519, Opener, Recipient, generate_private, open_sealed, seal
from relay.core.wire.pae import decode_b64, encode_pae
from tests.unit.keystore.hpke_reference import AES_128, AES_256, Reference

VECTORS = json.loads((Path(__file__).parents[2] / "data/sealed/vectors.json").read_text("utf-8"))


# RFC 9180 A.1.1 and A.3.1, sequence number 0 with aad "Count-0".
RFC_9180 = [
    (
        SUITE_X25519,
        "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
        "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
    ),
    (
        SUITE_P256,
        "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
        "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9"
        "8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4",
        "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434",
    ),
]


@pytest.mark.parametrize(("suite", "private", "enc", "ct"), RFC_9180, ids=["A.1.1", "A.3.1"])
def test_the_reference_opens_the_vectors_of_the_rfc(suite: int, private: str, enc: str, ct: str) -> None:
    opened = Reference(suite, AES_128).open(
        bytes.fromhex(private), b"Ode on a Grecian Urn", bytes.fromhex(enc), bytes.fromhex(ct), b"Count-0"
    )
    assert opened == b"Beauty is truth, truth beauty"


@pytest.mark.parametrize("suite", [SUITE_X25519, SUITE_P256])
@given(info=st.binary(max_size=200), plaintext=st.binary(max_size=200))
@settings(max_examples=25)
def test_ours_and_the_reference_open_each_other(suite: int, info: bytes, plaintext: bytes) -> None:
    reference = Reference(suite, AES_256)
    private = generate_private(suite)
    public = Opener(suite, private).public_octets()
    assert public == reference.public(private)
    assert (
        open_sealed(suite, private, info, reference.seal(generate_private(suite), public, info, plaintext)) == plaintext
    )
    sealed = seal(suite, public, info, plaintext)
    assert reference.open(private, info, sealed[: len(public)], sealed[len(public) :]) == plaintext


def test_mailbox_vector_down_opens_with_suite_1() -> None:
    seed, down = VECTORS["seed"][1], VECTORS["down"]
    info = encode_pae("LL1/down", seed["portal"], seed["box"], down["gen"], down["id"])
    signed = open_sealed(1, bytes.fromhex(seed["enc_private"]), info, decode_b64(down["sealed"]))
    assert json.loads(signed[64:]) == down["manifest"]


def test_mailbox_vector_up_opens_with_suite_2() -> None:
    up, cards = VECTORS["up"], VECTORS["cards"]
    info = encode_pae("LL1/up", VECTORS["seed"][0]["portal"], up["box"], up["gen"], up["id"], up["card"])
    opened = []
    for private in cards["reply_private"]:
        try:
            opened.append(open_sealed(2, bytes.fromhex(private), info, decode_b64(up["sealed"])))
        except SealedDataError:
            continue
    assert [json.loads(signed[64:]) for signed in opened] == [up["item"]]


@pytest.mark.parametrize("suite", [SUITE_X25519, SUITE_P256])
@given(data=st.data())
@settings(max_examples=40)
def test_a_changed_octet_never_opens(suite: int, data: st.DataObject) -> None:
    private = generate_private(suite)
    opener = Opener(suite, private)
    sealed = bytearray(Recipient(suite, opener.public_octets()).seal(b"info", b"secret"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealedDataError):
        opener.open(b"info", bytes(sealed))


@pytest.mark.parametrize("suite", [SUITE_X25519, SUITE_P256])
@given(octets=st.binary(max_size=200))
@settings(max_examples=50)
def test_anything_else_is_refused_in_our_words(suite: int, octets: bytes) -> None:
    with pytest.raises(SealedDataError):
        Opener(suite, generate_private(suite)).open(b"", octets)


def test_another_key_or_context_does_not_open() -> None:
    private = generate_private(SUITE_P256)
    sealed = seal(SUITE_P256, Opener(SUITE_P256, private).public_octets(), b"info", b"secret")
    with pytest.raises(SealedDataError):
        open_sealed(SUITE_P256, private, b"inf0", sealed)
    with pytest.raises(SealedDataError):
        open_sealed(SUITE_P256, generate_private(SUITE_P256), b"info", sealed)


@pytest.mark.parametrize(
    ("suite", "public"),
    [
        (3, bytes(32)),
        (0, bytes(32)),
        (SUITE_X25519, bytes(31)),
        (SUITE_P256, b"\4" + bytes(64)),  # not on the curve
        (SUITE_P256, b"\2" + bytes(32)),  # compressed
    ],
)
def test_bad_public_keys_are_refused(suite: int, public: bytes) -> None:
    with pytest.raises(EncodingError):
        Recipient(suite, public)


def test_a_low_order_point_gives_no_shared_secret() -> None:
    with pytest.raises(SealedDataError):
        seal(SUITE_X25519, bytes(32), b"", b"secret")


@pytest.mark.parametrize("private", [bytes(32), b"\xff" * 32, b"short"])
def test_private_keys_out_of_range_are_refused(private: bytes) -> None:
    with pytest.raises(EncodingError):
        Opener(SUITE_P256, private)
