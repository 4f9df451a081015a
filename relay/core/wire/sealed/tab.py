"""Seeds kept for the length of a visit: the browser's tab (sealed-mailbox 10) and server mode's session row (13)."""

from __future__ import annotations

import os

from relay.core.wire.pae import encode_pae
from relay.core.wire.sealed.gcm import derive, open_gcm, seal_gcm
from relay.core.wire.sealed.jsontext import Random


def seal_tab(
    server: bytes, local: bytes, seed: bytes, *, portal: str, box: str, gen: int, random: Random = os.urandom
) -> bytes:
    """Return what the tab keeps: the seed under the key of the server's half and the tab's."""
    return seal_gcm(
        derive(server + local, "LL1/tab", portal, box), seed, encode_pae("LL1/tab", portal, box, gen), random
    )


def open_tab(server: bytes, local: bytes, untrusted_blob: bytes, *, portal: str, box: str, gen: int) -> bytes:
    """Return the seed. Raises MailboxDataError with the code `auth`."""
    return open_gcm(
        derive(server + local, "LL1/tab", portal, box), untrusted_blob, encode_pae("LL1/tab", portal, box, gen)
    )


def seal_simple(
    cookie: bytes, row_key: bytes, seed: bytes, *, portal: str, box: str, gen: int, random: Random = os.urandom
) -> bytes:
    """Return what server mode keeps in the session row: the seed under cookie secret and row key."""
    label = ("LL1/simple", portal, box, gen)
    return seal_gcm(derive(cookie + row_key, *label), seed, encode_pae(*label), random)


def open_simple(cookie: bytes, row_key: bytes, untrusted_blob: bytes, *, portal: str, box: str, gen: int) -> bytes:
    """Return the seed of a server mode session. Raises MailboxDataError with the code `auth`."""
    label = ("LL1/simple", portal, box, gen)
    return open_gcm(derive(cookie + row_key, *label), untrusted_blob, encode_pae(*label))
