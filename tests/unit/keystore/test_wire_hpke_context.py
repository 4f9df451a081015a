"""HPKE contexts, judged by the vectors of RFC 9180 A.3.1 and by the library's single shot; and mail keys within one."""

from __future__ import annotations

import os
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.ports import SpoolPublicKey, WrappedMailKey
from relay.core.wire import hpke_context, mailkey
from relay.core.wire.errors import SealedDataError
from relay.core.wire.hpke import SUITE_P256, SUITE_X25519, Opener, Recipient, generate_private, seal
from relay.core.wire.hpke_context import AES_128_GCM, MessageKeys, SealingContext, open_context
from relay.core.wire.mailkey import CONTEXT_MESSAGES, IN_CONTEXT, MailKeyOpener, MailKeySealer

# RFC 9180 A.3.1: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode.
_PRIVATE = bytes.fromhex("f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2")
_PUBLIC = bytes.fromhex(
    "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a82"
    "6a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0"
)
_EPHEMERAL = bytes.fromhex("4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb")
_ENC = bytes.fromhex(
    "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9"
    "8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4"
)
_INFO, _PLAIN = b"Ode on a Grecian Urn", b"Beauty is truth, truth beauty"
_SEALED = {
    0: "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434",
    1: "fa6f037b47fc21826b610172ca9637e82d6e5801eb31cbd3748271affd4ecb06646e0329cbdf3c3cd655b28e82",
    2: "895cabfac50ce6c6eb02ffe6c048bf53b7f7be9a91fc559402cbc5b8dcaeb52b2ccc93e466c28fb55fed7a7fec",
    4: "8787491ee8df99bc99a246c4b3216d3d57ab5076e18fa27133f520703bc70ec999dd36ce042e44f0c3169a6a8f",
    255: "2ad71c85bf3f45c6eca301426289854b31448bcf8a8ccb1deef3ebd87f60848aa53c538c30a4dac71d619ee2cd",
    256: "10f179686aa2caec1758c8e554513f16472bd0a11e2a907dde0b212cbe87d74f367f8ffe5e41cd3e9962a6afb2",
}


def test_sender_and_receiver_reach_the_ciphertexts_of_the_rfc() -> None:
    sender = MessageKeys(SUITE_P256, Opener(SUITE_P256, _EPHEMERAL).agree(_PUBLIC), _ENC, _PUBLIC, _INFO, AES_128_GCM)
    receiver = MessageKeys(SUITE_P256, Opener(SUITE_P256, _PRIVATE).agree(_ENC), _ENC, _PUBLIC, _INFO, AES_128_GCM)
    for number, expected in _SEALED.items():
        aad = b"Count-%d" % number
        assert sender.seal(number, aad, _PLAIN).hex() == expected
        assert receiver.open(number, aad, bytes.fromhex(expected)) == _PLAIN


@pytest.mark.parametrize("suite", [SUITE_X25519, SUITE_P256])
def test_the_first_message_of_a_context_is_the_single_shot_of_the_library(suite: int) -> None:
    opener = Opener(suite, generate_private(suite))
    recipient = Recipient(suite, opener.public_octets())
    context = SealingContext(recipient, b"info")
    number, sealed = context.seal(b"", b"secret")
    assert number == 0
    assert opener.open(b"info", context.enc + sealed) == b"secret"
    by_library = seal(suite, opener.public_octets(), b"info", b"secret")
    length = len(opener.public_octets())
    assert open_context(opener, b"info", by_library[:length]).open(0, b"", by_library[length:]) == b"secret"


@given(texts=st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), min_size=2, max_size=8))
@settings(max_examples=20)
def test_messages_open_in_any_order_and_nowhere_else(texts: list[tuple[bytes, bytes]]) -> None:
    opener = Opener(SUITE_P256, generate_private(SUITE_P256))
    context = SealingContext(Recipient(SUITE_P256, opener.public_octets()), b"info")
    sealed = [context.seal(aad, plain) for aad, plain in texts]
    assert [number for number, _ in sealed] == list(range(len(texts)))
    keys = open_context(opener, b"info", context.enc)
    for (number, octets), (aad, plain) in reversed(list(zip(sealed, texts, strict=True))):
        assert keys.open(number, aad, octets) == plain
        for wrong_number, wrong_aad in ((number + 1, aad), (number, aad + b"x")):
            with pytest.raises(SealedDataError):
                keys.open(wrong_number, wrong_aad, octets)
    with pytest.raises(SealedDataError):
        open_context(opener, b"inf0", context.enc).open(0, texts[0][0], sealed[0][1])


