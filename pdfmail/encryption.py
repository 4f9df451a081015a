"""The standard security handler of PDF: AES-256 revision 6 and AES-128 revision 4.

Makes a fresh file key for one document and encrypts its streams; it knows nothing of pages or objects. Nobody has an
owner password: an empty one would open the file in several readers. It must never write or log the password, nor return
a stream in the clear.

Sources: ISO 32000-2:2020 section 7.6 (algorithms 2.A, 2.B, 8, 10 for R6), ISO 32000-1:2008 section 7.6 (algorithms 1,
2, 5 for R4), section 7.6.5 for AESV2 and AESV3.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from .model import Cipher

PERMISSIONS = -4
"""Everything is allowed: the bits protect nothing and only hurt screen readers (ISO 32000-2 table 22)."""

_NO_OWNER = b"letterlock/no owner password"
_BLOCK = 16
_PAD_R4 = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


class FileEncryption(Protocol):
    """Encrypts the streams of one document."""

    def entries(self) -> bytes:
        """Return the body of the /Encrypt dictionary (PDF syntax, never itself encrypted)."""
        ...

    def encrypt(self, number: int, data: bytes) -> bytes:
        """Return the encrypted content of the stream with this object number (generation 0)."""
        ...

    def encrypt_chunks(self, number: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Encrypt a stream that is not held in memory; yields octets as they come."""
        ...


def create_encryption(cipher: Cipher, password: str, document_id: bytes) -> FileEncryption:
    """Return the handler for one document with a new random key.

    `password` is printable ASCII, already validated; `document_id` is the first element of /ID (16 octets).
    """
    raw = password.encode("ascii")
    if cipher is Cipher.AES_256:
        return Revision6(raw)
    return Revision4(raw, document_id)


def _encrypt_cbc(key: bytes, data: bytes) -> bytes:
    """Return IV and AES-CBC ciphertext with PKCS#7 padding (ISO 32000-2, 7.6.3.1)."""
    iv = os.urandom(_BLOCK)
    fill = _BLOCK - len(data) % _BLOCK
    encryptor = BlockCipher(AES(key), CBC(iv)).encryptor()
    return iv + encryptor.update(data) + encryptor.update(bytes([fill]) * fill)


