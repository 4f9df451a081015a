"""Entries from the portal, verified in the one order that sealed-mailbox 16 names; the first failure refuses the whole.

Box known and open, sizes, then seen before, and only then the rest: an item of generation g that lies before the rekey
to g+1 is good, after it refused. What is taken becomes true in ONE commit: spool, the entry as seen, the push of the
receipt. What is refused is kept in quarantine and alerted. Faults of keyd, database and link pass through as temporary
errors: no ack, the entry comes again. No transaction is held over keyd or the link.

Must not log what an item says, trust an address or time from a browser, or tell the portal why it refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from relay.core.clock import DAY
from relay.core.errors import LetterlockError
from relay.core.ports import Actor, Event, Grant
from relay.core.ports_mailbox import REPLY_KEY_DAYS, MailboxKeys
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import (
    Account,
    Capsule,
    Item,
    MailboxDataError,
    count_chunks,
    decode_record,
    open_up,
    read_capsule,
    read_card,
    verify_rekey,
)
from relay.mailbox.boxes import accept_rekey, close_box
from relay.mailbox.capsules import hash_capsule
from relay.mailbox.generations import Generations
from relay.mailbox.incoming_reply import Fetch, PreparedReply, Replies
from relay.mailbox.incoming_values import BrokenEntry, Entry, ItemEntry, JoinEntry, RekeyEntry, Result
from relay.mailbox.seal import Place, SealedMessage, Sealer
from relay.mailbox.states import BoxState
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import ConflictError, NotFoundError
from relay.store.repositories import mailbox_boxes as boxes
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import StoredCard, get_card, newest_card
from relay.store.repositories.mailbox_entries import find_seen, note_entry, quarantine_entry
from relay.store.repositories.mailbox_generations import (
    BROWSER,
    Generation,
    find_generation,
    generations_of,
    get_generation,
)
from relay.store.repositories.mailbox_messages import (
    MAIL,
    TICKET,
    BoxMessage,
    drop_message,
    get_box_message,
    mark_message_read,
)

RECEIPT_MS = 90 * DAY
"""How long receipts and account words are kept."""
_ITEM, _REKEY, _JOIN, _BROKEN = "item", "rekey", "join", "broken"
_ANSWERED = (MAIL, TICKET)


@dataclass(frozen=True, slots=True)
class IncomingPolicy:
    """What the organisation allows."""

    max_octets: int
    """Of all parts of an answer together."""
    server_mode: bool = False
    """Items made by the portal's own process, where `portal.decrypt` opts in (13)."""


class Tidings(Protocol):
    """Who is told of what came in, in the transaction that notes it."""

    def rekeyed(self, tx: Tx, before: Box, after: Box) -> None:
        """A reader chose a password. `before.state` first: the mailbox was opened."""
        ...

    def message_read(self, tx: Tx, box: Box, message: BoxMessage) -> None:
        """The reader's signed word came that he has read a message, for the first time."""
        ...

    def box_closed(self, tx: Tx, box: Box) -> None:
        """The reader closed the box; `box` as it was."""
        ...


class JoinTaker(Protocol):
    """Who takes registrations."""

    def take_join(self, entry: JoinEntry) -> Result:
        """Verify a registration and make it true in one commit, or say what it was before.

        Raises MailboxDataError to refuse it, temporary errors otherwise.
        """
        ...

    def prepare_refusal(self, entry: JoinEntry) -> Callable[[Tx], None] | None:
        """Return what the commit that notes a refusal does besides: the partner gets another link. None: nothing."""
        ...


