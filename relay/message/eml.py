"""The text of a mail as a small message of its own, to be embedded in the PDF as `message.eml`.

Text parts and shown header fields only: no Received, no X-, no attachments (they are embedded beside it), no Bcc.
"""

from __future__ import annotations

from relay.message.parse import ParsedMessage


def message_eml(parsed: ParsedMessage, subject: str | None = None) -> bytes:
    """Return From, Sender, Reply-To, To, Cc, Date, Subject, Message-ID, In-Reply-To, References and the shown text.

    `subject` replaces the original's (keywords stripped). UTF-8 throughout.
    """
    raise NotImplementedError


def full_message_eml(parsed: ParsedMessage, subject: str | None = None) -> bytes:
    """Return the same with text parts of any length and the inline pictures, for a PDF that cannot show the body."""
    raise NotImplementedError
