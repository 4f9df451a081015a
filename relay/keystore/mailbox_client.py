"""The port MailboxKeys as a client of keyd: a half of RemoteKeyStore."""

from __future__ import annotations

from collections.abc import Sequence

from relay.core.errors import KeyStoreError
from relay.core.ports import Actor, Grant
from relay.core.ports_mailbox import CapsuleOrder, CardRequest, KeptGeneration, MadeCapsule
from relay.core.wire.sealed import MAX_CAPSULE, MAX_HEAD, MAX_SEALED_JOIN, CardRecord, MailboxDataError
from relay.keystore.grants import Operation
from relay.keystore.mailbox_wire import card_call, order_call, read_cards_result, read_made_result
from relay.keystore.protocol import Call, Result


class RemoteMailboxKeys:
    """Asks keyd for uses of the organisation's keys."""

    def _ask(self, operation: Operation, call: Call) -> Result:
        raise NotImplementedError

    def create_card(self, request: CardRequest, actor: Actor) -> CardRecord:
        """Make keys and card of a portal; the one before loses its sign key."""
        records = read_cards_result(self._ask(Operation.CREATE_CARD, card_call(request, actor)))
        if len(records) != 1:
            raise KeyStoreError("keyd answered something else than was asked")
        return records[0]

    def list_cards(self, portal: str) -> tuple[CardRecord, ...]:
        """Return all cards of a portal, oldest first."""
        return read_cards_result(self._ask(Operation.LIST_CARDS, Call(key_id=portal)))

    def mailbox_new(self, order: CapsuleOrder, grant: Grant) -> MadeCapsule:
        """Make the first generation of a box."""
        return read_made_result(self._ask(Operation.MAILBOX_NEW, order_call(order, (), grant)))

    def mailbox_next(self, order: CapsuleOrder, kept: Sequence[KeptGeneration], grant: Grant) -> MadeCapsule:
        """Make a later generation with all older seeds that can be had."""
        return read_made_result(self._ask(Operation.MAILBOX_NEXT, order_call(order, kept, grant)))

    def sign_manifest(self, card: int, manifest: bytes, grant: Grant) -> bytes:
        """Sign a manifest that names the newest card."""
        return self._ask(Operation.SIGN_MANIFEST, _use(grant, card, manifest, limit=MAX_HEAD)).data

    def open_item(self, card: int, info: bytes, sealed: bytes, grant: Grant) -> bytes:
        """Open an item or a registration with the card's reply key."""
        return self._ask(Operation.OPEN_ITEM, _use(grant, card, sealed, info, limit=MAX_SEALED_JOIN)).data

    def check_escrow(self, capsule: bytes, grant: Grant, name: str | None = None) -> bool:
        """Tell whether a capsule's escrow record opens in keyd and yields its public keys, those of this login name."""
        call = _use(grant, 0, capsule, (name or "").encode(), limit=MAX_CAPSULE)
        return self._ask(Operation.CHECK_ESCROW, call).number == 1


def _use(grant: Grant, card: int, data: bytes, context: bytes = b"", *, limit: int) -> Call:
    if len(data) > limit or len(context) > limit:
        # Said here in the same words as by the token, before it fills a frame.
        raise MailboxDataError("size", "too large")
    return Call(
        purpose=grant.purpose, subject=grant.subject, actor=grant.actor, number=card, context=context, data=data
    )
