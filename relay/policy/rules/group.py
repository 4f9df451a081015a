"""Groups: `all`, `any`, `not`. An empty group is refused when it is read, so that nothing fits by accident."""

from __future__ import annotations

from dataclasses import dataclass

from relay.policy.facts import Facts, RecipientFacts
from relay.policy.rules.condition import Condition


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part must fit."""

    parts: tuple[Condition, ...]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:
        """Ask the parts in order until one says no."""
        for part in self.parts:  # noqa: SIM110 - a loop, not a generator: this runs for every rule and copy
            if not part.evaluate(facts, recipient, strict):
                return False
        return True

    def describe(self) -> str:
        """Return the words."""
        return "all of: " + "; ".join(part.describe() for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One part must fit."""

    parts: tuple[Condition, ...]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:
        """Ask the parts in order until one says yes."""
        for part in self.parts:  # noqa: SIM110 - as above
            if part.evaluate(facts, recipient, strict):
                return True
        return False

    def describe(self) -> str:
        """Return the words."""
        return "any of: " + "; ".join(part.describe() for part in self.parts)


@dataclass(frozen=True, slots=True)
class NotOf:
    """The part must not fit. `strict` turns round: "not from X" is sure only when no author is X."""

    part: Condition

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:
        """Ask the part with the other strictness."""
        return not self.part.evaluate(facts, recipient, not strict)

    def describe(self) -> str:
        """Return the words."""
        return f"not ({self.part.describe()})"
