"""Port: what policy asks of a message. relay.message.parse.ParsedMessage satisfies it; nothing here imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class MailboxFacts(Protocol):
    """A mailbox of a header field."""

    @property
    def address(self) -> str:
        """The address as written."""
        ...


class FileFacts(Protocol):
    """An attachment."""

    @property
    def name(self) -> str:
        """The decoded name."""
        ...

    @property
    def media_type(self) -> str:
        """The lower-case media type."""
        ...

    @property
    def estimated_size(self) -> int:
        """Octets of the decoded content, about."""
        ...


class MessageFacts(Protocol):
    """What policy asks of a message; relay.message.parse.ParsedMessage satisfies it."""

    def decoded_headers(self) -> Mapping[str, tuple[str, ...]]:
        """Every field, decoded, by lower-case name."""
        ...

    @property
    def size(self) -> int:
        """Octets of the whole message."""
        ...

    @property
    def authors(self) -> Sequence[MailboxFacts]:
        """All mailboxes of From."""
        ...

    @property
    def sender(self) -> MailboxFacts | None:
        """The Sender field's mailbox."""
        ...

    @property
    def to(self) -> Sequence[MailboxFacts]:
        """The mailboxes of To."""
        ...

    @property
    def cc(self) -> Sequence[MailboxFacts]:
        """The mailboxes of Cc."""
        ...

    @property
    def auto_submitted(self) -> str | None:
        """The keyword of Auto-Submitted, lower case."""
        ...

    @property
    def sensitivity(self) -> str | None:
        """The lower-case word of Sensitivity."""
        ...

    @property
    def importance(self) -> str:
        """`high`, `normal` or `low`."""
        ...

    @property
    def is_auto_submitted(self) -> bool:
        """Whether a program sent it."""
        ...

    @property
    def is_list(self) -> bool:
        """Whether a mailing list distributed it."""
        ...

    @property
    def is_mdn(self) -> bool:
        """Whether it is a disposition notification."""
        ...

    @property
    def is_dsn(self) -> bool:
        """Whether it is a delivery status notification."""
        ...

    @property
    def is_invitation(self) -> bool:
        """Whether it is a calendar message."""
        ...

    @property
    def is_encrypted(self) -> bool:
        """Whether the client encrypted it."""
        ...

    @property
    def is_signed(self) -> bool:
        """Whether the client signed it."""
        ...

    def attachments(self) -> Sequence[FileFacts]:
        """All files."""
        ...
