"""HPKE (RFC 9180), base mode, single shot, empty AAD: `sealed = enc || ct`. Contexts of many messages: hpke_context.

Suites of sealed-mailbox 4: 1 = DHKEM(X25519), 2 = DHKEM(P-256), both with HKDF-SHA256 and AES-256-GCM. Another number
is refused, never guessed. Public keys are the raw forms of RFC 9180 7.1.1: 32 octets, or 65 octets uncompressed.
Private keys of suite 2 are kept as 32 octets big-endian (RFC 9180 7.1.2). Nothing here stores or logs a key.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from relay.core.wire.errors import EncodingError, SealedDataError

SUITE_X25519 = 1
SUITE_P256 = 2
TAG_LENGTH = 16

_KEMS = {SUITE_X25519: KEM.X25519, SUITE_P256: KEM.P256}
ENC_LENGTHS = {SUITE_X25519: 32, SUITE_P256: 65}
"""Octets of a public key, and so of `enc`, by suite."""


def _suite(number: int) -> Suite:
    kem = _KEMS.get(number)
    if kem is None:
        raise EncodingError(f"HPKE suite {number} is not known")
    return Suite(kem, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Recipient:
    """A parsed public key, worth keeping where many values are sealed to it. Safe to share between threads."""

    __slots__ = ("_public", "_suite", "public", "suite")

    def __init__(self, suite: int, public: bytes) -> None:
        """Take the raw public key. Raises EncodingError for an unknown suite, a bad length or a point off the curve."""
        self.suite = suite
        self.public = public
        self._suite = _suite(suite)
        self._public: x25519.X25519PublicKey | ec.EllipticCurvePublicKey
        if len(public) != ENC_LENGTHS[suite]:
            raise EncodingError("HPKE public key has a wrong length")
        try:
            if suite == SUITE_X25519:
                self._public = x25519.X25519PublicKey.from_public_bytes(public)
            else:
                self._public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        except ValueError as error:
            raise EncodingError("HPKE public key is not valid") from error

    def seal(self, info: bytes, plaintext: bytes) -> bytes:
        """Return enc || ct. Raises SealedDataError when the key agreement gives nothing usable (RFC 9180 7.1.4)."""
        try:
            return self._suite.encrypt(plaintext, self._public, info)
        except ValueError as error:
            raise SealedDataError("HPKE: no shared secret with this public key") from error


class Opener:
    """A private key in use. Safe to share between threads; `private_octets` exists for sealing it at rest only."""

    __slots__ = ("_private", "_suite", "suite")

    def __init__(self, suite: int, private: bytes) -> None:
        """Take the raw private key. Raises EncodingError for an unknown suite or a key out of range."""
        self.suite = suite
        self._suite = _suite(suite)
        self._private: x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey
        if len(private) != 32:
            raise EncodingError("HPKE private key has a wrong length")
        try:
            if suite == SUITE_X25519:
                self._private = x25519.X25519PrivateKey.from_private_bytes(private)
            else:
                self._private = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
        except ValueError as error:
            raise EncodingError("HPKE private key is not valid") from error

    def public_octets(self) -> bytes:
        """Return the raw public key."""
        if isinstance(self._private, x25519.X25519PrivateKey):
            return self._private.public_key().public_bytes_raw()
        return self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def agree(self, untrusted_enc: bytes) -> bytes:
        """Return the raw shared secret with an ephemeral public key (RFC 9180 4.1 `DH`). Raises SealedDataError."""
        try:
            if isinstance(self._private, x25519.X25519PrivateKey):
                return self._private.exchange(x25519.X25519PublicKey.from_public_bytes(untrusted_enc))
            if len(untrusted_enc) != ENC_LENGTHS[SUITE_P256]:
                raise ValueError("not the uncompressed form")
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), untrusted_enc)
            return self._private.exchange(ec.ECDH(), point)
        except ValueError as error:
            raise SealedDataError("HPKE: no shared secret with this public key") from error

    def open(self, info: bytes, untrusted_sealed: bytes) -> bytes:
        """Return the plaintext. Raises SealedDataError."""
        if len(untrusted_sealed) < ENC_LENGTHS[self.suite] + TAG_LENGTH:
            raise SealedDataError("HPKE: too short")
        try:
            return self._suite.decrypt(untrusted_sealed, self._private, info)
        except (InvalidTag, ValueError) as error:
            raise SealedDataError("HPKE: does not open with this key and context") from error


def generate_private(suite: int) -> bytes:
    """Return a new raw private key, 32 octets. Raises EncodingError for an unknown suite."""
    _suite(suite)
    if suite == SUITE_X25519:
        return x25519.X25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big")


def seal(suite: int, public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal once to a raw public key. Raises EncodingError, SealedDataError."""
    return Recipient(suite, public).seal(info, plaintext)


def open_sealed(suite: int, private: bytes, info: bytes, untrusted_sealed: bytes) -> bytes:
    """Open once with a raw private key. Raises EncodingError, SealedDataError."""
    return Opener(suite, private).open(info, untrusted_sealed)
