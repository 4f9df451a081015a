"""Settling: the one way in which a claimed copy changes, guarded by its fence and by core.lifecycle.

Each step writes its event in the same transaction. A lost lease writes nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.store.base import Tx
from relay.store.repositories.copies import StoredCopy


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of one claimed copy. None keeps what stands in the row."""

    copy_id: str
    fence: int
    state: State
    variant: int | None = None
    hop: str | None = None
    decision_id: str | None = None
    next_at: int | None = None
    """Milliseconds. Left out: deferred keeps the time stored by the claim, every other state is due at once."""
    status: str = ""
    """Enhanced status code (RFC 3463)."""
    text: str = ""
    """Reply of the peer or reason in words, for the trace; no mail text."""
    delay_notified: bool = False
    detail: Mapping[str, str | int | bool | list[str] | None] = field(default_factory=dict)
    """More for the event."""


def settle(
    tx: Tx,
    copy_id: str,
    fence: int,
    state: State,
    *,
    actor: Actor,
    variant: int | None = None,
    hop: str | None = None,
    decision_id: str | None = None,
    next_at: int | None = None,
    status: str = "",
    text: str = "",
    delay_notified: bool = False,
) -> None:
    """Move one claimed copy to `state` and end its lease.

    Raises LeaseLostError when the fence has moved on, LifecycleError when there is no such step. Either way the caller
    lets the transaction roll back.
    """
    raise NotImplementedError


def settle_many(tx: Tx, settlements: Sequence[Settlement], actor: Actor) -> None:
    """Move many claimed copies in one go; all or, with an error, none."""
    raise NotImplementedError


def step(tx: Tx, copies: Sequence[StoredCopy], state: State, *, actor: Actor, decision_id: str | None = None) -> None:
    """Move claimed copies on but keep their lease: received to decided, decided to protected, in one claim.

    Raises as settle does.
    """
    raise NotImplementedError


def postpone(
    tx: Tx, copies: Sequence[StoredCopy], *, actor: Actor, status: str, text: str, retry_at: int | None = None
) -> None:
    """Leave claimed copies in their state and try again later (keyd or a directory is down): ends the lease.

    No crash is counted. Left out, `retry_at` is the back-off for the number of attempts. Raises LeaseLostError.
    """
    raise NotImplementedError
