"""Rekeys: a reader's new password, verified and taken as the newest generation (sealed-mailbox 8, 11, 16)."""

from __future__ import annotations

from relay.core.ports_mailbox import MailboxKeys
from relay.core.wire.pae import decode_b64, encode_b64, encode_pae
from relay.core.wire.sealed import (
    Account,
    Capsule,
    MailboxDataError,
    decode_record,
    read_capsule,
    read_card,
    verify_rekey,
)
from relay.mailbox.account_words import drop_older_words
from relay.mailbox.boxes import accept_rekey
from relay.mailbox.capsules import close_capsule, hash_capsule
from relay.mailbox.generations import Generations, is_nearly_full
from relay.mailbox.incoming_desk import ACCOUNT_MS, Desk, EndedError, Tidings
from relay.mailbox.incoming_values import RekeyEntry, Result
from relay.mailbox.seal import Sealer
from relay.mailbox.states import BoxState
from relay.store.repositories import mailbox_boxes as boxes
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import StoredCard, newest_card
from relay.store.repositories.mailbox_generations import BROWSER, Generation, find_generation, generations_of

KIND = "rekey"


class Rekeys:
    """Takes rekeys."""

    def __init__(
        self, desk: Desk, keys: MailboxKeys, generations: Generations, sealer: Sealer, tidings: Tidings
    ) -> None:
        self._desk = desk
        self._keys = keys
        self._generations = generations
        self._sealer = sealer
        self._tidings = tidings

    def take(self, entry: RekeyEntry) -> Result:
        """Verify and accept it. Raises MailboxDataError, EndedError, temporary errors."""
        outer_id = hash_capsule(entry.capsule)
        with self._desk.database.reading() as tx:
            box = self._desk.look_up(tx, entry.box, outer_id)
            self._desk.look_up(tx, entry.box, refused_rekey_id(entry))
            if find_generation(tx, self._desk.tenant, box.id, outer_id) is not None:
                # Pushed by ourselves once, or taken before a back-up of ours was restored.
                raise EndedError(Result.TAKEN)
            kept = {one.gen: one for one in generations_of(tx, self._desk.tenant, box.id)}
            card = newest_card(tx, self._desk.tenant)
        capsule = self._check_capsule(entry, box, kept, card)
        has_escrow = capsule.escrow is not None and self._has_escrow(capsule)
        account = Account(capsule.gen, capsule.enc, capsule.sign)
        place = self._desk.place(box, capsule.enc, capsule.gen)
        with self._desk.database.reading() as tx:
            now = tx.now_ms()
        word = self._sealer.seal_account(place, account, now, now + ACCOUNT_MS)
        generation = self._generations.keep_browsers(capsule, now, escrow_fits=has_escrow)
        with self._desk.database.transaction() as tx:
            before = self._desk.lock(tx, box)
            self._desk.note(tx, before, outer_id, KIND, Result.TAKEN)
            after = accept_rekey(tx, before, generation, self._desk.actor)
            # The portal holds this capsule already: the reader gave it to it.
            pushes.drop_pushes(tx, self._desk.tenant, box.id, [pushes.BOX])
            drop_older_words(tx, after, self._desk.actor)
            self._desk.queue(tx, word)
            self._tidings.rekeyed(tx, before, after)
            if not has_escrow and card is not None and _wants_escrow(card):
                self._desk.alert(tx, f"mailbox {box.id} has no escrow: a reset would lose its old mail")
            if is_nearly_full(capsule.gen, list(kept.values())):
                # Behind the last one the reader can choose no password: his browser refuses.
                self._desk.alert(tx, f"mailbox {box.id} has had nearly 500 passwords: letterlock mailbox reset")
        return Result.TAKEN

    def keep_refused(self, entry: RekeyEntry) -> bytes:
        """Return a refused rekey as it is kept: its capsule closed like any other, for it holds `pw` and `av`.

        PAE of the signature, the sealed key's fields and the closed capsule. Raises KeyStoreError.
        """
        keystore = self._generations.keystore
        closed, key = close_capsule(keystore, self._desk.tenant, entry.box, entry.gen, entry.capsule)
        return encode_pae(entry.sig, key.key_id, key.mechanism, key.format, key.data, closed)

    def _check_capsule(
        self, entry: RekeyEntry, box: Box, kept: dict[int, Generation], card: StoredCard | None
    ) -> Capsule:
        capsule = read_capsule(entry.capsule, kind=boxes.MAILBOX)
        if box.kind != boxes.MAILBOX or (capsule.portal, capsule.box) != (self._desk.portal, box.id):
            raise MailboxDataError("binding", "rekey: made for another place")
        if capsule.by != BROWSER:
            raise MailboxDataError("binding", "rekey: not made by a browser")
        previous = kept.get(box.gen)
        if previous is None or capsule.gen != box.gen + 1:
            raise MailboxDataError("generation", "rekey: not the next generation")
        if previous.expired_at is not None or box.state == BoxState.EXPIRED:
            raise MailboxDataError("expired", "rekey: the password before it has ended")
        if card is not None and capsule.suite < _suite_of(card):
            raise MailboxDataError("suite", "rekey: below the suite of the newest card")
        verify_rekey(decode_b64(previous.sign), entry.capsule, entry.sig)
        if encode_b64(capsule.enc) in {one.enc for one in kept.values()}:
            # An old seed is never wrapped again (0.1).
            raise MailboxDataError("duplicate", "rekey: the keys of an older generation")
        return capsule

    def _has_escrow(self, capsule: Capsule) -> bool:
        try:
            return self._keys.check_escrow(capsule.octets, self._desk.grant(capsule.box))
        except MailboxDataError:
            return False


def refused_rekey_id(entry: RekeyEntry) -> str:
    """Return what a refused rekey is known by: with its signature, else whoever hands over a reader's capsule under a
    bad one first would have the good one refused."""
    return hash_capsule(entry.sig + entry.capsule)


def _suite_of(card: StoredCard) -> int:
    return read_card(decode_record(card.record.encode()).card).mailbox_suite


def _wants_escrow(card: StoredCard) -> bool:
    return read_card(decode_record(card.record.encode()).card).escrow is not None
