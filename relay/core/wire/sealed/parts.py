"""Parts of a message in chunks of 1 MiB (sealed-mailbox 9).

n = max(1, ceil(size / 2^20)) chunks, each gcm under the part's key with its number and "is the last" in the AAD. Nonces
are random: a chunk is sealed once and the same octets are sent again until stored. Streams: one chunk in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.gcm import KEY_LENGTH, NONCE_LENGTH, OVERHEAD, derive
from relay.core.wire.sealed.jsontext import Random

CHUNK_SIZE = 2**20
"""Plaintext octets of every chunk but the last."""
MAX_SEALED_CHUNK = CHUNK_SIZE + OVERHEAD


def new_message_key(random: Random = os.urandom) -> bytes:
    """Return a new message key, to be used for one id only."""
    return random(KEY_LENGTH)


def count_chunks(size: int) -> int:
    """Return how many chunks a part of `size` octets has; an empty part has one, empty and last."""
    return max(1, -(-size // CHUNK_SIZE))


def derive_part_key(message_key: bytes, id_: str, i: int) -> bytes:
    """Return the key of part `i` of the message or item `id_`. Raises ValueError for a wrong length."""
    if len(message_key) != KEY_LENGTH:
        raise ValueError("a message key has 32 octets")
    return derive(message_key, "LL1/part", id_, i)


def _chunk_aad(number: int, *, last: bool) -> bytes:
    return encode_pae("LL1/chunk", number, int(last))


class PartSealer:
    """Seals the chunks of one part in order. Not shared between threads."""

    __slots__ = ("_ended", "_key", "_next", "_random", "size")

    def __init__(self, message_key: bytes, id_: str, i: int, random: Random = os.urandom) -> None:
        self._key = AESGCM(derive_part_key(message_key, id_, i))
        self._random = random
        self._next = 0
        self._ended = False
        self.size = 0
        """Plaintext octets sealed so far."""

    @property
    def count(self) -> int:
        """How many chunks were sealed so far; the number that the next one gets."""
        return self._next

    def seal_next(self, plaintext: bytes | bytearray | memoryview, *, last: bool) -> bytes:
        """Return the next chunk, sealed. Raises ValueError for a short one that is not the last, or after the last."""
        if self._ended:
            raise ValueError("the last chunk was already sealed")
        length = len(plaintext)
        if length > CHUNK_SIZE or (length < CHUNK_SIZE and not last) or (not length and self._next):
            raise ValueError("only the last chunk may be short, and only the only one empty")
        nonce = self._random(NONCE_LENGTH)
        sealed = nonce + self._key.encrypt(nonce, plaintext, _chunk_aad(self._next, last=last))
        self._next += 1
        self._ended = last
        self.size += length
        return sealed

    def seal_all(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the sealed chunks of a part that comes in pieces of any size."""
        waiting = bytearray()
        for piece in pieces:
            view, at = memoryview(piece), 0
            while at < len(view):
                # A full chunk stays until more comes, because only the last one is marked as such.
                if len(waiting) == CHUNK_SIZE:
                    yield self.seal_next(waiting, last=False)
                    waiting = bytearray()
                if not waiting and len(view) - at > CHUNK_SIZE:
                    yield self.seal_next(view[at : at + CHUNK_SIZE], last=False)
                    at += CHUNK_SIZE
                else:
                    end = at + CHUNK_SIZE - len(waiting)
                    waiting += view[at:end]
                    at = min(end, len(view))
        yield self.seal_next(waiting, last=True)


class PartOpener:
    """Opens the chunks of one part in order. Hand nothing on to a user or the spool before `finish` returned."""

    __slots__ = ("_key", "_next", "_size")

    def __init__(self, message_key: bytes, id_: str, i: int, size: int) -> None:
        """`size` is the one in the signed manifest or item."""
        self._key = AESGCM(derive_part_key(message_key, id_, i))
        self._size = size
        self._next = 0

    @property
    def next_number(self) -> int:
        """The number of the chunk that `open_next` expects."""
        return self._next

    def open_next(self, untrusted_chunk: bytes) -> bytes:
        """Return the next chunk's plaintext. Raises MailboxDataError: `auth`, `size` for one too many or too long."""
        count = count_chunks(self._size)
        if self._next >= count or len(untrusted_chunk) > MAX_SEALED_CHUNK:
            raise MailboxDataError("size", "part: a chunk too many or too long")
        if len(untrusted_chunk) < OVERHEAD:
            raise MailboxDataError("auth", "part: a chunk is too short")
        last = self._next == count - 1
        view = memoryview(untrusted_chunk)
        try:
            plaintext = self._key.decrypt(view[:NONCE_LENGTH], view[NONCE_LENGTH:], _chunk_aad(self._next, last=last))
        except InvalidTag as error:
            raise MailboxDataError("auth", "part: a chunk does not open in this place") from error
        if len(plaintext) != (self._size - self._next * CHUNK_SIZE if last else CHUNK_SIZE):
            raise MailboxDataError("size", "part: a chunk has not the length of its place")
        self._next += 1
        return plaintext

    def finish(self) -> None:
        """Return when every chunk was opened. Raises MailboxDataError with the code `size`."""
        if self._next != count_chunks(self._size):
            raise MailboxDataError("size", "part: chunks are missing")


def open_part(message_key: bytes, id_: str, i: int, size: int, untrusted_chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the plaintext of a part chunk by chunk; raises MailboxDataError, at the latest behind the last one."""
    opener = PartOpener(message_key, id_, i, size)
    for chunk in untrusted_chunks:
        yield opener.open_next(chunk)
    opener.finish()