class _EndedError(Exception):
    """Nothing is to be done with this entry any more: it was seen before, or its box is closed for ever."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True, slots=True)
class _Known:
    """What the inside knows about an entry before it opens anything."""

    box: Box
    generation: Generation


class Incoming:
    """Takes entries. One at a time for a box; safe for several boxes at once."""

    def __init__(
        self,
        *,
        database: Database,
        tenant: str,
        portal_id: str,
        actor: Actor,
        keys: MailboxKeys,
        generations: Generations,
        sealer: Sealer,
        replies: Replies,
        policy: Callable[[], IncomingPolicy],
        tidings: Tidings,
        joins: JoinTaker | None = None,
    ) -> None:
        """`joins` None: no registration link was ever made."""
        self._database = database
        self._tenant = tenant
        self._portal = portal_id
        self._actor = actor
        self._keys = keys
        self._generations = generations
        self._sealer = sealer
        self._replies = replies
        self._policy = policy
        self._tidings = tidings
        self._joins = joins

    def take(self, entry: Entry, fetch: Fetch) -> Result:
        """Verify an entry and make it true, or refuse it; return what the portal is told.

        `fetch(i, n)` gives a sealed chunk of the item; it raises MailboxDataError where the portal has none. Raises
        temporary errors only (StorageError, KeyStoreError, LinkError): then nothing was done.
        """
        try:
            match entry:
                case ItemEntry():
                    return self._take_item(entry, fetch)
                case RekeyEntry():
                    return self._take_rekey(entry)
                case JoinEntry() if self._joins is not None:
                    return self._take_join(entry, self._joins)
                case JoinEntry():
                    raise MailboxDataError("unknown", "registration: there is no such link")
                case BrokenEntry():
                    raise MailboxDataError("format", "entry: its outer shape is wrong")
        except _EndedError as ended:
            return ended.result
        except MailboxDataError as error:
            return self._refuse(entry, error.code)

    # --- what both kinds have in common -------------------------------------------------------------------------------

    def _look_up(self, tx: Tx, box_id: str, outer_id: str) -> Box:
        """Box known and open, then seen before."""
        try:
            box = boxes.get_box(tx, self._tenant, box_id)
        except NotFoundError as error:
            raise MailboxDataError("unknown", "entry: the box is not known") from error
        seen = find_seen(tx, self._tenant, box_id, outer_id)
        if seen is not None:
            raise _EndedError(Result(seen))
        if box.state == BoxState.CLOSED:
            # What was seen of it is forgotten (11): nobody is left to be told, and nothing to be alarmed about.
            raise _EndedError(Result.REFUSED)
        return box

    def _grant(self, subject: str) -> Grant:
        return Grant("mailbox", subject, str(self._actor))

    def _note(self, tx: Tx, box: Box, outer_id: str, kind: str, result: Result) -> None:
        if not note_entry(tx, self._tenant, box.id, outer_id, kind=kind, result=result.value):
            raise _EndedError(result)

    def _lock(self, tx: Tx, known: Box) -> Box:
        """Return the box, held from here on. Raises ConflictError when it moved since it was looked at."""
        now = boxes.get_box(tx, self._tenant, known.id, lock=True)
        if (now.state, now.gen) != (known.state, known.gen):
            raise ConflictError("the mailbox was changed meanwhile")
        return now

    def _place(self, box: Box, enc: bytes, gen: int) -> Place:
        """Take the next number of the box and say where a word of ours goes. Raises StorageError."""
        with self._database.transaction() as tx:
            card = newest_card(tx, self._tenant)
            if card is None:
                raise LetterlockError("there is no card")
            no = boxes.take_number(tx, self._tenant, box.id)
        return Place(self._tenant, self._portal, box.id, gen, enc, card.serial, no)

    def _queue(self, tx: Tx, sealed: SealedMessage) -> None:
        sealed.store(tx)
        message = sealed.message
        pushes.add_push(tx, self._tenant, pushes.MESSAGE, box=message.box, ref=message.id)

    # --- items --------------------------------------------------------------------------------------------------------

    def _take_item(self, entry: ItemEntry, fetch: Fetch) -> Result:
        with self._database.reading() as tx:
            box = self._look_up(tx, entry.box, entry.id)
            known = self._check_generation(tx, box, entry)
            self._check_card(tx, entry.card)
        item = open_up(
            entry.sealed,
            lambda info, sealed: self._keys.open_item(entry.card, info, sealed, self._grant(entry.box)),
            sign=decode_b64(known.generation.sign),
            portal=self._portal,
            box=entry.box,
            gen=entry.gen,
            id_=entry.id,
            card=entry.card,
        )
        if item.kind == "reply":
            # Whoever sealed it holds the box's key: a refusal is told to the reader by our signed word too.
            try:
                return self._take_reply(entry, known, item, fetch)
            except MailboxDataError as error:
                return self._refuse(entry, error.code, known=known)
        message = self._check_subject(box, item)
        with self._database.transaction() as tx:
            box = self._lock(tx, box)
            self._note(tx, box, entry.id, item.kind, Result.TAKEN)
            self._apply(tx, box, item, message)
        return Result.TAKEN

    def _check_generation(self, tx: Tx, box: Box, entry: ItemEntry) -> _Known:
        if entry.gen != box.gen:
            raise MailboxDataError("generation", "item: not of the present generation")
        generation = get_generation(tx, self._tenant, box.id, entry.gen)
        if box.kind != boxes.REPLY and generation.made_by != BROWSER:
            # Nobody answers under a first password (11).
            raise MailboxDataError("generation", "item: under a first password")
        if generation.expired_at is not None:
            raise MailboxDataError("expired", "item: the generation has ended")
        return _Known(box, generation)

    def _check_card(self, tx: Tx, serial: int) -> StoredCard:
        try:
            card = get_card(tx, self._tenant, serial)
        except NotFoundError as error:
            raise MailboxDataError("card", "item: the card is not known") from error
        if card.superseded_at is not None and tx.now_ms() - card.superseded_at > REPLY_KEY_DAYS * DAY:
            raise MailboxDataError("card", "item: the card is too old")
        return card

    def _check_subject(self, box: Box, item: Item) -> BoxMessage | None:
        """What the item is about was sent to this box, and policy allows it."""
        if item.mode != "browser" and not self._policy().server_mode:
            raise MailboxDataError("unknown", "item: server mode is off")
        if item.re is None:
            return None
        try:
            with self._database.reading() as tx:
                message = get_box_message(tx, self._tenant, box.id, item.re)
        except NotFoundError as error:
            raise MailboxDataError("binding", "item: answers what was not sent to this box") from error
        return message

    def _apply(self, tx: Tx, box: Box, item: Item, message: BoxMessage | None) -> None:
        detail: dict[str, EventDetail] = {"box": box.id}
        if message is not None:
            detail["message"] = message.id
        match item.kind:
            case "read":
                assert message is not None
                if mark_message_read(tx, self._tenant, box.id, message.id):
                    self._tidings.message_read(tx, box, message)
            case "deleted":
                assert message is not None
                drop_message(tx, self._tenant, box.id, message.id)
                pushes.drop_pushes(tx, self._tenant, box.id, [pushes.MESSAGE], message.id)
            case "damaged":
                detail["code"] = item.code
                reason = f"a reader's browser could not verify a message ({item.code})"
                self._alert(tx, reason, message.message_id if message else None)
            case "close":
                close_box(tx, box, self._actor)
                self._tidings.box_closed(tx, box)
        spool_id = message.message_id if message else None
        copy_id = message.copy_id if message else None
        tx.append_event(Event(f"mailbox.{item.kind}", self._actor, self._tenant, spool_id, copy_id, detail))

    # --- answers ------------------------------------------------------------------------------------------------------

    def _take_reply(self, entry: ItemEntry, known: _Known, item: Item, fetch: Fetch) -> Result:
        message = self._check_subject(known.box, item)
        if message is None or message.kind not in _ANSWERED:
            raise MailboxDataError("binding", "item: answers what is no mail")
        self._check_parts(entry, item)
        prepared = self._replies.prepare(known.box, message, item, fetch)
        try:
            result = Result.REFUSED if prepared.is_infected else Result.TAKEN
            receipt = self._make_receipt(known, entry.id, result)
            with self._database.transaction() as tx:
                box = self._lock(tx, known.box)
                self._note(tx, box, entry.id, item.kind, result)
                prepared.finish(tx)
                self._queue(tx, receipt)
                self._note_reply(tx, box, message, prepared)
        except BaseException:
            prepared.abort()
            raise
        return result

    def _check_parts(self, entry: ItemEntry, item: Item) -> None:
        outer = {part.i: part.chunks for part in entry.parts}
        if outer != {part.i: count_chunks(part.size) for part in item.parts}:
            raise MailboxDataError("size", "item: not the chunks of its parts")
        if sum(part.size for part in item.parts) > self._policy().max_octets:
            raise MailboxDataError("size", "item: larger than policy allows")

    def _make_receipt(self, known: _Known, item_id: str, result: Result) -> SealedMessage:
        place = self._place(known.box, decode_b64(known.generation.enc), known.generation.gen)
        state = "arrived" if result is Result.TAKEN else "refused"
        now = self._database.clock.now_ms()
        return self._sealer.seal_receipt(place, item_id, state, now, now + RECEIPT_MS)

    def _note_reply(self, tx: Tx, box: Box, message: BoxMessage, prepared: PreparedReply) -> None:
        detail: dict[str, EventDetail] = {
            "box": box.id,
            "message": message.id,
            "as": prepared.message_id,
            "recipients": prepared.recipients,
            "octets": prepared.octets,
            "infected": prepared.is_infected,
        }
        tx.append_event(Event("mailbox.reply", self._actor, self._tenant, message.message_id, message.copy_id, detail))
        if prepared.is_infected:
            self._alert(tx, "an answer from the portal is held: the scanner found something", prepared.message_id)

    # --- rekeys -------------------------------------------------------------------------------------------------------

    def _take_rekey(self, entry: RekeyEntry) -> Result:
        outer_id = hash_capsule(entry.capsule)
        with self._database.reading() as tx:
            box = self._look_up(tx, entry.box, outer_id)
            self._look_up(tx, entry.box, _refused_id(entry))
            if find_generation(tx, self._tenant, box.id, outer_id) is not None:
                # Pushed by ourselves once, or taken before a back-up of ours was restored.
                raise _EndedError(Result.TAKEN)
            kept = {one.gen: one for one in generations_of(tx, self._tenant, box.id)}
            card = newest_card(tx, self._tenant)
        capsule = self._check_capsule(entry, box, kept, card)
        has_escrow = capsule.escrow is not None and self._has_escrow(capsule)
        account = Account(capsule.gen, capsule.enc, capsule.sign)
        place = self._place(box, capsule.enc, capsule.gen)
        with self._database.reading() as tx:
            now = tx.now_ms()
        word = self._sealer.seal_account(place, account, now, now + RECEIPT_MS)
        generation = self._generations.keep_browsers(capsule, now, escrow_fits=has_escrow)
        with self._database.transaction() as tx:
            before = self._lock(tx, box)
            self._note(tx, before, outer_id, _REKEY, Result.TAKEN)
            after = accept_rekey(tx, before, generation, self._actor)
            # The portal holds this capsule already: the reader gave it to it.
            pushes.drop_pushes(tx, self._tenant, box.id, [pushes.BOX])
            self._queue(tx, word)
            self._tidings.rekeyed(tx, before, after)
            if not has_escrow and card is not None and _wants_escrow(card):
                self._alert(tx, f"mailbox {box.id} has no escrow: a reset would lose its old mail", None)
        return Result.TAKEN

    def _check_capsule(
        self, entry: RekeyEntry, box: Box, kept: dict[int, Generation], card: StoredCard | None
    ) -> Capsule:
        capsule = read_capsule(entry.capsule, kind=boxes.MAILBOX)
        if box.kind != boxes.MAILBOX or (capsule.portal, capsule.box) != (self._portal, box.id):
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
            return self._keys.check_escrow(capsule.octets, self._grant(capsule.box))
        except MailboxDataError:
            return False

    # --- registrations ------------------------------------------------------------------------------------------------

    def _take_join(self, entry: JoinEntry, joins: JoinTaker) -> Result:
        with self._database.reading() as tx:
            seen = find_seen(tx, self._tenant, "", entry.id)
        return joins.take_join(entry) if seen is None else Result(seen)

    # --- refusing -----------------------------------------------------------------------------------------------------

    def _refuse(self, entry: Entry, code: str, *, known: _Known | None = None) -> Result:
        """Keep a refused entry and alert; with `known` (its signature was good) the reader gets our signed word."""
        box_id = entry.box or ""
        kind, data = _as_kept(entry)
        outer_id = _refused_id(entry)
        receipt = self._make_receipt(known, entry.id, Result.REFUSED) if known is not None else None
        more = self._joins.prepare_refusal(entry) if self._joins and isinstance(entry, JoinEntry) else None
        with self._database.transaction() as tx:
            if known is not None:
                self._lock(tx, known.box)
            if note_entry(tx, self._tenant, box_id, outer_id, kind=kind, result=Result.REFUSED.value):
                quarantine_entry(tx, self._tenant, box_id, outer_id, kind=kind, code=code, data=data)
                if receipt is not None:
                    self._queue(tx, receipt)
                if more is not None:
                    more(tx)
                detail: dict[str, EventDetail] = {"box": box_id, "kind": kind, "code": code}
                tx.append_event(Event("mailbox.refused", self._actor, self._tenant, detail=detail))
                self._alert(tx, f"an entry from the portal was refused ({code})", None)
        return Result.REFUSED

    def _alert(self, tx: Tx, reason: str, message_id: str | None) -> None:
        tx.append_event(Event("alert.raised", self._actor, self._tenant, message_id, detail={"reason": reason}))


def _refused_id(entry: Entry) -> str:
    """Return what a refused entry is known by. A rekey with its signature: else whoever hands over a reader's capsule
    under a bad one first would have the good one refused."""
    return hash_capsule(entry.sig + entry.capsule) if isinstance(entry, RekeyEntry) else entry.id


def _as_kept(entry: Entry) -> tuple[str, bytes]:
    match entry:
        case ItemEntry():
            return _ITEM, entry.sealed
        case RekeyEntry():
            return _REKEY, entry.sig + entry.capsule
        case JoinEntry():
            return _JOIN, entry.sealed
        case BrokenEntry():
            return _BROKEN, b""


def _suite_of(card: StoredCard) -> int:
    return read_card(decode_record(card.record.encode()).card).mailbox_suite


def _wants_escrow(card: StoredCard) -> bool:
    return read_card(decode_record(card.record.encode()).card).escrow is not None
