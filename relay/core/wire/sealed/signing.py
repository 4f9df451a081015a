"""ES256 as r || s (RFC 7518 3.4) and Ed25519 (RFC 8032), over the PAE of a label and the exact octets.

sealed-mailbox 4.1: LL1/sign/card, /down, /up, /rekey. A signature of one context never stands in another. Private
organisation keys are used by key stores only.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed.errors import MailboxDataError

SIGN_CARD = "LL1/sign/card"
SIGN_DOWN = "LL1/sign/down"
SIGN_UP = "LL1/sign/up"
SIGN_REKEY = "LL1/sign/rekey"
SIGNATURE_LENGTH = 64
P256_LENGTH = 65
"""An uncompressed P-256 point."""


def sign_es256(private: ec.EllipticCurvePrivateKey, label: str, octets: bytes, *, deterministic: bool = False) -> bytes:
    """Return 64 octets r || s; `deterministic` is RFC 6979."""
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=deterministic)
    r, s = decode_dss_signature(private.sign(encode_pae(label, octets), algorithm))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify_es256(public: bytes, label: str, octets: bytes, untrusted_signature: bytes) -> None:
    """Return when it is good. Raises MailboxDataError: `signature`, or `format` for a point off the curve."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except ValueError as error:
        raise MailboxDataError("format", "a public key is not on the curve") from error
    if len(untrusted_signature) != SIGNATURE_LENGTH:
        raise MailboxDataError("signature", "a signature has a wrong length")
    der = encode_dss_signature(
        int.from_bytes(untrusted_signature[:32], "big"), int.from_bytes(untrusted_signature[32:], "big")
    )
    try:
        key.verify(der, encode_pae(label, octets), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise MailboxDataError("signature", "a signature does not fit") from error


def sign_ed25519(private: bytes, label: str, octets: bytes) -> bytes:
    """Return 64 octets; `private` is the 32-octet seed."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(private).sign(encode_pae(label, octets))


def verify_ed25519(public: bytes, label: str, octets: bytes, untrusted_signature: bytes) -> None:
    """Return when it is good. Raises MailboxDataError with the code `signature`."""
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public)
        key.verify(untrusted_signature, encode_pae(label, octets))
    except (InvalidSignature, ValueError) as error:
        raise MailboxDataError("signature", "a signature does not fit") from error
