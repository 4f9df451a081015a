"""How large is it? `size`: octets of the whole message as it came in (B1)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.documents.reading import DocumentError, Fields
from relay.policy.facts import Facts, RecipientFacts

_MOST = 1 << 40


@dataclass(frozen=True, slots=True)
class SizeIs:
    """The size is over one bound and under the other, where given."""

    over: int | None
    under: int | None

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the message's octets."""
        return is_within(facts.size, self.over, self.under)

    def describe(self) -> str:
        """Return the words."""
        return "the size is " + describe_bounds(self.over, self.under)


def is_within(value: int, over: int | None, under: int | None) -> bool:
    """Tell whether the value is over the one and under the other bound."""
    return (over is None or value > over) and (under is None or value < under)


def describe_bounds(over: int | None, under: int | None) -> str:
    """Return the bounds in words."""
    words = []
    if over is not None:
        words.append(f"over {over}")
    if under is not None:
        words.append(f"under {under}")
    return " and ".join(words)


def read_bounds(fields: Fields) -> tuple[int | None, int | None]:
    """Read `over` and `under`. Raises DocumentError when both are missing or nothing lies between."""
    over, under = fields.optional_number("over", 0, _MOST), fields.optional_number("under", 0, _MOST)
    if over is None and under is None:
        raise DocumentError(fields.path, "has no bound", 'Write {"over": 1000000}')
    if over is not None and under is not None and under - over < 2:
        raise DocumentError(fields.path, "has nothing between its bounds", "Raise under or lower over")
    return over, under


def read_size(untrusted_value: object, path: str) -> SizeIs:
    """Read `{"size": {"over": 1000000}}`, octets."""
    fields = Fields(untrusted_value, path)
    over, under = read_bounds(fields)
    fields.finish()
    return SizeIs(over, under)
