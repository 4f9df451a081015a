"""Many mail keys in one call: what a worker asks keyd for when it claims several messages at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.core.errors import KeyStoreError
from relay.core.ports import Grant, KeyStore, WrappedMailKey
from relay.core.ports_mailbox import MailboxKeys

MAX_BATCH = 256
"""Requests that travel in one frame; a longer list is cut into several."""


@dataclass(frozen=True, slots=True)
class MailKeyRequest:
    """One mail key to open."""

    message_id: str
    wrapped: WrappedMailKey
    grant: Grant


class BatchKeyStore(KeyStore, Protocol):
    """A key store that opens many mail keys at once."""

    def open_mail_keys(self, requests: Sequence[MailKeyRequest]) -> list[bytes | KeyStoreError]:
        """Return a key or the error for each request, in order: one mail's trouble stops no other.

        Raises KeyStoreError only when the store as a whole cannot be asked.
        """
        ...


class TokenStore(BatchKeyStore, MailboxKeys, Protocol):
    """All that a token offers: what keyd serves, and what its client gives on."""
