"""Which card and root a mailbox's generation was made under: what the inside can tell without opening it.

The body that pins the root is sealed to the reader. What lies open is the card whose escrow key the seed was sealed to,
and when the generation was made: its maker knew the newest card of that time (sealed-mailbox 6, 11). A portal that
withholds a card makes the second one wrong, never the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.wire.sealed import Card, decode_record, read_card
from relay.store.repositories.mailbox_cards import StoredCard
from relay.store.repositories.mailbox_generations import Generation


@dataclass(frozen=True, slots=True)
class KnownCard:
    """A card, and since when the inside has it, in milliseconds."""

    card: Card
    made_at: int


def read_cards(stored: Sequence[StoredCard]) -> list[KnownCard]:
    """Return the cards, oldest first. Raises MailboxDataError for a damaged row."""
    return [KnownCard(read_card(decode_record(one.record.encode()).card), one.made_at) for one in stored]


def card_of(generation: Generation, cards: Sequence[KnownCard]) -> Card | None:
    """Return the newest card that the generation's maker knew, as far as one can tell; None before the first card."""
    if generation.escrow_card is not None:
        return next((one.card for one in cards if one.card.serial == generation.escrow_card), None)
    known = [one.card for one in cards if one.made_at <= generation.made_at]
    return known[-1] if known else None


def is_rekey_due(generation: Generation, cards: Sequence[KnownCard]) -> bool:
    """Tell whether a browser rekeys a generation at the next login by itself: another root, another escrow key, or a
    higher suite (sealed-mailbox 11)."""
    before, newest = card_of(generation, cards), cards[-1].card if cards else None
    if before is None or newest is None:
        return False
    return (before.root, before.escrow) != (newest.root, newest.escrow) or before.mailbox_suite < newest.mailbox_suite
