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

from relay.core.clock import DAY, HOUR, MINUTE
from relay.core.ports import Actor, Event
from relay.core.ports_mailbox import REPLY_KEY_DAYS, MailboxKeys
from relay.core.wire.pae import decode_b64
from relay.core.wire.sealed import (
    Item,
    MailboxDataError,
    Part,
    count_chunks,
    open_up,
)
from relay.mailbox.boxes import close_box, drop_read_message
from relay.mailbox.generations import Generations
from relay.mailbox.incoming_desk import RECEIPT_MS, Desk, EndedError, Tidings
from relay.mailbox.incoming_rekey import KIND as REKEY
from relay.mailbox.incoming_rekey import Rekeys, refused_rekey_id
from relay.mailbox.incoming_reply import Fetch, PreparedReply, Replies
from relay.mailbox.incoming_values import BrokenEntry, Entry, ItemEntry, JoinEntry, RekeyEntry, Result
from relay.mailbox.seal import SealedMessage, Sealer
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories import mailbox_boxes as boxes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import StoredCard, get_card
from relay.store.repositories.mailbox_entries import count_quarantine, find_seen, note_entry, quarantine_entry
from relay.store.repositories.mailbox_generations import (
    BROWSER,
    Generation,
    get_generation,
)
from relay.store.repositories.mailbox_messages import (
    MAIL,
    TICKET,
    BoxMessage,
    get_box_message,
    mark_message_read,
)

_ITEM, _JOIN, _BROKEN = "item", "join", "broken"
_ANSWERED = (MAIL, TICKET)
MOST_REFUSED_AN_HOUR = 500
"""Refused entries of an hour that are kept and written down one by one: a portal that invents them fills no disk."""


