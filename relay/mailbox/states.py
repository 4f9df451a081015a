"""States of a box and every step between them, as one table (sealed-mailbox 11). Pure: no clock, no database.

A closed box never opens again; a new mail to its partner makes a new box with a new id.
"""

from __future__ import annotations

from enum import StrEnum

from relay.core.errors import LetterlockError


class BoxState(StrEnum):
    """State of a box."""

    FIRST = "first"
    """A password of the relay's own making is out; the portal lets the reader choose another and nothing else."""
    ACTIVE = "active"
    EXPIRED = "expired"
    """The first password was not used in time, or guessed at too often."""
    CLOSED = "closed"


class BoxEvent(StrEnum):
    """What moves a box."""

    REKEY = "rekey"
    """The relay accepted a generation that a browser made."""
    MAIL = "mail"
    """The next mail came: an expired box gets a new first password."""
    RESEND = "resend"
    """The first password was lost before it was used."""
    RESET = "reset"
    """The reader's own password was lost."""
    EXPIRE = "expire"
    CLOSE = "close"


_STEPS: dict[tuple[BoxState, BoxEvent], BoxState] = {
    (BoxState.FIRST, BoxEvent.REKEY): BoxState.ACTIVE,
    (BoxState.FIRST, BoxEvent.MAIL): BoxState.FIRST,
    (BoxState.FIRST, BoxEvent.RESEND): BoxState.FIRST,
    (BoxState.FIRST, BoxEvent.RESET): BoxState.FIRST,
    (BoxState.FIRST, BoxEvent.EXPIRE): BoxState.EXPIRED,
    (BoxState.FIRST, BoxEvent.CLOSE): BoxState.CLOSED,
    (BoxState.ACTIVE, BoxEvent.REKEY): BoxState.ACTIVE,
    (BoxState.ACTIVE, BoxEvent.MAIL): BoxState.ACTIVE,
    (BoxState.ACTIVE, BoxEvent.RESET): BoxState.FIRST,
    (BoxState.ACTIVE, BoxEvent.CLOSE): BoxState.CLOSED,
    (BoxState.EXPIRED, BoxEvent.MAIL): BoxState.FIRST,
    (BoxState.EXPIRED, BoxEvent.RESEND): BoxState.FIRST,
    (BoxState.EXPIRED, BoxEvent.RESET): BoxState.FIRST,
    (BoxState.EXPIRED, BoxEvent.CLOSE): BoxState.CLOSED,
}
MAKES_GENERATION = frozenset(
    {
        (BoxState.FIRST, BoxEvent.RESEND),
        (BoxState.FIRST, BoxEvent.RESET),
        (BoxState.ACTIVE, BoxEvent.RESET),
        (BoxState.EXPIRED, BoxEvent.MAIL),
        (BoxState.EXPIRED, BoxEvent.RESEND),
        (BoxState.EXPIRED, BoxEvent.RESET),
    }
)
"""Steps for which keyd makes the next generation; all others keep the one that is there, or take the browser's."""


class BoxStateError(LetterlockError):
    """The box is in a state that has no such step."""

    temporary = False
    status = "5.2.1"


class BoxBusyError(LetterlockError):
    """The box waits for something that the link process does; the mail is tried again."""

    status = "4.2.1"


def next_state(state: BoxState | str, event: BoxEvent) -> BoxState:
    """Return the state after `event`. Raises BoxStateError that says what to do instead."""
    found = _STEPS.get((BoxState(state), event))
    if found is None:
        raise BoxStateError(f"a box that is {state} has no step {event}: {_ADVICE.get(event, 'leave it as it is')}")
    return found


_ADVICE = {
    BoxEvent.RESEND: "the reader has a password of his own, use reset",
    BoxEvent.RESET: "it is closed, the next mail makes a new one",
    BoxEvent.EXPIRE: "only a first password expires",
    BoxEvent.REKEY: "only a box that is open takes a new password",
}
