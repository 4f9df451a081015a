"""The states of one recipient's copy, and which steps between them exist. A copy walks one way."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """State of a copy (architecture: one mail, one direction)."""

    RECEIVED = "received"
    HELD = "held"
    DECIDED = "decided"
    PROTECTED = "protected"
    QUEUED = "queued"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    FAILED = "failed"
    DISCARDED = "discarded"
    SHUNTED = "shunted"
    AWAITING_REGISTRATION = "awaiting_registration"


FINAL = frozenset({State.DELIVERED, State.FAILED, State.DISCARDED})
"""Nothing more happens to such a copy."""

FOR_WORKER = frozenset({State.RECEIVED, State.DECIDED, State.PROTECTED})
"""States in which the worker has something to do."""

FOR_DELIVER = frozenset({State.QUEUED, State.DEFERRED})
"""States in which deliver has something to do."""

_STEPS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.DECIDED, State.HELD, State.SHUNTED, State.FAILED}),
    State.DECIDED: frozenset(
        {
            # Decided again: what a person chose is completed from the facts.
            State.DECIDED,
            State.PROTECTED,
            State.QUEUED,
            State.HELD,
            State.DISCARDED,
            State.FAILED,
            State.SHUNTED,
            State.AWAITING_REGISTRATION,
            State.RECEIVED,
        }
    ),
    State.PROTECTED: frozenset({State.QUEUED, State.HELD, State.SHUNTED, State.FAILED}),
    State.QUEUED: frozenset({State.DELIVERED, State.DEFERRED, State.FAILED, State.HELD, State.SHUNTED}),
    State.DEFERRED: frozenset({State.DELIVERED, State.DEFERRED, State.FAILED, State.HELD, State.SHUNTED, State.QUEUED}),
    # A person's release sends a copy back to where it is decided or protected anew; never straight to delivery.
    State.HELD: frozenset({State.RECEIVED, State.DECIDED, State.DISCARDED, State.FAILED, State.QUEUED}),
    State.SHUNTED: frozenset({State.RECEIVED, State.DECIDED, State.DISCARDED, State.FAILED, State.QUEUED}),
    State.AWAITING_REGISTRATION: frozenset({State.DECIDED, State.FAILED, State.DISCARDED, State.HELD}),
    State.DELIVERED: frozenset(),
    State.FAILED: frozenset(),
    State.DISCARDED: frozenset(),
}


def is_step(before: State, after: State) -> bool:
    """Tell whether a copy may go from one state to the other."""
    return after in _STEPS[before]
