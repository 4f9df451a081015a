"""Which root each mailbox pins, as far as the inside can tell (relay.mailbox.pins): before an old root is dropped, and
after one has leaked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.mailbox.pins import KnownCard, card_of, read_cards

if TYPE_CHECKING:
    from relay.store.base import Tx
    from relay.store.repositories.mailbox_boxes import Box

_MOST = 1000


@dataclass(frozen=True, slots=True)
class Pins:
    """The cards of a portal, to look boxes up by."""

    tenant: str
    cards: tuple[KnownCard, ...]

    @property
    def newest(self) -> str:
        """Return the print of the root in use; "" before the first card."""
        return root_print(self.cards[-1].card.root) if self.cards else ""

    def root_of(self, tx: Tx, box: Box) -> str:
        """Return the print of the root that a mailbox's newest generation pins; "" for one that has no password."""
        from relay.store.repositories.mailbox_generations import get_generation

        if box.state not in ("first", "active"):
            return ""
        card = card_of(get_generation(tx, self.tenant, box.id, box.gen), self.cards)
        return root_print(card.root) if card is not None else "unknown"


def read_pins(tx: Tx, tenant: str) -> Pins:
    """Return the cards."""
    from relay.store.repositories.mailbox_cards import list_cards

    return Pins(tenant, tuple(read_cards(list_cards(tx, tenant))))


def count_boxes(tx: Tx, tenant: str) -> Counter[str]:
    """Return by a root's print how many mailboxes in use pin it."""
    from relay.store.repositories.mailbox_boxes import MAILBOX, list_boxes

    pins, counts, after = read_pins(tx, tenant), Counter[str](), ""
    while True:
        found = list_boxes(tx, tenant, kind=MAILBOX, after=after, limit=_MOST)
        counts.update(root for box in found if (root := pins.root_of(tx, box)))
        if len(found) < _MOST:
            return counts
        after = found[-1].id


def root_print(root: bytes) -> str:
    """Return a root's print for people: the pin R of registration links, in groups of four hexadecimal digits."""
    from relay.core.wire.sealed import root_pin

    digits = root_pin(root).hex()
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))
