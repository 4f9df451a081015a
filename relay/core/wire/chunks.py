"""Content at rest: chunks of 256 KiB sealed under a message's key.

A variant is one form of a message's content (0 = as received). Each variant has a key of its own, HKDF-SHA256
(RFC 5869) of the message key, and each chunk is `nonce(12, random) || AES-256-GCM` with message id, variant, number and
"is the last" in the AAD, so that chunks cannot be moved, swapped, cut off or added. Random nonces, because a content
that is written anew after a failed try must not meet its old nonce again. The rules of
sealed-mailbox 9, with our own labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_pae

CHUNK_SIZE = 256 * 1024
"""Plaintext octets of every chunk but the last."""
MAIL_KEY_LENGTH = 32
NONCE_LENGTH = 12
OVERHEAD = NONCE_LENGTH + 16
"""Octets that sealing adds to a chunk."""

_KEY_LABEL = "letterlock/content-key"
_CHUNK_LABEL = "letterlock/content-chunk"
_SALT = bytes(32)


def new_mail_key() -> bytes:
    """Return a new content key."""
    return os.urandom(MAIL_KEY_LENGTH)


def count_chunks(size: int) -> int:
    """Return how many chunks a content of `size` octets has; empty content has one, empty and last."""
    return max(1, -(-size // CHUNK_SIZE))


def _derive_variant_key(mail_key: bytes, message_id: str, variant: int) -> AESGCM:
    if len(mail_key) != MAIL_KEY_LENGTH:
        raise ValueError("a mail key has 32 octets")
    info = encode_pae(_KEY_LABEL, message_id, variant)
    return AESGCM(HKDF(hashes.SHA256(), 32, _SALT, info).derive(mail_key))


class ChunkSealer:
    """Seals one variant's chunks in order. Not shared between threads.

    Never seal the same content a second time with the thought of getting the same octets: nonces are random.
    """

    __slots__ = ("_ended", "_key", "_message_id", "_next", "_variant")

    def __init__(self, mail_key: bytes, message_id: str, variant: int) -> None:
        self._key = _derive_variant_key(mail_key, message_id, variant)
        self._message_id = message_id
        self._variant = variant
        self._next = 0
        self._ended = False

    @property
    def count(self) -> int:
        """How many chunks were sealed so far; the number that the next one gets."""
        return self._next

    @property
    def is_ended(self) -> bool:
        """Tell whether the last chunk was sealed."""
        return self._ended

    def seal(self, plaintext: bytes | bytearray | memoryview, *, last: bool = False) -> bytes:
        """Return the next chunk, sealed.

        Raises ValueError when a chunk that is not the last has not exactly CHUNK_SIZE octets, or after the last.
        """
        if self._ended:
            raise ValueError("the last chunk was already sealed")
        if len(plaintext) != CHUNK_SIZE and (not last or len(plaintext) > CHUNK_SIZE):
            raise ValueError("only the last chunk may be short")
        nonce = os.urandom(NONCE_LENGTH)
        aad = encode_pae(_CHUNK_LABEL, self._message_id, self._variant, self._next, int(last))
        sealed = nonce + self._key.encrypt(nonce, plaintext, aad)
        self._next += 1
        self._ended = last
        return sealed


class ChunkOpener:
    """Opens one variant's chunks in any order. Safe to share between threads."""

    __slots__ = ("_key", "_message_id", "_variant")

    def __init__(self, mail_key: bytes, message_id: str, variant: int) -> None:
        self._key = _derive_variant_key(mail_key, message_id, variant)
        self._message_id = message_id
        self._variant = variant

    def open(self, number: int, untrusted_chunk: bytes, *, last: bool) -> bytes:
        """Return the plaintext of chunk `number` (from 0). Raises SealedDataError."""
        if len(untrusted_chunk) < OVERHEAD:
            raise SealedDataError("chunk: too short")
        aad = encode_pae(_CHUNK_LABEL, self._message_id, self._variant, number, int(last))
        view = memoryview(untrusted_chunk)
        try:
            plaintext = self._key.decrypt(view[:NONCE_LENGTH], view[NONCE_LENGTH:], aad)
        except InvalidTag as error:
            raise SealedDataError("chunk: does not open with this key and place") from error
        if len(plaintext) != CHUNK_SIZE and (not last or len(plaintext) > CHUNK_SIZE):
            raise SealedDataError("chunk: wrong length for its place")
        return plaintext


def open_chunk(
    mail_key: bytes, message_id: str, variant: int, number: int, untrusted_chunk: bytes, *, last: bool
) -> bytes:
    """Open a single chunk. Raises SealedDataError."""
    return ChunkOpener(mail_key, message_id, variant).open(number, untrusted_chunk, last=last)


def seal_content(mail_key: bytes, message_id: str, variant: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the sealed chunks of a content that comes in pieces of any size, one chunk in memory at a time."""
    sealer = ChunkSealer(mail_key, message_id, variant)
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        # A full chunk stays until more comes, because only the last one is marked as such.
        while len(waiting) > CHUNK_SIZE:
            yield sealer.seal(memoryview(bytes(waiting[:CHUNK_SIZE])))
            del waiting[:CHUNK_SIZE]
    yield sealer.seal(bytes(waiting), last=True)
