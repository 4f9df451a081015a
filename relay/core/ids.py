"""Unguessable identifiers: 16 random octets as 22 characters base64url without padding (sealed-mailbox 3)."""

from __future__ import annotations

import base64
import os

ID_LENGTH = 22
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def new_id() -> str:
    """Return a new id of 16 random octets, 22 characters, the first no hyphen.

    A person types ids at a terminal, where a word that begins with a hyphen is an option. One draw of 64 is lost.
    """
    while (text := base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode("ascii")).startswith("-"):
        continue
    return text


def is_id(untrusted_text: str) -> bool:
    """Tell whether the text is the one spelling of an id that re-encodes to itself."""
    if len(untrusted_text) != ID_LENGTH or not _ALPHABET.issuperset(untrusted_text):
        return False
    raw = base64.urlsafe_b64decode(untrusted_text + "==")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") == untrusted_text