def _encrypt_cbc_chunks(key: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    iv = os.urandom(_BLOCK)
    encryptor = BlockCipher(AES(key), CBC(iv)).encryptor()
    yield iv
    total = 0
    for chunk in chunks:
        total += len(chunk)
        yield encryptor.update(chunk)
    fill = _BLOCK - total % _BLOCK
    yield encryptor.update(bytes([fill]) * fill)


class Revision6:
    """AES-256, V5 R6: one file key for all objects."""

    def __init__(self, password: bytes) -> None:
        """Derive the entries. `password` is at most 127 octets (ISO 32000-2, 7.6.4.3.3)."""
        self._key = os.urandom(32)
        validation_salt, key_salt = os.urandom(8), os.urandom(8)
        # Algorithm 8: /U is hash, validation salt, key salt; /UE is the file key under the intermediate key.
        self._u = _hash_r6(password, validation_salt) + validation_salt + key_salt
        intermediate = _hash_r6(password, key_salt)
        self._ue = BlockCipher(AES(intermediate), CBC(bytes(16))).encryptor().update(self._key)
        # Algorithm 9 with a password nobody has: a random wrapped key, and a check value that is the hash of something
        # else, so that a look at the finished file (pdfmail.check) tells in one hash that no password made it.
        self._o = hashlib.sha256(_NO_OWNER + self._u).digest() + os.urandom(16)
        self._oe = os.urandom(32)
        # Algorithm 10: permissions, "T" for encrypted metadata, "adb", four random octets.
        block = (PERMISSIONS & 0xFFFFFFFF).to_bytes(4, "little") + b"\xff\xff\xff\xffTadb" + os.urandom(4)
        self._perms = BlockCipher(AES(self._key), ECB()).encryptor().update(block)  # noqa: S305 - algorithm 10

    def entries(self) -> bytes:
        """See FileEncryption."""
        return (
            b"<</Filter/Standard/V 5/R 6/Length 256/P %d/EncryptMetadata true/CF<</StdCF<</AuthEvent/DocOpen/CFM/AESV3"
            b"/Length 32>>>>/StmF/StdCF/StrF/StdCF/O<%b>/OE<%b>/U<%b>/UE<%b>/Perms<%b>>>"
        ) % (
            PERMISSIONS,
            self._o.hex().encode(),
            self._oe.hex().encode(),
            self._u.hex().encode(),
            self._ue.hex().encode(),
            self._perms.hex().encode(),
        )

    def encrypt(self, number: int, data: bytes) -> bytes:  # noqa: ARG002 - AESV3 has one key for all objects
        """See FileEncryption."""
        return _encrypt_cbc(self._key, data)

    def encrypt_chunks(self, number: int, chunks: Iterable[bytes]) -> Iterator[bytes]:  # noqa: ARG002 - as above
        """See FileEncryption."""
        return _encrypt_cbc_chunks(self._key, chunks)


class Revision4:
    """AES-128, V4 R4 (AESV2): a key per object. For old readers only; a guess is some 300 times cheaper than R6."""

    def __init__(self, password: bytes, document_id: bytes) -> None:
        """Derive the entries. Only the first 32 octets of the password count (ISO 32000-1, algorithm 2)."""
        padded = (password + _PAD_R4)[:32]
        # A random /O: no owner password leads to it, since decrypting it gives no user password (algorithm 7).
        self._o = os.urandom(32)
        seed = padded + self._o + (PERMISSIONS & 0xFFFFFFFF).to_bytes(4, "little") + document_id
        key = hashlib.md5(seed, usedforsecurity=False).digest()
        for _ in range(50):
            key = hashlib.md5(key, usedforsecurity=False).digest()
        self._key = key
        # Algorithm 5: RC4 twenty times over a hash of padding and id; the last 16 octets are arbitrary.
        check = hashlib.md5(_PAD_R4 + document_id, usedforsecurity=False).digest()
        for turn in range(20):
            check = _rc4(bytes(octet ^ turn for octet in key), check)
        self._u = check + bytes(16)

    def entries(self) -> bytes:
        """See FileEncryption."""
        return (
            b"<</Filter/Standard/V 4/R 4/Length 128/P %d/EncryptMetadata true/CF<</StdCF<</AuthEvent/DocOpen/CFM/AESV2"
            b"/Length 16>>>>/StmF/StdCF/StrF/StdCF/O<%s>/U<%s>>>"
        ) % (PERMISSIONS, self._o.hex().encode(), self._u.hex().encode())

    def _object_key(self, number: int) -> bytes:
        # ISO 32000-1 algorithm 1: object and generation number low byte first, then "sAlT" for AES.
        seed = self._key + number.to_bytes(3, "little") + b"\0\0sAlT"
        return hashlib.md5(seed, usedforsecurity=False).digest()

    def encrypt(self, number: int, data: bytes) -> bytes:
        """See FileEncryption."""
        return _encrypt_cbc(self._object_key(number), data)

    def encrypt_chunks(self, number: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """See FileEncryption."""
        return _encrypt_cbc_chunks(self._object_key(number), chunks)


def _hash_r6(password: bytes, salt: bytes) -> bytes:
    """Algorithm 2.B of ISO 32000-2 for the user password (no user key in the input)."""
    key = hashlib.sha256(password + salt).digest()
    turn = 0
    while True:
        block = (password + key) * 64
        encrypted = BlockCipher(AES(key[:16]), CBC(key[16:32])).encryptor().update(block)
        # The first 16 octets as a big-endian number modulo 3; 256 = 1 mod 3, so the sum of the octets will do.
        digest = (hashlib.sha256, hashlib.sha384, hashlib.sha512)[sum(encrypted[:16]) % 3]
        key = digest(encrypted).digest()
        turn += 1
        if turn >= 64 and encrypted[-1] <= turn - 32:
            return key[:32]


def _rc4(key: bytes, data: bytes) -> bytes:
    """RC4 for the check value of revision 4 alone; no content is ever enciphered with it."""
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 255
        state[i], state[j] = state[j], state[i]
    i = j = 0
    result = bytearray()
    for octet in data:
        i = (i + 1) & 255
        j = (j + state[i]) & 255
        state[i], state[j] = state[j], state[i]
        result.append(octet ^ state[(state[i] + state[j]) & 255])
    return bytes(result)
