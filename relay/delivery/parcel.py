"""What is handed to the SMTP client: an envelope, approved copies, and content that can be read again.

A Parcel cannot be made without an approval for every copy, for exactly its message and variant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from relay.core.approval import Approval, ApprovalError, check_approval
from relay.core.envelope import BodyType
from relay.core.ports import ContentSource


@dataclass(frozen=True, slots=True)
class ParcelCopy:
    """One recipient's copy with what lets it leave. `notify` and `orcpt` as in core.envelope.Recipient."""

    copy_id: str
    forward_path: str
    approval: Approval
    notify: frozenset[str] | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """One variant of a message for one or more recipients. Raises ApprovalError when a copy is not approved for it."""

    message_id: str
    variant: int
    reverse_path: str
    copies: tuple[ParcelCopy, ...]
    content: ContentSource
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    requiretls: bool = False
    dsn_ret: str | None = None
    dsn_envid: str | None = None

    def __post_init__(self) -> None:
        if not self.copies:
            raise ApprovalError("a parcel needs at least one copy")
        self.check()

    def check(self) -> None:
        """Check every copy's approval again. Raises ApprovalError."""
        for copy in self.copies:
            check_approval(copy.approval, self.message_id, self.variant)

    def only(self, copies: tuple[ParcelCopy, ...]) -> Parcel:
        """Return the same parcel for some of its copies."""
        return replace(self, copies=copies)
