"""Facts: all that a decision may depend on, gathered once per message and once per recipient.

Plain values only: no database, no clock (time is a fact), no message object is kept. Texts in here are untrusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from relay.core.address import domain_of
from relay.core.decision import Method
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.patterns import PatternSet
from relay.core.envelope import SessionInfo, Side
from relay.core.errors import AddressError
from relay.core.returns import read_return_token
from relay.policy.message_facts import MailboxFacts, MessageFacts
from relay.policy.senders import choose_pair_owner, is_foreign_mail, normalise_or_none

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
    route_limit: int | None = None
    """Octets of a mail that the route to the recipient takes, where it says so."""
    is_return: bool = False
    """A return address of our own mails (relay.core.returns)."""

    @property
    def domain(self) -> str:
        """The address's domain."""
        return domain_of(self.address)


def direction_of(facts: Facts, recipient: RecipientFacts) -> Direction:
    """Return which way the copy goes. Who handed the mail over decides, not what its header claims."""
    if facts.side is Side.OUTSIDE and not facts.is_system:
        return Direction.INBOUND if recipient.is_inside else Direction.TRANSIT
    return Direction.INTERNAL if recipient.is_inside else Direction.OUTBOUND


def _normal_addresses(mailboxes: Iterable[MailboxFacts]) -> tuple[str, ...]:
    found = (normalise_or_none(mailbox.address) for mailbox in mailboxes)
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _named_domains(headers: Mapping[str, tuple[str, ...]], own: frozenset[str]) -> list[str]:
    # Who sends a mail on stands behind it too (RFC 5322 3.6.6), and parts of From may be unreadable. Only "is one of
    # ours named" matters here, so the plain text is searched: too many hits protect too much, never too little.
    fields = ("from", "sender", "resent-from", "resent-sender")
    text = " ".join(value for name in fields for value in headers.get(name, ())).lower()
    return [f"named@{domain}" for domain in own if domain in text]


def gather_facts(
    message: MessageFacts,
    *,
    reverse_path: str,
    session: SessionInfo,
    organisation: Organisation,
    time_ms: int,
    keywords: Sequence[str] = (),
    login_addresses: Sequence[str] = (),
    received_count: int = 0,
    is_loop: bool = False,
    is_system: bool = False,
) -> Facts:
    """Gather one message's facts.

    `keywords` are the tokens found in the decoded subject by a table made of `organisation.keywords.tokens()`;
    `login_addresses` the addresses (or patterns) that the session's login may use; `is_system` is set by the pipeline
    for our own mails only. Never raises on what the message says.
    """
    own = organisation.domains.names()
    headers = message.decoded_headers()
    authors = _normal_addresses(message.authors)
    sender_field = message.sender
    sender = normalise_or_none(sender_field.address) if sender_field is not None else None
    envelope_sender = (normalise_or_none(reverse_path) or reverse_path.lower()) if reverse_path else ""
    is_complete = bool(authors) and len(authors) == len({box.address for box in message.authors})
    others = [address for address in (sender, envelope_sender) if address]
    others += _named_domains(headers, own)
    if sender_field is not None and sender is None:
        is_complete = False
    owner = choose_pair_owner(authors, sender, envelope_sender, own, organisation.policy.switches.pair_owner)
    login = session.login
    return Facts(
        side=session.side,
        listener=session.listener,
        client_ip=session.client_ip,
        login=login,
        login_addresses=tuple(login_addresses),
        delegated_authors=_delegated(organisation.domains, login_addresses) if login is not None else (),
        reverse_path=envelope_sender,
        authors=authors,
        sender=sender,
        is_from_readable=is_complete,
        is_foreign=login is None
        and session.side is not Side.SUBMISSION
        and is_foreign_mail(authors, others, own, are_authors_complete=is_complete),
        may_write_outside=_may_write(organisation.domains, authors, owner),
        is_reverse_path_own=bool(envelope_sender) and domain_of(envelope_sender) in own,
        pair_owner=owner,
        own_domain=domain_of(owner) if owner else "",
        keywords=tuple(keywords),
        headers=headers,
        named=frozenset(_normal_addresses((*message.to, *message.cc))),
        sensitivity=message.sensitivity,
        priority=message.importance,
        size=message.size,
        attachments=tuple(AttachmentFacts(a.name, a.media_type, a.estimated_size) for a in message.attachments()),
        auto_submitted=message.auto_submitted,
        is_auto_submitted=message.is_auto_submitted,
        is_encrypted=message.is_encrypted,
        is_signed=message.is_signed,
        is_list=message.is_list,
        is_mdn=message.is_mdn,
        is_dsn=message.is_dsn,
        is_invitation=message.is_invitation,
        is_system=is_system,
        received_count=received_count,
        is_loop=is_loop or received_count > organisation.limits.received_fields,
        time_ms=time_ms,
    )


def _may_write(domains: DomainsDocument, authors: Sequence[str], owner: str) -> bool:
    for address in authors or ((owner,) if owner else ()):
        own = domains.find(domain_of(address))
        if own is not None and not PatternSet(own.senders).matches(address):
            return False
    return True


def _delegated(domains: DomainsDocument, login_addresses: Sequence[str]) -> tuple[str, ...]:
    allowed = PatternSet(tuple(login_addresses))
    return tuple(p for one in domains.delegations if allowed.matches(one.delegate) for p in one.authors)


def gather_recipient(
    forward_path: str,
    *,
    organisation: Organisation,
    partner: PartnerFacts | None = None,
    possible: Iterable[Method] = (Method.PASS, Method.PDF),
    forwarded_from: Sequence[str] = (),
) -> RecipientFacts:
    """Gather one recipient's facts. `postmaster` without a domain is ours (RFC 5321 4.5.1).

    Raises AddressError when the forward-path is not an address; smtpd lets none of those in.
    """
    domains = organisation.domains
    if "@" not in forward_path:
        if forward_path.lower() != "postmaster" or not domains.domains:
            raise AddressError("a forward-path is local-part@domain, or postmaster (RFC 5321 4.5.1)")
        forward_path = domains.domains[0].postmaster_address()
    address = normalise_or_none(forward_path)
    if address is None:
        raise AddressError("the forward-path is not an address")
    is_inside = domain_of(address) in domains.names()
    route = None if is_inside else organisation.routes.find(address)
    return RecipientFacts(
        address=address,
        is_inside=is_inside,
        partner=partner or PartnerFacts(),
        possible=frozenset(possible),
        forwarded_from=tuple(forwarded_from),
        route_limit=route.size_limit if route is not None else None,
        is_return=is_inside and read_return_token(address) is not None,
    )
