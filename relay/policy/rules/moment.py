"""When did it come? `received`: a span of time, milliseconds since 1970 UTC. The time is a fact; no clock is asked."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.documents.reading import DocumentError, Fields
from relay.policy.facts import Facts, RecipientFacts

_MOST = 1 << 53


@dataclass(frozen=True, slots=True)
class ReceivedBetween:
    """The mail came at or after the one and before the other moment, where given."""

    begin: int | None
    end: int | None

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the time of the mail."""
        return (self.begin is None or facts.time_ms >= self.begin) and (self.end is None or facts.time_ms < self.end)

    def describe(self) -> str:
        """Return the words."""
        words = [f"from {self.begin}"] if self.begin is not None else []
        return "it came " + " ".join(words + ([f"until {self.end}"] if self.end is not None else []))


def read_received(untrusted_value: object, path: str) -> ReceivedBetween:
    """Read `{"received": {"from": 1790000000000, "until": 1791000000000}}`."""
    fields = Fields(untrusted_value, path)
    begin, end = fields.optional_number("from", 0, _MOST), fields.optional_number("until", 0, _MOST)
    fields.finish()
    if begin is None and end is None:
        raise DocumentError(path, "has no bound", 'Write {"from": ..., "until": ...}')
    if begin is not None and end is not None and end <= begin:
        raise DocumentError(path, "ends before it begins", "Raise until or lower from")
    return ReceivedBetween(begin, end)
