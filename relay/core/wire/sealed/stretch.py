"""Password to keys: Argon2id (RFC 9106), then `auth`, `kek` and `av` (sealed-mailbox 2, 4, 4.1).

The salt comes from the portal's id and `who` (the login name of a mailbox, the box id of a reply box); the parameters
stand here and come from no server. The browser and whoever makes a first or PDF password run this; the portal knows
`check_value` and `login_id` alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from argon2.low_level import Type, hash_secret_raw

from relay.core.wire.pae import encode_b64, encode_pae
from relay.core.wire.sealed.errors import MailboxDataError
from relay.core.wire.sealed.gcm import derive

KDF_MAILBOX = 1
KDF_REPLY = 2
KDF_OF_KIND = {"mailbox": KDF_MAILBOX, "reply": KDF_REPLY}
"""The one key derivation of each kind of box; another is refused."""

_PARAMETERS = {KDF_MAILBOX: (65536, 3), KDF_REPLY: (8192, 1)}


@dataclass(frozen=True, slots=True)
class Stretched:
    """What a password gives: `auth` is sent at login, `kek` wraps the seed, `av` is what the capsule keeps."""

    auth: bytes = field(repr=False)
    kek: bytes = field(repr=False)
    av: bytes = field(repr=False)


def salt_of(portal: str, who: str) -> bytes:
    """Return the 16 octets of salt."""
    return hashlib.sha256(encode_pae("LL1/salt", portal, who)).digest()[:16]


def login_id(portal: str, who: str) -> str:
    """Return what the portal knows a login name by."""
    return encode_b64(hashlib.sha256(encode_pae("LL1/login", portal, who)).digest())


def check_value(auth: bytes) -> bytes:
    """Return `av` of `auth`; the portal compares it in constant time with the capsule's."""
    return hashlib.sha256(encode_pae("LL1/av", auth)).digest()


def stretch(portal: str, who: str, kdf: int, secret: bytes) -> Stretched:
    """Run Argon2id; 64 MiB and about 0.14 s for mailboxes, 8 MiB and 4 ms for reply boxes.

    Raises MailboxDataError with the code `kdf`.
    """
    if kdf not in _PARAMETERS:
        raise MailboxDataError("kdf", "the key derivation is not known")
    memory_kib, passes = _PARAMETERS[kdf]
    master = hash_secret_raw(secret, salt_of(portal, who), passes, memory_kib, 1, 32, Type.ID)
    auth = derive(master, "LL1/auth")
    return Stretched(auth, derive(master, "LL1/kek"), check_value(auth))
