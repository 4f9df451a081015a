"""The software token's file: its keys, sealed under a key that Argon2id (RFC 9106) makes of the PIN.

The parameters stand in the file, bound by the AAD and held within bounds at reading. No I/O here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_b64, encode_b64, encode_pae
from relay.keystore.files import UnusableFileError

PIN_MEMORY_KIB = 65536
PIN_PASSES = 3

_FORMAT = 1
_LABEL = "letterlock/token-file"


class WrongPinError(UnusableFileError):
    """The PIN does not open the token's file; that it was changed would look the same."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key that seals small values. Its octets stay out of its repr."""

    key_id: str
    octets: bytes = field(repr=False)


def _pin_key(pin: bytes, salt: bytes, memory_kib: int, passes: int) -> AESGCM:
    return AESGCM(hash_secret_raw(pin, salt, passes, memory_kib, 1, 32, Type.ID))


def _token_aad(salt: bytes, memory_kib: int, passes: int) -> bytes:
    return encode_pae(_LABEL, _FORMAT, "argon2id", memory_kib, passes, salt)


def seal_token_file(
    pin: bytes, keys: list[TokenKey], epoch_key: bytes, mechanism: str, memory_kib: int = PIN_MEMORY_KIB
) -> bytes:
    """Return the octets of a token file. The last of `keys` is the one that seals."""
    salt, nonce = os.urandom(16), os.urandom(12)
    body = {
        "keys": [{"id": key.key_id, "mechanism": mechanism, "key": encode_b64(key.octets)} for key in keys],
        "epoch_key": encode_b64(epoch_key),
    }
    sealed = _pin_key(pin, salt, memory_kib, PIN_PASSES).encrypt(
        nonce, json.dumps(body).encode("ascii"), _token_aad(salt, memory_kib, PIN_PASSES)
    )
    document = {
        "v": _FORMAT,
        "kdf": "argon2id",
        "memory_kib": memory_kib,
        "passes": PIN_PASSES,
        "salt": encode_b64(salt),
        "sealed": encode_b64(nonce + sealed),
    }
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def open_token_file(pin: bytes, untrusted_octets: bytes, path: Path) -> tuple[list[TokenKey], bytes]:
    """Return the keys and the key of the epoch files. Raises UnusableFileError; `path` is for its words only."""
    try:
        document = json.loads(untrusted_octets)
        memory_kib, passes = document["memory_kib"], document["passes"]
        salt, sealed = decode_b64(document["salt"]), decode_b64(document["sealed"])
        if document["v"] != _FORMAT or document["kdf"] != "argon2id":
            raise EncodingError("unknown format")
        # Bounds, so that a changed file can neither weaken the derivation to nothing nor eat the host's memory.
        if (
            type(memory_kib) is not int
            or type(passes) is not int
            or not (8 <= memory_kib <= 2**20 and 1 <= passes <= 16)
            or len(salt) != 16
        ):
            raise EncodingError("derivation out of bounds")
    except (ValueError, KeyError, TypeError, RecursionError, EncodingError) as error:
        raise UnusableFileError(f"{path}: is not a token file") from error
    try:
        body = json.loads(
            _pin_key(pin, salt, memory_kib, passes).decrypt(
                sealed[:12], sealed[12:], _token_aad(salt, memory_kib, passes)
            )
        )
        keys = [TokenKey(entry["id"], decode_b64(entry["key"])) for entry in body["keys"]]
        epoch_key = decode_b64(body["epoch_key"])
    except InvalidTag as error:
        raise WrongPinError(f"{path}: the PIN is not the token's, or the file was changed") from error
    except (ValueError, KeyError, TypeError, EncodingError) as error:
        raise UnusableFileError(f"{path}: is damaged") from error
    if not keys or len(epoch_key) != 32 or any(len(key.octets) != 32 for key in keys):
        raise UnusableFileError(f"{path}: holds no usable key")
    return keys, epoch_key
