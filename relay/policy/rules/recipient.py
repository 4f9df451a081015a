"""Who gets it? `recipient`, `recipient_domain`, and what is possible for it: `possible` (B1, B3)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.decision import Method
from relay.core.documents.patterns import PatternSet, read_address_pattern, read_domain_pattern
from relay.core.documents.reading import DocumentError, check_choice, check_items
from relay.policy.facts import Facts, RecipientFacts
from relay.policy.rules.condition import list_words
from relay.policy.rules.sender import require_some


@dataclass(frozen=True, slots=True)
class RecipientIs:
    """The recipient's address fits a pattern."""

    patterns: PatternSet

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for this copy's recipient alone."""
        return self.patterns.matches(recipient.address)

    def describe(self) -> str:
        """Return the words."""
        return f"the recipient is {list_words(self.patterns.patterns)}"


@dataclass(frozen=True, slots=True)
class RecipientDomainIs:
    """The recipient's domain fits a pattern."""

    patterns: PatternSet

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for this copy's recipient alone."""
        return self.patterns.matches(recipient.domain)

    def describe(self) -> str:
        """Return the words."""
        return f"the recipient's domain is {list_words(self.patterns.patterns)}"


@dataclass(frozen=True, slots=True)
class IsPossible:
    """One of the methods is possible for the recipient now."""

    methods: frozenset[Method]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer from what is known of the recipient."""
        return not self.methods.isdisjoint(recipient.possible)

    def describe(self) -> str:
        """Return the words."""
        return f"possible for the recipient is {list_words(sorted(self.methods))}"


def read_recipient(untrusted_value: object, path: str) -> RecipientIs:
    """Read `{"recipient": ["*@partner.example"]}`."""
    return RecipientIs(require_some(check_items(untrusted_value, path, read_address_pattern), path))


def read_recipient_domain(untrusted_value: object, path: str) -> RecipientDomainIs:
    """Read `{"recipient_domain": ["*.partner.example"]}`."""
    return RecipientDomainIs(require_some(check_items(untrusted_value, path, read_domain_pattern), path))


def read_possible(untrusted_value: object, path: str) -> IsPossible:
    """Read `{"possible": ["smime"]}`."""
    methods = check_items(untrusted_value, path, lambda value, at: check_choice(value, at, Method))
    if not methods:
        raise DocumentError(path, "is empty", "Name at least one method")
    return IsPossible(frozenset(methods))
