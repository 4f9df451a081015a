"""The word that a reader's own keys were accepted: it stands as long as they do (sealed-mailbox 11).

A page that finds none says "not yet confirmed". So one is sealed anew for mailboxes that lost theirs, or whose word is
about to end, and a newer generation takes the older ones away. keyd is asked outside transactions.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.clock import DAY
from relay.core.ports import Actor, Event
from relay.core.wire.pae import decode_b64
from relay.core.wire.sealed import Account
from relay.mailbox.boxes import recall_message
from relay.mailbox.incoming_desk import ACCOUNT_MS, Desk
from relay.mailbox.seal import Sealer
from relay.store.base import EventDetail, Tx
from relay.store.errors import ConflictError
from relay.store.repositories.mailbox_boxes import Box, unconfirmed_mailboxes
from relay.store.repositories.mailbox_generations import get_generation
from relay.store.repositories.mailbox_messages import account_words

_SOON_MS = 90 * DAY
"""A word that ends within this time is followed by another."""
_AT_ONCE = 100
_ROUNDS = 50


def drop_older_words(tx: Tx, box: Box, actor: Actor) -> None:
    """Take the words on earlier generations out of a box; the caller holds it."""
    for word in account_words(tx, box.tenant, box.id):
        if word.gen < box.gen:
            recall_message(tx, box.tenant, box.id, word.id, actor, why="rekey")


@dataclass(frozen=True, slots=True)
class AccountWords:
    """Gives the words again."""

    desk: Desk
    sealer: Sealer

    def renew(self) -> int:
        """Seal and queue words for mailboxes that lack one, some thousands at most; return how many.

        Raises KeyStoreError, StorageError: what was not done is done the next time.
        """
        count = 0
        for _ in range(_ROUNDS):
            done = self._renew_some(_AT_ONCE)
            count += done
            if done < _AT_ONCE:
                break
        return count

    def _renew_some(self, limit: int) -> int:
        desk = self.desk
        with desk.database.reading() as tx:
            lacking = unconfirmed_mailboxes(tx, desk.tenant, tx.now_ms() + _SOON_MS, limit)
        count = 0
        for box in lacking:
            try:
                self._give(box)
            except ConflictError:
                # Moved meanwhile: its new keys bring a word of their own.
                continue
            count += 1
        return count

    def _give(self, box: Box) -> None:
        desk = self.desk
        with desk.database.reading() as tx:
            stored = get_generation(tx, desk.tenant, box.id, box.gen)
            now = tx.now_ms()
        enc = decode_b64(stored.enc)
        account = Account(box.gen, enc, decode_b64(stored.sign))
        word = self.sealer.seal_account(desk.place(box, enc, box.gen), account, now, now + ACCOUNT_MS)
        with desk.database.transaction() as tx:
            desk.lock(tx, box)
            before = account_words(tx, desk.tenant, box.id)
            desk.queue(tx, word)
            for older in before:
                recall_message(tx, desk.tenant, box.id, older.id, desk.actor, why="renewed")
            detail: dict[str, EventDetail] = {"box": box.id, "gen": box.gen}
            tx.append_event(Event("mailbox.confirmed-again", desk.actor, desk.tenant, detail=detail))
