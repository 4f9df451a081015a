"""One copy on its way to a decision: the facts, and what the rules have said so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.core.decision import HeaderChange
from relay.core.documents.policy import Action
from relay.policy.facts import Direction, Facts, RecipientFacts
from relay.policy.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged, by what, and which way it goes."""

    facts: Facts
    recipient: RecipientFacts
    ruleset: Ruleset
    direction: Direction


@dataclass(slots=True)
class RuleOutcome:
    """What the rules said: ids of those that fit, what they add, and the action that ended the search."""

    hits: list[str] = field(default_factory=list)
    headers: list[HeaderChange] = field(default_factory=list)
    options: list[Action] = field(default_factory=list)
    terminal: Action | None = None
    rule: str = ""
    """The rule of the terminal action."""
    failed: str = ""
    """The rule that could not be asked."""

    @property
    def is_confidential(self) -> bool:
        """Whether a rule called the mail confidential."""
        return any(action.confidential for action in self.options) or (
            self.terminal is not None and self.terminal.confidential
        )