def test_a_context_is_of_no_use_in_a_fork() -> None:
    context = SealingContext(Recipient(SUITE_P256, _PUBLIC), b"info")
    child = os.fork()
    if child == 0:
        try:
            context.seal(b"", b"secret")
        except ValueError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def _spool(name: str = "e1-00000000") -> tuple[MailKeyOpener, MailKeySealer]:
    opener = Opener(SUITE_P256, generate_private(SUITE_P256))
    return MailKeyOpener(opener), MailKeySealer(SpoolPublicKey(name, SUITE_P256, opener.public_octets()))


def test_both_forms_of_a_wrapped_mail_key_open() -> None:
    opener, sealer = _spool()
    batch = sealer.begin_batch()
    keys = {f"message{number}": os.urandom(32) for number in range(5)}
    wrapped = {name: batch.seal(name, key) for name, key in keys.items()}
    assert {one.suite for one in wrapped.values()} == {SUITE_P256 + IN_CONTEXT}
    assert len({one.data[:65] for one in wrapped.values()}) == 1
    for name, one in reversed(wrapped.items()):
        assert opener.open(name, one) == keys[name]
    assert opener.open("message0", sealer.seal("message0", keys["message0"])) == keys["message0"]


def test_a_key_of_a_context_opens_for_its_message_and_epoch_only() -> None:
    opener, sealer = _spool()
    batch = sealer.begin_batch()
    first, second = batch.seal("first", bytes(32)), batch.seal("second", bytes(32))
    swapped = WrappedMailKey(first.epoch, first.suite, first.data[:69] + second.data[69:])
    for name, wrapped in (
        ("second", first),
        ("first", swapped),
        ("first", WrappedMailKey("e2-00000000", first.suite, first.data)),
        ("first", WrappedMailKey(first.epoch, SUITE_P256, first.data)),
        ("first", WrappedMailKey(first.epoch, SUITE_X25519 + IN_CONTEXT, first.data)),
        ("first", WrappedMailKey(first.epoch, first.suite, first.data[:-1])),
        ("first", WrappedMailKey(first.epoch, first.suite, b"\4" + bytes(64) + first.data[65:])),
    ):
        with pytest.raises(SealedDataError):
            opener.open(name, wrapped)


@given(octets=st.binary(max_size=200))
@settings(max_examples=30)
def test_other_octets_are_refused_in_our_words(octets: bytes) -> None:
    opener, _ = _spool()
    with pytest.raises(SealedDataError):
        opener.open("m", WrappedMailKey("e1-00000000", SUITE_P256 + IN_CONTEXT, octets.ljust(117, b"\4")))
    with pytest.raises(SealedDataError):
        opener.open("m", WrappedMailKey("e1-00000000", SUITE_P256 + IN_CONTEXT, octets))


def test_a_batch_ends_with_its_messages_or_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    _, sealer = _spool()
    batch = sealer.begin_batch()
    for number in range(CONTEXT_MESSAGES):
        assert not batch.is_over
        batch.seal(str(number), bytes(32))
    assert batch.is_over
    batch = sealer.begin_batch()
    now = time.monotonic()
    monkeypatch.setattr("relay.core.wire.mailkey.time.monotonic", lambda: now + 1.5)
    assert batch.is_over


def test_remembered_contexts_save_the_key_agreement_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    opener, sealer = _spool()
    made: list[bytes] = []
    real = hpke_context.open_context

    def counted(key: Opener, info: bytes, enc: bytes) -> MessageKeys:
        made.append(enc)
        return real(key, info, enc)

    monkeypatch.setattr(mailkey, "open_context", counted)
    batch = sealer.begin_batch()
    for name in ("one", "two", "three"):
        opener.open(name, batch.seal(name, bytes(32)))
    assert len(made) == 1
    for _ in range(70):
        opener.open("x", sealer.begin_batch().seal("x", bytes(32)))
    opener.open("four", batch.seal("four", bytes(32)))
    assert len(made) == 72


def test_agreeing_with_a_compressed_point_is_refused() -> None:
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _ENC).public_numbers()
    compressed = bytes([2 + (point.y & 1)]) + point.x.to_bytes(32, "big")
    with pytest.raises(SealedDataError):
        Opener(SUITE_P256, _PRIVATE).agree(compressed)
