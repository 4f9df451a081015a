"""Mailboxes in header fields (RFC 5322 3.4), read leniently for display and for policy facts; written strictly.

Encoded-words are decoded after the structure is known (RFC 2047 5 (3)), so that no encoded `<` moves an address.
This is never the envelope's grammar: that is relay.core.address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (decoded, may be empty) and an address as written."""

    name: str
    address: str

    def __str__(self) -> str:
        """Return `Name <address>` for display, not for the wire."""
        return f"{self.name} <{self.address}>" if self.name else self.address


def parse_mailboxes(untrusted_value: bytes, limit: int = 5_000) -> tuple[Mailbox, ...]:
    """Return the mailboxes of an address list, groups flattened, at most `limit`. Never raises; junk is left out."""
    raise NotImplementedError


def format_mailboxes(name: str, mailboxes: Iterable[Mailbox]) -> bytes:
    """Return a complete, folded address field with CRLF (RFC 5322 3.4, names as RFC 2047 words where needed)."""
    raise NotImplementedError
