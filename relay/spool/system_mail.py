"""Mail of our own (notices, delivery reports), made in the very transaction that caused it.

So the notice exists exactly if the step happened. Its key is sealed to the spool like any other mail's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relay.core.lifecycle import State
from relay.core.ports import Actor, SpoolPublicKey
from relay.store.base import Tx


@dataclass(frozen=True, slots=True)
class SystemMail:
    """A complete mail of ours and where it goes."""

    kind: str
    """`password-notice`, `dsn-failed`, `dsn-delayed`, `hold-notice`, `alert` ..."""
    reverse_path: str
    """Mostly the null reverse-path ``""``."""
    recipients: tuple[str, ...]
    content: bytes
    """Header and body, CRLF, up to 256 KiB."""
    state: State = State.QUEUED
    """`queued`: leaves as it is over `hop`, allowed by a stored decision of its own (pass, system);
    `received` or `decided` (then with decision_json): goes through the worker."""
    hop: str = ""
    cause: str | None = None
    """The message that it tells of."""
    message_id: str | None = None
    """Given when the content already names it, else a new id."""
    smtputf8: bool = False


def new_system_message(
    tx: Tx, spool_public: Callable[[], SpoolPublicKey], tenant: str, mail: SystemMail, actor: Actor
) -> str:
    """Insert the mail as part of `tx` and return its message id. Raises StorageError."""
    raise NotImplementedError
