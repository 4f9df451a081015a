"""Who wrote it? `sender` (the authors), `sender_domain`, `sender_field`, `reverse_path`, `login` (B1, B2).

Which address is the sender is said in relay.policy.senders. `reverse_path` with the pattern `<>` asks for the null one.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.address import domain_of
from relay.core.documents.patterns import (
    PatternSet,
    read_address_pattern,
    read_domain_pattern,
    read_text_pattern,
)
from relay.core.documents.reading import DocumentError, check_items
from relay.policy.facts import Facts, RecipientFacts
from relay.policy.rules.condition import judge, list_words


@dataclass(frozen=True, slots=True)
class SenderIs:
    """An author fits a pattern."""

    patterns: PatternSet

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the authors, or the reverse-path when there is none. An unreadable From is never sure."""
        if strict and facts.authors and not facts.is_from_readable:
            return False
        return judge(facts.policy_senders, self.patterns, strict)

    def describe(self) -> str:
        """Return the words."""
        return f"the sender is {list_words(self.patterns.patterns)}"


@dataclass(frozen=True, slots=True)
class SenderDomainIs:
    """An author's domain fits a pattern."""

    patterns: PatternSet

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the authors' domains."""
        if strict and facts.authors and not facts.is_from_readable:
            return False
        return judge((domain_of(address) for address in facts.policy_senders), self.patterns, strict)

    def describe(self) -> str:
        """Return the words."""
        return f"the sender's domain is {list_words(self.patterns.patterns)}"


@dataclass(frozen=True, slots=True)
class SenderFieldIs:
    """The Sender field (who sends for the author) fits a pattern."""

    patterns: PatternSet

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer; no such field never fits."""
        return facts.sender is not None and self.patterns.matches(facts.sender)

    def describe(self) -> str:
        """Return the words."""
        return f"the Sender field is {list_words(self.patterns.patterns)}"


@dataclass(frozen=True, slots=True)
class ReversePathIs:
    """MAIL FROM fits a pattern, or is the null reverse-path."""

    patterns: PatternSet
    null: bool

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the envelope."""
        if not facts.reverse_path:
            return self.null
        return self.patterns.matches(facts.reverse_path)

    def describe(self) -> str:
        """Return the words."""
        return f"the reverse-path is {list_words((*self.patterns.patterns, *(('<>',) if self.null else ())))}"


@dataclass(frozen=True, slots=True)
class LoginIs:
    """The client logged in under a name that fits."""

    patterns: PatternSet

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer; no login never fits."""
        return facts.login is not None and self.patterns.matches(facts.login.casefold())

    def describe(self) -> str:
        """Return the words."""
        return f"the login is {list_words(self.patterns.patterns)}"


def require_some(patterns: tuple[str, ...], path: str) -> PatternSet:
    """Return the set. Raises DocumentError when it is empty: it would never fit, which is surely not meant."""
    if not patterns:
        raise DocumentError(path, "is empty", "Name at least one pattern")
    return PatternSet(patterns)


def read_sender(untrusted_value: object, path: str) -> SenderIs:
    """Read `{"sender": ["*@bank.example"]}`."""
    return SenderIs(require_some(check_items(untrusted_value, path, read_address_pattern), path))


def read_sender_domain(untrusted_value: object, path: str) -> SenderDomainIs:
    """Read `{"sender_domain": ["bank.example"]}`."""
    return SenderDomainIs(require_some(check_items(untrusted_value, path, read_domain_pattern), path))


def read_sender_field(untrusted_value: object, path: str) -> SenderFieldIs:
    """Read `{"sender_field": ["*@bank.example"]}`."""
    return SenderFieldIs(require_some(check_items(untrusted_value, path, read_address_pattern), path))


def read_reverse_path(untrusted_value: object, path: str) -> ReversePathIs:
    """Read `{"reverse_path": ["*@bank.example", "<>"]}`."""
    values = check_items(untrusted_value, path, lambda value, _: value)
    if not values:
        raise DocumentError(path, "is empty", "Name at least one pattern")
    patterns = tuple(read_address_pattern(v, f"{path}[{i}]") for i, v in enumerate(values) if v != "<>")
    return ReversePathIs(PatternSet(patterns), "<>" in values)


def read_login(untrusted_value: object, path: str) -> LoginIs:
    """Read `{"login": ["erp-*"]}`."""
    return LoginIs(require_some(check_items(untrusted_value, path, read_text_pattern), path))
