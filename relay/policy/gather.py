"""Gather the facts from a message, its envelope and session, and the organisation. Values in, values out.

No database, no clock: what must be looked up (partner, possible methods, the login's addresses) is handed in. Never
raises on what a message says; header addresses that cannot be read make a mail ours, not foreign.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from relay.core.address import domain_of
from relay.core.decision import Method
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.patterns import PatternSet
from relay.core.envelope import SessionInfo, Side
from relay.core.errors import AddressError
from relay.policy.facts import AttachmentFacts, Facts, PartnerFacts, RecipientFacts
from relay.policy.message_facts import MailboxFacts, MessageFacts
from relay.policy.senders import choose_pair_owner, is_foreign_mail, normalise_or_none


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
    return RecipientFacts(
        address=address,
        is_inside=domain_of(address) in domains.names(),
        partner=partner or PartnerFacts(),
        possible=frozenset(possible),
        forwarded_from=tuple(forwarded_from),
    )