@dataclass(frozen=True, slots=True)
class IncomingPolicy:
    """What the organisation allows."""

    max_octets: int
    """Of all parts of an answer together."""
    server_mode: bool = False
    """Items made by the portal's own process, where `portal.decrypt` opts in (13)."""
    reply_files: bool = True
    """Answers to tickets of which nobody knows what they said may have files. Else the ticket counts (12, 16)."""


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
        receipt_ms: Callable[[], int] = lambda: RECEIPT_MS,
    ) -> None:
        """`joins` None: no registration link was ever made. `receipt_ms`: how long receipts made now are kept."""
        self._desk = Desk(database, tenant, portal_id, actor)
        self._rekeys = Rekeys(self._desk, keys, generations, sealer, tidings)
        self._keys = keys
        self._sealer = sealer
        self._replies = replies
        self._policy = policy
        self._tidings = tidings
        self._joins = joins
        self._receipt_ms = receipt_ms
        self._flood_told_at: int | None = None

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
                    return self._rekeys.take(entry)
                case JoinEntry() if self._joins is not None:
                    return self._take_join(entry, self._joins)
                case JoinEntry():
                    raise MailboxDataError("unknown", "registration: there is no such link")
                case BrokenEntry():
                    raise MailboxDataError("format", "entry: its outer shape is wrong")
        except EndedError as ended:
            return ended.result
        except MailboxDataError as error:
            return self._refuse(entry, error.code)

    # --- items --------------------------------------------------------------------------------------------------------

    def _take_item(self, entry: ItemEntry, fetch: Fetch) -> Result:
        with self._desk.database.reading() as tx:
            box = self._desk.look_up(tx, entry.box, entry.id)
            known = self._check_generation(tx, box, entry)
            self._check_card(tx, entry.card)
        item = open_up(
            entry.sealed,
            lambda info, sealed: self._keys.open_item(entry.card, info, sealed, self._desk.grant(entry.box)),
            sign=decode_b64(known.generation.sign),
            portal=self._desk.portal,
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
        with self._desk.database.transaction() as tx:
            box = self._desk.lock(tx, box)
            self._desk.note(tx, box, entry.id, item.kind, Result.TAKEN)
            self._apply(tx, box, item, message)
        return Result.TAKEN

    def _check_generation(self, tx: Tx, box: Box, entry: ItemEntry) -> _Known:
        if entry.gen != box.gen:
            raise MailboxDataError("generation", "item: not of the present generation")
        generation = get_generation(tx, self._desk.tenant, box.id, entry.gen)
        if box.kind != boxes.REPLY and generation.made_by != BROWSER:
            # Nobody answers under a first password (11).
            raise MailboxDataError("generation", "item: under a first password")
        if generation.expired_at is not None:
            raise MailboxDataError("expired", "item: the generation has ended")
        return _Known(box, generation)

    def _check_card(self, tx: Tx, serial: int) -> StoredCard:
        try:
            card = get_card(tx, self._desk.tenant, serial)
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
            with self._desk.database.reading() as tx:
                message = get_box_message(tx, self._desk.tenant, box.id, item.re)
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
                if mark_message_read(tx, self._desk.tenant, box.id, message.id):
                    self._tidings.message_read(tx, box, message)
            case "deleted":
                assert message is not None
                drop_read_message(tx, self._desk.tenant, box.id, message.id)
            case "damaged":
                detail["code"] = item.code
                reason = f"a reader's browser could not verify a message ({item.code})"
                self._desk.alert(tx, reason, message.message_id if message else None)
            case "close":
                close_box(tx, box, self._desk.actor)
                self._tidings.box_closed(tx, box)
        spool_id = message.message_id if message else None
        copy_id = message.copy_id if message else None
        tx.append_event(Event(f"mailbox.{item.kind}", self._desk.actor, self._desk.tenant, spool_id, copy_id, detail))

    # --- answers ------------------------------------------------------------------------------------------------------

    def _take_reply(self, entry: ItemEntry, known: _Known, item: Item, fetch: Fetch) -> Result:
        message = self._check_subject(known.box, item)
        if message is None or message.kind not in _ANSWERED:
            raise MailboxDataError("binding", "item: answers what is no mail")
        if any(_is_file(part) for part in item.parts) and not self._takes_files(message):
            raise MailboxDataError("unknown", "item: files on a reply page are off")
        self._check_parts(entry, item)
        prepared = self._replies.prepare(known.box, message, item, fetch)
        try:
            result = Result.REFUSED if prepared.is_infected else Result.TAKEN
            copy = None if message.kind != TICKET else prepared.copy is not None and not prepared.is_infected
            receipt = self._make_receipt(known, entry.id, result, copy=copy)
            with self._desk.database.transaction() as tx:
                box = self._desk.lock(tx, known.box)
                self._desk.note(tx, box, entry.id, item.kind, result)
                prepared.finish(tx)
                self._desk.queue(tx, receipt)
                self._note_reply(tx, box, message, prepared)
        except BaseException:
            prepared.abort()
            raise
        return result

    def _takes_files(self, message: BoxMessage) -> bool:
        """What a ticket promised is kept, whatever the switch says by now: the page that asks goes by the ticket."""
        if message.kind != TICKET:
            return True
        return self._policy().reply_files if message.files is None else message.files

    def _check_parts(self, entry: ItemEntry, item: Item) -> None:
        outer = {part.i: part.chunks for part in entry.parts}
        if outer != {part.i: count_chunks(part.size) for part in item.parts}:
            raise MailboxDataError("size", "item: not the chunks of its parts")
        if sum(part.size for part in item.parts) > self._policy().max_octets:
            raise MailboxDataError("size", "item: larger than policy allows")

    def _make_receipt(self, known: _Known, item_id: str, result: Result, *, copy: bool | None = None) -> SealedMessage:
        place = self._desk.place(known.box, decode_b64(known.generation.enc), known.generation.gen)
        state = "arrived" if result is Result.TAKEN else "refused"
        now = self._desk.database.clock.now_ms()
        return self._sealer.seal_receipt(place, item_id, state, now, now + self._receipt_ms(), copy=copy)

    def _note_reply(self, tx: Tx, box: Box, message: BoxMessage, prepared: PreparedReply) -> None:
        detail: dict[str, EventDetail] = {
            "box": box.id,
            "message": message.id,
            "as": prepared.message_id,
            "recipients": prepared.recipients,
            "octets": prepared.octets,
            "infected": prepared.is_infected,
        }
        tx.append_event(
            Event("mailbox.reply", self._desk.actor, self._desk.tenant, message.message_id, message.copy_id, detail)
        )
        if prepared.is_infected:
            self._desk.alert(tx, "an answer from the portal is held: the scanner found something", prepared.message_id)
            self._tidings.answer_held(tx, box, message, prepared.message_id)

    # --- registrations ------------------------------------------------------------------------------------------------

    def _take_join(self, entry: JoinEntry, joins: JoinTaker) -> Result:
        with self._desk.database.reading() as tx:
            seen = find_seen(tx, self._desk.tenant, "", entry.id)
        return joins.take_join(entry) if seen is None else Result(seen)

    # --- refusing -----------------------------------------------------------------------------------------------------

    def _refuse(self, entry: Entry, code: str, *, known: _Known | None = None) -> Result:
        """Keep a refused entry and alert; with `known` (its signature was good) the reader gets our signed word."""
        is_flood = self._is_flood()
        box_id = entry.box or ""
        plain = _JOIN if isinstance(entry, JoinEntry) else _ITEM
        kind, data = (plain, b"") if is_flood else self._as_kept(entry)
        outer_id = _refused_id(entry)
        receipt = self._make_receipt(known, entry.id, Result.REFUSED) if known is not None else None
        more = self._joins.prepare_refusal(entry) if self._joins and isinstance(entry, JoinEntry) else None
        if is_flood:
            self._tell_of_flood()
            if receipt is None and more is None:
                # The portal's word alone: refused again should it come again.
                return Result.REFUSED
        with self._desk.database.transaction() as tx:
            if known is not None:
                self._desk.lock(tx, known.box)
            if note_entry(tx, self._desk.tenant, box_id, outer_id, kind=kind, result=Result.REFUSED.value):
                if not is_flood:
                    quarantine_entry(tx, self._desk.tenant, box_id, outer_id, kind=kind, code=code, data=data)
                    self._desk.alert(tx, f"an entry from the portal was refused ({code})", None)
                if receipt is not None:
                    self._desk.queue(tx, receipt)
                if more is not None:
                    more(tx)
                detail: dict[str, EventDetail] = {"box": box_id, "kind": kind, "code": code}
                tx.append_event(Event("mailbox.refused", self._desk.actor, self._desk.tenant, detail=detail))
        return Result.REFUSED

    def _is_flood(self) -> bool:
        with self._desk.database.reading() as tx:
            since = tx.now_ms() - HOUR
            return count_quarantine(tx, self._desk.tenant, since, MOST_REFUSED_AN_HOUR) >= MOST_REFUSED_AN_HOUR

    def _tell_of_flood(self) -> None:
        now = self._desk.database.clock.now_ms()
        if self._flood_told_at is not None and now - self._flood_told_at < MINUTE:
            return
        self._flood_told_at = now
        with self._desk.database.transaction() as tx:
            reason = f"the portal hands over more than {MOST_REFUSED_AN_HOUR} entries an hour that are refused"
            self._desk.alert(tx, f"{reason}: they are not kept any more; is its host in foreign hands?", None)

    def _as_kept(self, entry: Entry) -> tuple[str, bytes]:
        match entry:
            case ItemEntry():
                return _ITEM, entry.sealed
            case RekeyEntry():
                return REKEY, self._rekeys.keep_refused(entry)
            case JoinEntry():
                return _JOIN, entry.sealed
            case BrokenEntry():
                return _BROKEN, b""


def _is_file(part: Part) -> bool:
    return part.role not in ("text", "html")


def _refused_id(entry: Entry) -> str:
    """Return what a refused entry is known by."""
    return refused_rekey_id(entry) if isinstance(entry, RekeyEntry) else entry.id
