"""What a reader keeps for himself under the store key: drafts and sent items (sealed-mailbox 8, 10)."""

from __future__ import annotations

import os

from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed.gcm import open_gcm, seal_gcm
from relay.core.wire.sealed.jsontext import Random
from relay.core.wire.sealed.seed import SeedKeys

DRAFT = "draft"
SENT = "sent"


def _context(keys: SeedKeys, what: str, id_: str) -> bytes:
    if what not in (DRAFT, SENT):
        raise ValueError("only drafts and sent items are kept like this")
    return encode_pae("LL1/self", keys.portal, keys.box, keys.gen, what, id_)


def seal_self(keys: SeedKeys, what: str, id_: str, plaintext: bytes, random: Random = os.urandom) -> bytes:
    """Return the sealed octets; `what` is DRAFT or SENT."""
    return seal_gcm(keys.store, plaintext, _context(keys, what, id_), random)


def open_self(keys: SeedKeys, what: str, id_: str, untrusted_sealed: bytes) -> bytes:
    """Return the octets. Raises MailboxDataError with the code `auth`."""
    return open_gcm(keys.store, untrusted_sealed, _context(keys, what, id_))
