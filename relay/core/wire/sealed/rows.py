"""Rows of the portal at rest: gcm under HKDF of pepper || row key (sealed-mailbox 2, 14).

Without the row key a row stays shut, in back-ups too; without the pepper, which is in no database, all do.
"""

from __future__ import annotations

import os

from relay.core.wire.sealed.gcm import KEY_LENGTH, derive, open_gcm, seal_gcm
from relay.core.wire.sealed.jsontext import Random


def _row_key(pepper: bytes, row_key: bytes, table: str, box: str, id_: str) -> bytes:
    if len(pepper) != KEY_LENGTH or len(row_key) != KEY_LENGTH:
        raise ValueError("pepper and row key have 32 octets each")
    return derive(pepper + row_key, "LL1/row", table, box, id_)


def seal_row(
    pepper: bytes, row_key: bytes, plaintext: bytes, *, table: str, box: str, id_: str, random: Random = os.urandom
) -> bytes:
    """Return the row's sealed octets. Raises ValueError unless pepper and row key have 32 octets."""
    return seal_gcm(_row_key(pepper, row_key, table, box, id_), plaintext, b"", random)


def open_row(pepper: bytes, row_key: bytes, untrusted_sealed: bytes, *, table: str, box: str, id_: str) -> bytes:
    """Return the row's octets. Raises MailboxDataError with the code `auth`."""
    return open_gcm(_row_key(pepper, row_key, table, box, id_), untrusted_sealed, b"")
