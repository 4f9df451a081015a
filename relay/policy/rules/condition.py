"""What every condition can do, and how values of several are judged.

`strict` is the safeguard against passing too much: a rule that lowers protection (pass, discard, forward) must hold for
EVERY author, header value or file of a mail, any other rule holds when it does for ONE. `not` turns it round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from relay.core.documents.patterns import PatternSet
from relay.policy.facts import Facts, RecipientFacts


class Condition(Protocol):
    """One yes-or-no question about one copy."""

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:
        """Answer. An exception is a fault of ours and holds the mail."""
        ...

    def describe(self) -> str:
        """Return the question in plain words, made of the policy's own words only, never of the mail's."""
        ...


ConditionReader = Callable[[object, str], Condition]
"""Reads one condition's JSON at a path. Raises DocumentError."""


@dataclass(frozen=True, slots=True)
class Always:
    """Fits every copy; what a rule without `when` asks."""

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002 - the protocol
        """Say yes."""
        return True

    def describe(self) -> str:
        """Return the words."""
        return "every mail"


def judge(texts: Iterable[str], patterns: PatternSet, strict: bool) -> bool:
    """Tell whether one (strict: every one, and there is one) of the texts fits one of the patterns."""
    some = False
    for text in texts:
        some = True
        if patterns.matches(text) is not strict:
            return not strict
    return strict and some


def list_words(words: Iterable[str]) -> str:
    """Return words joined for a sentence."""
    return " or ".join(words)
