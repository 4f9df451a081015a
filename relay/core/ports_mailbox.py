"""Port of the sealed mailbox's organisation keys: root, card sign, reply and escrow keys are used, never fetched.

sealed-mailbox 2 and 6. Seeds of generations that the inside makes are made behind this port and leave it sealed only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relay.core.ports import Actor, Grant
from relay.core.wire.sealed import CardRecord

REPLY_KEY_DAYS = 90
"""How long a card's reply key still opens after its successor was made."""


@dataclass(frozen=True, slots=True)
class CardRequest:
    """What a ceremony is to make: a card with new sign, reply and escrow keys and the next serial.

    The first card of a portal makes its root. `new_root`: make another, which this card names; all cards are signed by
    the old and the new one. `drop_roots`: destroy all roots but the newest, and their signatures; only when no box pins
    them any more, or after a leak.
    """

    portal: str
    org: str
    escrow: bool = True
    """False: a reset loses old mail, and the page says so."""
    distrust: tuple[int, ...] = ()
    """Serials whose signatures verify nothing any more, beside those that the card before names."""
    new_root: bool = False
    drop_roots: bool = False
    after: int = 0
    """Highest serial that is known elsewhere: the new one is above it even when the token came from a back-up."""
    newest: int | None = None
    """The token's newest serial when this was asked for, 0 where it had no card: upon another one nothing is made, so
    that one wish makes one card however often it is handed in. None: whatever it is."""


@dataclass(frozen=True, slots=True)
class CapsuleOrder:
    """What a capsule is to be made of; organisation, root and card are those of the portal's newest card.

    `kek` and `av` come from relay.core.wire.sealed.stretch. `form` is a reply box's (b32, digits, words), None for a
    mailbox; `name` is the login name, None for a reply box. `needed`: earlier generations that kept mail is sealed to.
    """

    kind: str
    portal: str
    box: str
    gen: int
    name: str | None
    kdf: int
    kek: bytes = field(repr=False)
    av: bytes = field(repr=False)
    form: str | None = None
    needed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptGeneration:
    """An earlier generation as the inside keeps it; `seed_blob` is what came with it where there was no escrow."""

    capsule: bytes = field(repr=False)
    seed_blob: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class MadeCapsule:
    """A new capsule. `seed_blob` is there where it has no escrow record: keep it until the first rekey came in."""

    capsule: bytes = field(repr=False)
    seed_blob: bytes | None = field(default=None, repr=False)
    missing: tuple[int, ...] = ()
    """Earlier generations whose seed could not be had: their mail stays shut for the recipient."""


class MailboxKeys(Protocol):
    """Uses of the organisation's keys. All calls raise KeyStoreError (temporary), GrantRefusedError, KeyDestroyedError.

    MailboxDataError comes for what was handed in and does not hold; it is final.
    """

    def create_card(self, request: CardRequest, actor: Actor) -> CardRecord:
        """Make keys and card; the one before loses its sign key at once. Ask `list_cards` for all with signatures.

        Raises MailboxDataError (`card`) where the newest card is another than `request.newest`.
        """
        ...

    def list_cards(self, portal: str) -> tuple[CardRecord, ...]:
        """Return all cards of a portal, oldest first; none before the first ceremony."""
        ...

    def mailbox_new(self, order: CapsuleOrder, grant: Grant) -> MadeCapsule:
        """Make a seed and the capsule of a box that has no earlier generation."""
        ...

    def mailbox_next(self, order: CapsuleOrder, kept: Sequence[KeptGeneration], grant: Grant) -> MadeCapsule:
        """Make a seed and the capsule of generation `order.gen`, with all older seeds in its body.

        `kept`: earlier generations, newest first; as soon as all seeds are found, the rest is not looked at. About
        400 KiB are looked at in all. A capsule holds a limited number of seeds (sealed-mailbox 17): where a box has had
        many generations, the oldest that `order.needed` does not name are left out, and are not called missing.
        """
        ...

    def sign_manifest(self, card: int, manifest: bytes, grant: Grant) -> bytes:
        """Return the 64 octets of ES256 by the card's sign key over a manifest that names this card."""
        ...

    def open_item(self, card: int, info: bytes, sealed: bytes, grant: Grant) -> bytes:
        """Open an item or a registration with the card's reply key; `info` is that of LL1/up or LL1/join.

        Raises MailboxDataError (`auth`) when it does not open: pass this on as `open_info` of open_up and open_join.
        """
        ...

    def check_escrow(self, capsule: bytes, grant: Grant, name: str | None = None) -> bool:
        """Tell whether the capsule's escrow record opens here and yields its public keys.

        With `name`, where it does: raises MailboxDataError (`name`) for a body that names another login name, since
        nobody could sign in to it.
        """
        ...
