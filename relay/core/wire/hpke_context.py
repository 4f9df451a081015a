"""HPKE contexts (RFC 9180 5.1.1, 5.2), base mode: one `enc`, then many messages, each under its sequence number.

The key schedule is written out here because the library offers the single shot alone. Same suites as hpke.py. A sender
counts the sequence numbers, so that none is used twice; the receiver is told each message's number, because messages
are stored and opened one by one, in any order, and some never (RFC 9180 9.7.1).
"""

from __future__ import annotations

import hmac
import os
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.core.wire.errors import SealedDataError
from relay.core.wire.hpke import SUITE_P256, SUITE_X25519, Opener, Recipient, generate_private

AES_128_GCM, AES_256_GCM = 1, 2
"""RFC 9180 7.3. Ours is the second; the first has the published vectors."""
_KEM_IDS = {SUITE_X25519: 0x0020, SUITE_P256: 0x0010}
_KDF_ID = 0x0001
_KEY_LENGTHS = {AES_128_GCM: 16, AES_256_GCM: 32}
_NONCE_LENGTH = 12
_VERSION = b"HPKE-v1"
_MODE_BASE = b"\0"


class MessageKeys:
    """The AEAD of a context: its key and the nonce of each sequence number (RFC 9180 5.2)."""

    __slots__ = ("_base_nonce", "_key")

    def __init__(  # noqa: PLR0917 - the RFC's own arguments
        self, suite: int, dh: bytes, enc: bytes, public: bytes, info: bytes, aead: int = AES_256_GCM
    ) -> None:
        """Derive both from the raw shared secret `dh` of the key pairs whose public halves are `enc` and `public`."""
        kem = b"KEM" + _KEM_IDS[suite].to_bytes(2, "big")
        hpke = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (_KEM_IDS[suite], _KDF_ID, aead))
        # RFC 9180 4.1, ExtractAndExpand
        shared = _expand(kem, _extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + public, 32)
        # RFC 9180 5.1, KeySchedule without a pre-shared key
        context = _MODE_BASE + _extract(hpke, b"", b"psk_id_hash", b"") + _extract(hpke, b"", b"info_hash", info)
        secret = _extract(hpke, shared, b"secret", b"")
        self._key = AESGCM(_expand(hpke, secret, b"key", context, _KEY_LENGTHS[aead]))
        self._base_nonce = int.from_bytes(_expand(hpke, secret, b"base_nonce", context, _NONCE_LENGTH), "big")

    def seal(self, number: int, aad: bytes, plaintext: bytes) -> bytes:
        """Seal message `number`. Never call twice with one number."""
        return self._key.encrypt(self._nonce(number), plaintext, aad)

    def open(self, number: int, aad: bytes, untrusted_sealed: bytes) -> bytes:
        """Return the plaintext of message `number`. Raises SealedDataError."""
        try:
            return self._key.decrypt(self._nonce(number), untrusted_sealed, aad)
        except InvalidTag as error:
            raise SealedDataError("HPKE: does not open with this key, number and context") from error

    def _nonce(self, number: int) -> bytes:
        return (self._base_nonce ^ number).to_bytes(_NONCE_LENGTH, "big")


class SealingContext:
    """SetupBaseS: a sender's context. Safe to share between threads; of no use in a process forked from its own."""

    __slots__ = ("_keys", "_lock", "_next", "_process", "enc")

    def __init__(self, recipient: Recipient, info: bytes) -> None:
        """Agree on a new context with the holder of the recipient's private key. Raises SealedDataError."""
        ephemeral = Opener(recipient.suite, generate_private(recipient.suite))
        self.enc = ephemeral.public_octets()
        """What the receiver needs to make the same context."""
        self._keys = MessageKeys(recipient.suite, ephemeral.agree(recipient.public), self.enc, recipient.public, info)
        self._next = 0
        self._lock = threading.Lock()
        self._process = os.getpid()

    @property
    def count(self) -> int:
        """How many messages were sealed."""
        return self._next

    def seal(self, aad: bytes, plaintext: bytes) -> tuple[int, bytes]:
        """Seal the next message; return its sequence number and the ciphertext. Raises ValueError after a fork."""
        # A fork would use the same numbers, and so the same nonces, again.
        if self._process != os.getpid():
            raise ValueError("an HPKE context of another process")
        with self._lock:
            number = self._next
            self._next += 1
        return number, self._keys.seal(number, aad, plaintext)


def open_context(opener: Opener, info: bytes, untrusted_enc: bytes) -> MessageKeys:
    """SetupBaseR: return the context that a sender began with `untrusted_enc`. Raises SealedDataError.

    Another `enc` or `info` gives another context, in which nothing opens.
    """
    return MessageKeys(opener.suite, opener.agree(untrusted_enc), untrusted_enc, opener.public_octets(), info)


def _extract(suite_id: bytes, salt: bytes, label: bytes, octets: bytes) -> bytes:
    # RFC 9180 4, LabeledExtract; an empty salt is one of zeros (RFC 5869 2.2)
    return hmac.digest(salt or bytes(32), _VERSION + suite_id + label + octets, "sha256")


def _expand(suite_id: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    # RFC 9180 4, LabeledExpand; never more than one block here
    return hmac.digest(key, length.to_bytes(2, "big") + _VERSION + suite_id + label + info + b"\1", "sha256")[:length]
