"""What sort of mail is it? `kind`, and the single facts `encrypted`, `signed`, `automatic` (B1)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.documents.reading import DocumentError, check_choice, check_items
from relay.policy.facts import Facts, MailKind, RecipientFacts
from relay.policy.rules.condition import list_words


@dataclass(frozen=True, slots=True)
class KindIs:
    """The mail is of one of these kinds."""

    kinds: frozenset[MailKind]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the message."""
        return facts.kind in self.kinds

    def describe(self) -> str:
        """Return the words."""
        return f"the kind of mail is {list_words(sorted(self.kinds))}"


@dataclass(frozen=True, slots=True)
class EncryptedIs:
    """The writer's client encrypted it, or did not."""

    wanted: bool

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the message."""
        return facts.is_encrypted is self.wanted

    def describe(self) -> str:
        """Return the words."""
        return "it is encrypted already" if self.wanted else "it is not encrypted"


@dataclass(frozen=True, slots=True)
class SignedIs:
    """The writer's client signed it, or did not."""

    wanted: bool

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the message."""
        return facts.is_signed is self.wanted

    def describe(self) -> str:
        """Return the words."""
        return "it is signed already" if self.wanted else "it is not signed"


@dataclass(frozen=True, slots=True)
class AutomaticIs:
    """A program sent it, or a person did."""

    wanted: bool

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the message."""
        return facts.is_auto_submitted is self.wanted

    def describe(self) -> str:
        """Return the words."""
        return "a program sent it" if self.wanted else "a person sent it"


def _read_flag(untrusted_value: object, path: str) -> bool:
    if not isinstance(untrusted_value, bool):
        raise DocumentError(path, "must be true or false", "Write true or false without quotes")
    return untrusted_value


def read_kind(untrusted_value: object, path: str) -> KindIs:
    """Read `{"kind": ["invitation"]}`."""
    kinds = check_items(untrusted_value, path, lambda value, at: check_choice(value, at, MailKind))
    if not kinds:
        raise DocumentError(path, "is empty", "Name at least one kind")
    return KindIs(frozenset(kinds))


def read_encrypted(untrusted_value: object, path: str) -> EncryptedIs:
    """Read `{"encrypted": true}`."""
    return EncryptedIs(_read_flag(untrusted_value, path))


def read_signed(untrusted_value: object, path: str) -> SignedIs:
    """Read `{"signed": true}`."""
    return SignedIs(_read_flag(untrusted_value, path))


def read_automatic(untrusted_value: object, path: str) -> AutomaticIs:
    """Read `{"automatic": true}`."""
    return AutomaticIs(_read_flag(untrusted_value, path))
