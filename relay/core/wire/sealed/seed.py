"""The keys of one generation, all derived from its seed S (sealed-mailbox 4.1, 6). Its repr shows no key."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from relay.core.wire.sealed.gcm import KEY_LENGTH, derive

SEED_LENGTH = 32


@dataclass(frozen=True, slots=True)
class SeedKeys:
    """Box, generation and the keys. `enc` (X25519) and `sign` (Ed25519) are public."""

    portal: str
    box: str
    gen: int
    seed: bytes = field(repr=False)
    enc: bytes
    sign: bytes
    enc_private: bytes = field(repr=False)
    sign_private: bytes = field(repr=False)
    store: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, seed: bytes, portal: str, box: str, gen: int) -> SeedKeys:
        """Derive all keys. Raises ValueError unless the seed has 32 octets."""
        if len(seed) != SEED_LENGTH:
            raise ValueError("a seed has 32 octets")
        enc_private, sign_private, store, body = (
            derive(seed, "LL1/seed", name, portal, box, gen) for name in ("enc", "sign", "store", "body")
        )
        enc = x25519.X25519PrivateKey.from_private_bytes(enc_private).public_key().public_bytes_raw()
        sign = ed25519.Ed25519PrivateKey.from_private_bytes(sign_private).public_key().public_bytes_raw()
        assert len(enc) == len(sign) == KEY_LENGTH
        return cls(portal, box, gen, seed, enc, sign, enc_private, sign_private, store, body)
