"""How did the writer mark it? `sensitivity` and `priority` (B1). RFC 2156 5.3.4 and 5.3.3 name the words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.core.documents.keywords import Sensitivity
from relay.core.documents.reading import DocumentError, check_choice, check_items
from relay.policy.facts import Facts, RecipientFacts
from relay.policy.rules.condition import list_words


class Priority(StrEnum):
    """How urgent the writer calls it."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class SensitivityIs:
    """The Sensitivity field says one of these."""

    words: frozenset[str]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer; no such field never fits."""
        return facts.sensitivity is not None and facts.sensitivity in self.words

    def describe(self) -> str:
        """Return the words."""
        return f"the sensitivity is {list_words(sorted(self.words))}"


@dataclass(frozen=True, slots=True)
class PriorityIs:
    """The priority is one of these."""

    words: frozenset[str]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer; no such field is normal."""
        return facts.priority in self.words

    def describe(self) -> str:
        """Return the words."""
        return f"the priority is {list_words(sorted(self.words))}"


def read_sensitivity(untrusted_value: object, path: str) -> SensitivityIs:
    """Read `{"sensitivity": ["private"]}`."""
    words = check_items(untrusted_value, path, lambda value, at: check_choice(value, at, Sensitivity))
    if not words:
        raise DocumentError(path, "is empty", "Name at least one word")
    return SensitivityIs(frozenset(word.value for word in words))


def read_priority(untrusted_value: object, path: str) -> PriorityIs:
    """Read `{"priority": ["high"]}`."""
    words = check_items(untrusted_value, path, lambda value, at: check_choice(value, at, Priority))
    if not words:
        raise DocumentError(path, "is empty", "Name at least one word")
    return PriorityIs(frozenset(word.value for word in words))
