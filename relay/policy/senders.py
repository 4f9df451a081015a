"""Which address is "the sender" (docs/policy.md, section 1; RFC 5322 3.6.2, RFC 5321 4.5.5).

- For policy: the authors, that is every mailbox of From. Only when From cannot be read, the reverse-path.
- For pair and notice: one own address, the author (or Sender, by switch). It is the same address for both, so that
  nobody is ever told the password of another person's pair.
- Foreign: every address that names a sender is of somebody else's domain. Sloppy inside names are never foreign.

Must not trust: header addresses are what a client wrote. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.core.address import domain_of, normalise_address
from relay.core.documents.policy import PairOwner
from relay.core.errors import AddressError

# RFC 6761, RFC 6762, RFC 8375, RFC 9476 and habits: names that no foreign organisation can have.
_INSIDE_NAMES = frozenset(
    {"local", "localhost", "localdomain", "lan", "internal", "intranet", "corp", "home", "private", "invalid", "arpa"}
)


def normalise_or_none(untrusted_text: str) -> str | None:
    """Return the normal form of an address, or None when it is not one."""
    try:
        return normalise_address(untrusted_text)
    except AddressError:
        return None


def is_ours(domain: str, own_domains: frozenset[str]) -> bool:
    """Tell whether a domain is own, below an own domain, or one that nobody else can have (no dot, literal, .local)."""
    if domain in own_domains or domain.startswith("[") or "." not in domain:
        return True
    if domain.rpartition(".")[2] in _INSIDE_NAMES:
        return True
    return any(domain.endswith("." + own) for own in own_domains)


def is_foreign_mail(
    authors: Sequence[str], others: Iterable[str], own_domains: frozenset[str], *, are_authors_complete: bool
) -> bool:
    """Tell whether nobody of ours stands behind the mail (A10).

    `others` are the Sender, Resent and reverse-path addresses that are there. Doubt means ours: a From that could not
    be read completely is not foreign.
    """
    if not authors or not are_authors_complete:
        return False
    return not any(is_ours(domain_of(address), own_domains) for address in (*authors, *others))


def choose_pair_owner(
    authors: Sequence[str], sender: str | None, reverse_path: str, own_domains: frozenset[str], switch: PairOwner
) -> str:
    """Return the own address whose pair password protects the mail and who is told it, or "" when there is none.

    As shipped the author: of several own authors the one whom Sender names, else the first. A delegate (Sender differs
    from From) writes with the author's pair, unless the switch says `sender`. The reverse-path counts only when nobody
    could be read from the header: it is often a robot.
    """
    own = [address for address in authors if domain_of(address) in own_domains]
    own_sender = sender if sender is not None and domain_of(sender) in own_domains else None
    if switch is PairOwner.SENDER and own_sender is not None:
        return own_sender
    if own:
        return own_sender if own_sender is not None and own_sender in own else own[0]
    if own_sender is not None:
        return own_sender
    if not authors and reverse_path and domain_of(reverse_path) in own_domains:
        return reverse_path
    return ""
