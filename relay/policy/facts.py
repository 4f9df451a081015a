"""Facts: all that a decision may depend on, gathered once per message and once per recipient.

Plain values only: no database, no clock (time is a fact), no message object is kept. Texts in here are untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from relay.core.address import domain_of
from relay.core.decision import Method
from relay.core.envelope import Side

AUTO_REPLY_LIMIT = 64 * 1024
"""Octets up to which an automatic answer counts as one; larger ones are ordinary mail."""


class MailKind(StrEnum):
    """What sort of mail it is, by structure and envelope."""

    ORDINARY = "ordinary"
    DSN = "dsn"
    """Delivery status notification with a null reverse-path (RFC 3464 2)."""
    MDN = "mdn"
    """Disposition notification with a null reverse-path (RFC 8098 3)."""
    AUTO_REPLY = "auto-reply"
    """Out of office and the like: short, without attachments (RFC 3834)."""
    ENCRYPTED = "encrypted"
    """Encrypted by the writer's client."""
    INVITATION = "invitation"
    LIST = "list"


class Direction(StrEnum):
    """Which way a copy goes."""

    OUTBOUND = "outbound"
    """From the inside to the outside: what protection is about."""
    INBOUND = "inbound"
    INTERNAL = "internal"
    TRANSIT = "transit"
    """From the outside to the outside: never on its own, only by a rule's forward."""


@dataclass(frozen=True, slots=True)
class AttachmentFacts:
    """One file: its name (untrusted, never logged), media type and octets, about."""

    name: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Facts:
    """One message's facts. Addresses are in normal form; the null reverse-path is the empty text."""

    side: Side
    listener: str = ""
    client_ip: str = ""
    login: str | None = None
    login_addresses: tuple[str, ...] = ()
    """Patterns of addresses that the login may use."""
    delegated_authors: tuple[str, ...] = ()
    """Patterns of addresses in whose name the login may write."""
    reverse_path: str = ""
    authors: tuple[str, ...] = ()
    sender: str | None = None
    is_from_readable: bool = True
    """False when From is missing or some of it could not be read."""
    is_foreign: bool = False
    """Nobody of ours stands behind it; see relay.policy.senders."""
    may_write_outside: bool = True
    """The own domain's list of senders allows this author."""
    is_reverse_path_own: bool = False
    pair_owner: str = ""
    """Own address whose pair password protects and who is told it; empty when there is none."""
    own_domain: str = ""
    """The pair owner's domain."""
    keywords: tuple[str, ...] = ()
    """Tokens found in the subject, as the keyword table spells them, in order."""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Decoded values by lower-case name."""
    named: frozenset[str] = frozenset()
    """Addresses of To and Cc."""
    sensitivity: str | None = None
    priority: str = "normal"
    size: int = 0
    attachments: tuple[AttachmentFacts, ...] = ()
    auto_submitted: str | None = None
    is_auto_submitted: bool = False
    is_encrypted: bool = False
    is_signed: bool = False
    is_list: bool = False
    is_mdn: bool = False
    is_dsn: bool = False
    is_invitation: bool = False
    is_system: bool = False
    """One of our own mails: notice, DSN, alert."""
    received_count: int = 0
    is_loop: bool = False
    time_ms: int = 0

    @property
    def attachments_size(self) -> int:
        """Octets of all files together, about."""
        return sum(one.size for one in self.attachments)

    @property
    def policy_senders(self) -> tuple[str, ...]:
        """The addresses that sender conditions look at: the authors, else the reverse-path."""
        if self.authors:
            return self.authors
        return (self.reverse_path,) if self.reverse_path else ()

    @property
    def kind(self) -> MailKind:
        """What sort of mail it is. The null reverse-path is part of what makes a DSN or MDN (RFC 5321 4.5.5)."""
        if not self.reverse_path and self.is_dsn:
            return MailKind.DSN
        if not self.reverse_path and self.is_mdn:
            return MailKind.MDN
        word = self.auto_submitted
        is_answer = word == "auto-replied" or (not self.reverse_path and word not in (None, "no"))
        # A reply robot that sends files or much text is no out-of-office note.
        if is_answer and not self.attachments and self.size <= AUTO_REPLY_LIMIT and not self.is_encrypted:
            return MailKind.AUTO_REPLY
        if self.is_encrypted:
            return MailKind.ENCRYPTED
        if self.is_invitation:
            return MailKind.INVITATION
        return MailKind.LIST if self.is_list else MailKind.ORDINARY


@dataclass(frozen=True, slots=True)
class PartnerFacts:
    """What is set for a partner; None or empty means nothing."""

    cipher: str | None = None
    size_limit: int | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """One recipient's facts."""

    address: str
    """Normal form."""
    is_inside: bool
    partner: PartnerFacts = PartnerFacts()
    possible: frozenset[Method] = frozenset({Method.PASS, Method.PDF})
    """Methods that are possible for this recipient now: a certificate is known, and so on."""
    forwarded_from: tuple[str, ...] = ()
    """Recipients that a rule's forward went through before, first one first."""

    @property
    def domain(self) -> str:
        """The address's domain."""
        return domain_of(self.address)


def direction_of(facts: Facts, recipient: RecipientFacts) -> Direction:
    """Return which way the copy goes. Who handed the mail over decides, not what its header claims."""
    if facts.side is Side.OUTSIDE and not facts.is_system:
        return Direction.INBOUND if recipient.is_inside else Direction.TRANSIT
    return Direction.INTERNAL if recipient.is_inside else Direction.OUTBOUND
