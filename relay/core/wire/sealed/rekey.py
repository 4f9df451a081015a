"""Rekey: the new capsule, signed by the generation before it (sealed-mailbox 8)."""

from __future__ import annotations

from relay.core.wire.sealed.seed import SeedKeys
from relay.core.wire.sealed.signing import SIGN_REKEY, sign_ed25519, verify_ed25519


def sign_rekey(previous: SeedKeys, capsule: bytes) -> bytes:
    """Return generation gen-1's 64 octets over the exact octets of the new capsule."""
    return sign_ed25519(previous.sign_private, SIGN_REKEY, capsule)


def verify_rekey(previous_sign: bytes, untrusted_capsule: bytes, untrusted_signature: bytes) -> None:
    """Return when generation gen-1 signed it. Raises MailboxDataError with the code `signature`."""
    verify_ed25519(previous_sign, SIGN_REKEY, untrusted_capsule, untrusted_signature)
