"""The symmetric pieces of sealed-mailbox 4: gcm = `nonce(12, random) || AES-256-GCM`, and HKDF-SHA256 (RFC 5869)."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.jsontext import Random

KEY_LENGTH = 32
NONCE_LENGTH = 12
OVERHEAD = NONCE_LENGTH + 16
"""Octets that sealing adds."""

_SALT = bytes(32)


def derive(secret: bytes, *info: bytes | str | int) -> bytes:
    """Return 32 octets: HKDF-SHA256 with 32 zero octets of salt and the PAE of `info`."""
    return HKDF(hashes.SHA256(), KEY_LENGTH, _SALT, encode_pae(*info)).derive(secret)


def seal_gcm(key: bytes, plaintext: bytes, aad: bytes, random: Random = os.urandom) -> bytes:
    """Return nonce || ciphertext || tag."""
    nonce = random(NONCE_LENGTH)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def open_gcm(key: bytes, untrusted_sealed: bytes, aad: bytes) -> bytes:
    """Return the plaintext. Raises MailboxDataError with the code `auth`."""
    if len(untrusted_sealed) < OVERHEAD:
        raise MailboxDataError("auth", "sealed value: too short")
    try:
        return AESGCM(key).decrypt(untrusted_sealed[:NONCE_LENGTH], untrusted_sealed[NONCE_LENGTH:], aad)
    except InvalidTag as error:
        raise MailboxDataError("auth", "sealed value: does not open with this key and context") from error
