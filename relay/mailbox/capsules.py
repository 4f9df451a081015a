"""Capsules at rest: AES-256-GCM under a key of their own, which keyd seals (sealed-mailbox 2).

A capsule holds `pw` and `av`: with a stolen database alone nobody shall guess passwords. Two steps, because keyd seals
small values and a capsule may have 128 KiB.

One damaged capsule is told apart from a keyd that is away: the first stays so, and a reset goes on without it.
"""

from __future__ import annotations

import hashlib
import os

from relay.core.errors import GrantRefusedError, KeyDestroyedError, KeyStoreError
from relay.core.ports import Grant, KeyStore, SealedBlob
from relay.core.wire.contexts import mailbox_capsule_context
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import MailboxDataError
from relay.core.wire.sealed.gcm import KEY_LENGTH, open_gcm, seal_gcm
from relay.store.repositories.mailbox_generations import Generation


def hash_capsule(capsule: bytes) -> str:
    """Return the SHA-256, b64, that the link API compares."""
    return encode_b64(hashlib.sha256(capsule).digest())


def close_capsule(keystore: KeyStore, tenant: str, box: str, gen: int, capsule: bytes) -> tuple[bytes, SealedBlob]:
    """Return the capsule as it is stored, and its sealed key. Raises KeyStoreError."""
    context = mailbox_capsule_context(tenant, box, gen)
    key = os.urandom(KEY_LENGTH)
    return seal_gcm(key, capsule, context), keystore.seal(context, key)


def open_stored_capsule(keystore: KeyStore, stored: Generation, grant: Grant) -> bytes:
    """Return a capsule's exact octets. Raises KeyStoreError, GrantRefusedError, CapsuleGoneError."""
    if stored.capsule is None:
        raise CapsuleGoneError(f"mailbox {stored.box}: generation {stored.gen} was destroyed")
    context = mailbox_capsule_context(stored.tenant, stored.box, stored.gen)
    key = _open_key(keystore, stored, context, grant)
    try:
        capsule = open_gcm(key, stored.capsule, context)
    except MailboxDataError as error:
        raise CapsuleGoneError(f"mailbox {stored.box}: generation {stored.gen} is damaged") from error
    if hash_capsule(capsule) != stored.capsule_sha:
        raise CapsuleGoneError(f"mailbox {stored.box}: generation {stored.gen} is damaged")
    return capsule


def _open_key(keystore: KeyStore, stored: Generation, context: bytes, grant: Grant) -> bytes:
    try:
        return keystore.open(context, stored.key, grant)
    except KeyDestroyedError as error:
        raise CapsuleGoneError(f"mailbox {stored.box}: generation {stored.gen} lost its key") from error
    except GrantRefusedError:
        raise
    except KeyStoreError:
        # Away, or this one key is damaged? What was sealed a moment ago opens in the second case alone.
        probe = os.urandom(KEY_LENGTH)
        if keystore.open(context, keystore.seal(context, probe), grant) != probe:
            raise
    try:
        return keystore.open(context, stored.key, grant)
    except KeyStoreError as error:
        raise CapsuleGoneError(f"mailbox {stored.box}: generation {stored.gen} has a damaged key") from error


class CapsuleGoneError(KeyStoreError):
    """The stored capsule was destroyed or is damaged; waiting does not bring it back."""

    temporary = False
    status = "5.7.0"
