"""What taking an item and taking a rekey have in common: known and open, seen before, held while it is made true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay.core.clock import DAY
from relay.core.errors import LetterlockError
from relay.core.ports import Actor, Event, Grant
from relay.core.wire.sealed import MailboxDataError
from relay.mailbox.incoming_values import Result
from relay.mailbox.seal import Place, SealedMessage
from relay.mailbox.states import BoxState
from relay.store.base import Database, Tx
from relay.store.errors import ConflictError, NotFoundError
from relay.store.repositories import mailbox_boxes as boxes
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import newest_card
from relay.store.repositories.mailbox_entries import find_seen, note_entry
from relay.store.repositories.mailbox_messages import BoxMessage

RECEIPT_MS = 3680 * DAY
"""How long receipts are kept where the portal does not say how long it keeps what they are about: its most, and some
days for what is late."""
ACCOUNT_MS = 3680 * DAY
"""How long account words are kept at most. A newer generation ends them, and before their time is over another follows
(relay.mailbox.account_words)."""
_LATE_DAYS = 30


def receipt_ms(sent_days: int | None) -> int:
    """Return how long a receipt is kept, so that it outlives what the reader sees as sent."""
    return RECEIPT_MS if sent_days is None else (sent_days + _LATE_DAYS) * DAY


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

    def answer_held(self, tx: Tx, box: Box, message: BoxMessage, held_id: str) -> None:
        """The scanner found something in an answer to `message`; it waits for a person under `held_id`."""
        ...


class EndedError(Exception):
    """Nothing is to be done with this entry any more: it was seen before, or its box is closed for ever."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True, slots=True)
class Desk:
    """Where entries are taken."""

    database: Database
    tenant: str
    portal: str
    """The portal's id."""
    actor: Actor

    def look_up(self, tx: Tx, box_id: str, outer_id: str) -> Box:
        """Return a box that is known and open, for an entry that was not seen before.

        Raises MailboxDataError `unknown`, EndedError.
        """
        try:
            box = boxes.get_box(tx, self.tenant, box_id)
        except NotFoundError as error:
            raise MailboxDataError("unknown", "entry: the box is not known") from error
        seen = find_seen(tx, self.tenant, box_id, outer_id)
        if seen is not None:
            raise EndedError(Result(seen))
        if box.state == BoxState.CLOSED:
            # What was seen of it is forgotten (11): nobody is left to be told, and nothing to be alarmed about.
            raise EndedError(Result.REFUSED)
        return box

    def grant(self, subject: str) -> Grant:
        """Return the grant for a use of keys that `subject` allows: a box."""
        return Grant("mailbox", subject, str(self.actor))

    def note(self, tx: Tx, box: Box, outer_id: str, kind: str, result: Result) -> None:
        """Note an entry as seen, as part of `tx`. Raises EndedError when somebody else was faster."""
        if not note_entry(tx, self.tenant, box.id, outer_id, kind=kind, result=result.value):
            raise EndedError(result)

    def lock(self, tx: Tx, known: Box) -> Box:
        """Return the box, held from here on. Raises ConflictError when it moved since it was looked at."""
        now = boxes.get_box(tx, self.tenant, known.id, lock=True)
        if (now.state, now.gen) != (known.state, known.gen):
            raise ConflictError("the mailbox was changed meanwhile")
        return now

    def place(self, box: Box, enc: bytes, gen: int) -> Place:
        """Take the next number of the box and say where a word of ours goes. Raises StorageError."""
        with self.database.transaction() as tx:
            card = newest_card(tx, self.tenant)
            if card is None:
                raise LetterlockError("there is no card")
            no = boxes.take_number(tx, self.tenant, box.id)
        return Place(self.tenant, self.portal, box.id, gen, enc, card.serial, no)

    def queue(self, tx: Tx, sealed: SealedMessage) -> None:
        """Store a word of ours and queue its push."""
        sealed.store(tx)
        message = sealed.message
        pushes.add_push(tx, self.tenant, pushes.MESSAGE, box=message.box, ref=message.id)

    def alert(self, tx: Tx, reason: str, message_id: str | None = None) -> None:
        """Tell the operator."""
        tx.append_event(Event("alert.raised", self.actor, self.tenant, message_id, detail={"reason": reason}))
