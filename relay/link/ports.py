"""What pushing needs of other rooms; the wiring puts it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.spool.settle import Settlement
from relay.spool.system_mail import SystemMail
from relay.spool.values import Delivery
from relay.store.base import Tx
from relay.store.repositories.mailbox_pushes import Push


@dataclass(frozen=True, slots=True)
class CopyEnd:
    """What becomes of a leased copy, and the mails that tell its sender."""

    settlements: Sequence[Settlement]
    mails: Sequence[SystemMail] = ()


class CopyEndings(Protocol):
    """Plans the ends of copies as for any next hop: states, delay notice, expiry, reports."""

    def delivered(self, delivery: Delivery) -> CopyEnd:
        """The portal has it."""
        ...

    def deferred(self, delivery: Delivery, status: str, text: str) -> CopyEnd:
        """It could not be handed over: waits, or is given up after its time."""
        ...


class AfterPush(Protocol):
    """Notes that the portal has something and queues what is told of it, in the transaction that ends the row."""

    def message_pushed(self, tx: Tx, push: Push) -> None:
        """A message is visible: the recipient's notice."""
        ...

    def box_pushed(self, tx: Tx, push: Push) -> None:
        """A generation can be signed in to: first password to the sender, code to the recipient."""
        ...

    def join_pushed(self, tx: Tx, push: Push) -> None:
        """A registration link works: its partner is told."""
        ...


Renew = Callable[[Push], Callable[[Tx], None] | None]
"""Makes the next first password, or ends one, for a frozen box whose entries are all in; what is returned stores it.
None: there is no sense in it any more. Raises KeyStoreError, StorageError."""
