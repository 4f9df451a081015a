"""What claims hand out."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.ports import WrappedMailKey
from relay.store.repositories.copies import StoredCopy
from relay.store.repositories.messages import StoredMessage
from relay.store.repositories.variants import StoredVariant


@dataclass(frozen=True, slots=True)
class Work:
    """One message with those of its copies that are due in a state for the worker, all leased together."""

    message: StoredMessage
    key: WrappedMailKey
    copies: tuple[StoredCopy, ...]
    """Each with its state and the fence number that `settle` wants."""
    owner: str
    claimed_at: int
    lease_until: int
    """Milliseconds; extend at a third of the time."""

    @property
    def is_suspect(self) -> bool:
        """Tell whether an earlier claim of this message was never settled; such a message is handed out alone."""
        return any(copy.crashes > 1 for copy in self.copies)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Copies of one variant that go to one hop, leased together. The next attempt's time is already stored."""

    message: StoredMessage
    key: WrappedMailKey
    variant: StoredVariant
    hop: str
    copies: tuple[StoredCopy, ...]
    """Each with `decision_id` and `method`, from which the approval is made, and its fence."""
    owner: str
    claimed_at: int
    lease_until: int
