"""What a person may do with waiting mail. Each call takes an actor and writes an event; nothing here sends anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.decision import Decision
from relay.core.errors import LetterlockError
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.store.base import Database
from relay.store.repositories.copies import StoredCopy
from relay.store.repositories.messages import StoredMessage


class CopyBusyError(LetterlockError):
    """Somebody is working on this copy right now; try again in a moment."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One waiting copy with its message."""

    message: StoredMessage
    copy: StoredCopy
    is_leased: bool


def list_queue(
    db: Database,
    tenant: str,
    *,
    states: frozenset[State] | None = None,
    address: str | None = None,
    limit: int = 100,
) -> list[QueueEntry]:
    """Return waiting copies, oldest first: all that are not final, or those in `states`; of one recipient if given."""
    raise NotImplementedError


def count_queue(db: Database, tenant: str | None = None) -> dict[State, int]:
    """Return the number of copies in each state that is not final (for health and metrics)."""
    raise NotImplementedError


def show_message(db: Database, tenant: str, message_id: str) -> list[QueueEntry]:
    """Return all copies of a message, final ones too. Raises NotFoundError."""
    raise NotImplementedError


def hold(db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor, reason: str) -> int:
    """Hold copies; return how many. Raises CopyBusyError, LifecycleError, NotFoundError; then nothing changed."""
    raise NotImplementedError


def release(
    db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor, *, decision: Decision | None = None
) -> int:
    """Let held or shunted copies go on: back to `received`, where they are decided anew.

    With `decision`, a person's own, that one is stored for each copy and the copy goes on from `decided`.
    """
    raise NotImplementedError


def retry(db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor) -> int:
    """Make waiting copies due at once; return how many."""
    raise NotImplementedError


def drop(db: Database, tenant: str, copy_ids: Sequence[str], actor: Actor, reason: str) -> int:
    """Discard copies for good, without a report to the sender; return how many."""
    raise NotImplementedError
