"""Return addresses: the reverse-path of our own mails to partners, so that the relay itself reads what bounces.

`letterlock-return+TOKEN@DOMAIN`, TOKEN = 16 random octets in lower-case base32 (RFC 4648 6), because servers on the way
may change the case of a local part, though RFC 5321 2.4 forbids it. A token says nothing by itself; the table
`return_path` knows which mail it belongs to. Pure, no I/O.
"""

from __future__ import annotations

import base64
import os
import re

_PREFIX = "letterlock-return+"
_ADDRESS = re.compile(re.escape(_PREFIX) + r"([a-z2-7]{26})@[^@]+", re.IGNORECASE)


def new_return_token() -> str:
    """Return a new token, 128 random bits in 26 characters."""
    return base64.b32encode(os.urandom(16)).decode("ascii").rstrip("=").lower()


def make_return_address(token: str, domain: str) -> str:
    """Return the reverse-path for a token under an own domain, which must be one that reaches the relay."""
    return f"{_PREFIX}{token}@{domain}"


def read_return_token(untrusted_address: str) -> str | None:
    """Return the token of a return address, or None for any other address."""
    found = _ADDRESS.fullmatch(untrusted_address)
    return found[1].lower() if found else None
