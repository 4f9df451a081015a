"""Passkeys: room that LL1 keeps (sealed-mailbox 4.1, 11, 20). The browser alone runs the authenticator."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import x25519

from relay.core.wire import hpke
from relay.core.wire.errors import SealedDataError
from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.gcm import derive


def prf_salt(portal: str) -> bytes:
    """Return the input of the authenticator's PRF."""
    return hashlib.sha256(encode_pae("LL1/prf", portal)).digest()


def passkey_private(prf: bytes, portal: str, box: str) -> bytes:
    """Return the X25519 private key that the PRF's output gives."""
    return derive(prf, "LL1/passkey-key", portal, box)


def passkey_public(private: bytes) -> bytes:
    """Return the public half, which stands in the capsule's body."""
    return x25519.X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal_to_passkey(public: bytes, seed: bytes, *, portal: str, box: str, gen: int, credential: str) -> bytes:
    """Return the seed sealed to a passkey."""
    return hpke.seal(hpke.SUITE_X25519, public, encode_pae("LL1/passkey", portal, box, gen, credential), seed)


def open_with_passkey(
    private: bytes, untrusted_sealed: bytes, *, portal: str, box: str, gen: int, credential: str
) -> bytes:
    """Return the seed. Raises MailboxDataError with the code `auth`."""
    info = encode_pae("LL1/passkey", portal, box, gen, credential)
    try:
        return hpke.open_sealed(hpke.SUITE_X25519, private, info, untrusted_sealed)
    except SealedDataError as error:
        raise MailboxDataError("auth", "passkey: does not open") from error
