"""Error of the sealed mailbox's formats: one code of sealed-mailbox 17 each.

The words are for our log and never for a reader.
"""

from __future__ import annotations

from relay.core.wire.errors import SealedDataError

CODES = frozenset(
    {
        "format",
        "version",
        "suite",
        "kdf",
        "size",
        "auth",
        "signature",
        "binding",
        "card",
        "generation",
        "unknown",
        "duplicate",
        "expired",
        "name",
    }
)
"""Those of sealed-mailbox 17, and `name` for a login name that has no normal form."""


class MailboxDataError(SealedDataError):
    """A capsule, card, manifest, item, chunk or name is refused; nothing of it was handed out.

    Final, unlike its base: what came from outside does not get better by waiting. Faults of keyd and the database are
    errors of their own and temporary.
    """

    temporary = False
    status = "5.7.0"

    def __init__(self, code: str, words: str) -> None:
        """`code` is one of CODES; `words` name no value."""
        if code not in CODES:
            raise ValueError("this code is not known")
        super().__init__(f"{words} ({code})")
        self.code = code
        self.words = words
