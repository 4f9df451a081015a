"""Content chunks: they come back whole and in their place, or not at all."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.ports import SpoolPublicKey
from relay.core.wire.chunks import (
    CHUNK_SIZE,
    OVERHEAD,
    ChunkOpener,
    ChunkSealer,
    count_chunks,
    new_mail_key,
    open_chunk,
    seal_content,
)
from relay.core.wire.errors import SealedDataError
from relay.core.wire.hpke import SUITE_P256, Opener, generate_private
from relay.core.wire.mailkey import MailKeySealer, open_mail_key
from relay.core.wire.pae import encode_pae

KEY = bytes(range(32))


def seal_all(content: bytes, piece: int, variant: int = 0) -> list[bytes]:
    pieces = (content[at : at + piece] for at in range(0, len(content), piece))
    return list(seal_content(KEY, "message", variant, pieces))


@given(
    size=st.sampled_from([0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 2 * CHUNK_SIZE + 7]),
    piece=st.sampled_from([1000, 65536, CHUNK_SIZE, 3 * CHUNK_SIZE]),
)
@settings(max_examples=20, deadline=None)
def test_content_comes_back_whatever_the_pieces(size: int, piece: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    chunks = seal_all(content, piece)
    assert len(chunks) == count_chunks(size)
    assert [len(chunk) - OVERHEAD for chunk in chunks[:-1]] == [CHUNK_SIZE] * (len(chunks) - 1)
    opener = ChunkOpener(KEY, "message", 0)
    opened = [opener.open(n, chunk, last=n == len(chunks) - 1) for n, chunk in enumerate(chunks)]
    assert b"".join(opened) == content


def test_the_format_is_what_the_docstring_says() -> None:
    """Opened with hmac and AES-GCM alone, so that a later change cannot silently make old mail unreadable."""
    chunk = ChunkSealer(KEY, "message", 3).seal(b"text", last=True)
    prk = hmac.digest(bytes(32), KEY, "sha256")
    key = hmac.digest(prk, encode_pae("letterlock/content-key", "message", 3) + b"\1", "sha256")
    aad = encode_pae("letterlock/content-chunk", "message", 3, 0, 1)
    assert AESGCM(key).decrypt(chunk[:12], chunk[12:], aad) == b"text"


def test_a_chunk_opens_only_in_its_place() -> None:
    chunks = seal_all(bytes(2 * CHUNK_SIZE + 5), CHUNK_SIZE)
    assert open_chunk(KEY, "message", 0, 2, chunks[2], last=True) == bytes(5)
    for key, message_id, variant, number, chunk, last in [
        (new_mail_key(), "message", 0, 0, chunks[0], False),
        (KEY, "other", 0, 0, chunks[0], False),
        (KEY, "message", 1, 0, chunks[0], False),
        (KEY, "message", 0, 1, chunks[0], False),
        (KEY, "message", 0, 0, chunks[1], False),
        (KEY, "message", 0, 0, chunks[0], True),
        (KEY, "message", 0, 1, chunks[1], True),  # cut off: the second is not the last
        (KEY, "message", 0, 2, chunks[2], False),  # going on after the last
        (KEY, "message", 0, 0, chunks[0][:-1], False),
        (KEY, "message", 0, 0, b"", True),
    ]:
        with pytest.raises(SealedDataError):
            open_chunk(key, message_id, variant, number, chunk, last=last)


@given(data=st.data())
@settings(max_examples=50)
def test_a_changed_octet_never_opens(data: st.DataObject) -> None:
    chunk = bytearray(ChunkSealer(KEY, "message", 0).seal(b"some text", last=True))
    chunk[data.draw(st.integers(0, len(chunk) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealedDataError):
        open_chunk(KEY, "message", 0, 0, bytes(chunk), last=True)


def test_a_sealed_chunk_of_a_wrong_length_is_refused() -> None:
    prk = hmac.digest(bytes(32), KEY, "sha256")
    key = AESGCM(hmac.digest(prk, encode_pae("letterlock/content-key", "message", 0) + b"\1", "sha256"))
    short = bytes(12) + key.encrypt(bytes(12), b"short", encode_pae("letterlock/content-chunk", "message", 0, 0, 0))
    with pytest.raises(SealedDataError, match="wrong length"):
        open_chunk(KEY, "message", 0, 0, short, last=False)


def test_the_sealer_keeps_its_order() -> None:
    sealer = ChunkSealer(KEY, "message", 0)
    with pytest.raises(ValueError, match="short"):
        sealer.seal(b"short")
    with pytest.raises(ValueError, match="short"):
        sealer.seal(bytes(CHUNK_SIZE + 1), last=True)
    sealer.seal(bytes(CHUNK_SIZE))
    assert (sealer.count, sealer.is_ended) == (1, False)
    sealer.seal(b"", last=True)
    assert (sealer.count, sealer.is_ended) == (2, True)
    with pytest.raises(ValueError, match="already"):
        sealer.seal(b"", last=True)


def test_nonces_and_keys_are_fresh() -> None:
    first, second = (ChunkSealer(KEY, "message", 0).seal(b"x", last=True) for _ in range(2))
    assert first[:12] != second[:12]
    assert new_mail_key() != new_mail_key()


def test_a_mail_key_is_bound_to_message_and_epoch() -> None:
    private = generate_private(SUITE_P256)
    opener = Opener(SUITE_P256, private)
    sealer = MailKeySealer(SpoolPublicKey("e1-00000000", SUITE_P256, opener.public_octets()))
    mail_key, wrapped = sealer.make("message")
    assert open_mail_key(opener, "message", wrapped) == mail_key
    with pytest.raises(SealedDataError):
        open_mail_key(opener, "other", wrapped)
    other = MailKeySealer(SpoolPublicKey("e2-00000000", SUITE_P256, opener.public_octets())).seal("message", mail_key)
    with pytest.raises(SealedDataError):
        open_mail_key(opener, "message", type(other)("e1-00000000", other.suite, other.data))
    with pytest.raises(ValueError, match="32 octets"):
        sealer.seal("message", b"short")
    with pytest.raises(ValueError, match="32 octets"):
        ChunkSealer(b"short", "message", 0)
