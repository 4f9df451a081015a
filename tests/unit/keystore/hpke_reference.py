"""HPKE's key schedule written out, with an ephemeral key that a test chooses. Checked by RFC 9180's vectors."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.wire.hpke import SUITE_P256, SUITE_X25519

KEM_IDS = {SUITE_X25519: 0x0020, SUITE_P256: 0x0010}
AES_128, AES_256 = 0x0001, 0x0002


class Reference:
    """RFC 9180 4, 4.1 and 5.1 written out: base mode, HKDF-SHA256, AES-GCM, sequence number 0."""

    def __init__(self, suite: int, aead: int) -> None:
        self.suite = suite
        self.kem = b"KEM" + KEM_IDS[suite].to_bytes(2, "big")
        self.hpke = b"HPKE" + KEM_IDS[suite].to_bytes(2, "big") + b"\0\1" + aead.to_bytes(2, "big")
        self.key_length = 16 if aead == AES_128 else 32

    @staticmethod
    def extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite_id + label + ikm, "sha256")

    @staticmethod
    def expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info
        return hmac.digest(prk, labeled + b"\1", "sha256")[:length]

    def agree(self, private: bytes, public: bytes) -> bytes:
        if self.suite == SUITE_X25519:
            key = x25519.X25519PrivateKey.from_private_bytes(private)
            return key.exchange(x25519.X25519PublicKey.from_public_bytes(public))
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1()).exchange(ec.ECDH(), point)

    def public(self, private: bytes) -> bytes:
        if self.suite == SUITE_X25519:
            return x25519.X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
        key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1()).public_key()
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def schedule(self, dh: bytes, enc: bytes, public: bytes, info: bytes) -> tuple[AESGCM, bytes]:
        prk = self.extract(self.kem, b"", b"eae_prk", dh)
        shared = self.expand(self.kem, prk, b"shared_secret", enc + public, 32)
        context = (
            b"\0" + self.extract(self.hpke, b"", b"psk_id_hash", b"") + self.extract(self.hpke, b"", b"info_hash", info)
        )
        secret = self.extract(self.hpke, shared, b"secret", b"")
        key = self.expand(self.hpke, secret, b"key", context, self.key_length)
        return AESGCM(key), self.expand(self.hpke, secret, b"base_nonce", context, 12)

    def open(self, private: bytes, info: bytes, enc: bytes, ct: bytes, aad: bytes = b"") -> bytes:
        key, nonce = self.schedule(self.agree(private, enc), enc, self.public(private), info)
        return key.decrypt(nonce, ct, aad)

    def seal(self, ephemeral: bytes, public: bytes, info: bytes, plaintext: bytes) -> bytes:
        enc = self.public(ephemeral)
        key, nonce = self.schedule(self.agree(ephemeral, public), enc, public, info)
        return enc + key.encrypt(nonce, plaintext, b"")
