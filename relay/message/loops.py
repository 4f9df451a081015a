"""Loop detection (RFC 5321 6.3): Received fields, our own ones among them, and our own trace field.

A carrier mail does not carry the inside Received fields, so our trace field carries the count of passes instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.message.fields import HeaderFields

TRACE_FIELD = "X-Letterlock-Trace"


@dataclass(frozen=True, slots=True)
class LoopVerdict:
    """What was counted and whether that is a loop. `explanation` is one plain sentence without mail text."""

    is_loop: bool
    received: int
    own_passes: int
    explanation: str


def check_loop(fields: HeaderFields, hostname: str, max_received: int = 50, max_own_passes: int = 4) -> LoopVerdict:
    """Count the passes; a message is looping over `max_received` Received fields or `max_own_passes` through us.

    smtpd's own Received field of this pass counts as one.
    """
    raise NotImplementedError


def make_trace(fields: HeaderFields, hostname: str) -> tuple[str, str]:
    """Return the trace field (name, text) for a mail made from this one: our host name and the passes so far."""
    raise NotImplementedError
