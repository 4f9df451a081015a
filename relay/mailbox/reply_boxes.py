"""What stands behind the Reply link of a PDF: a box for each PDF password, a ticket for each PDF (sealed-mailbox 12).

The capsule is made with the PDF's own password (kdf 2), so the page opens with what the reader has anyway; only secrets
that a machine made serve, 71 bits or more. Where the partner chose the password, or policy wants it, a code that the
PDF prints opens the page instead: one a box, sealed by keyd, printed in each PDF of that password. A password that
opened a page before policy wanted a code gets a second box; the links of the first lead there until they end. Cheap on
purpose: the box once a password, a ticket with one signature a PDF, and all of it in the transaction that queues the
mail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pdfmail.passphrase import generate_password
from relay.core.clock import DAY
from relay.core.ids import new_id
from relay.core.ports import Actor, Event, Grant, SealedBlob
from relay.core.wire.contexts import reply_code_context
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import KDF_REPLY, MailboxDataError, format_time, read_crockford, read_secret, stretch
from relay.core.wire.sealed.forms import REPLY_LENGTH
from relay.mailbox.boxes import close_box
from relay.mailbox.compose import TooLargeForMailboxError, compose_ticket
from relay.mailbox.generations import Generations, MadeGeneration
from relay.mailbox.seal import MailFacts, Place, SealedMessage, Sealer
from relay.mailbox.states import BoxState
from relay.message.parse import ParsedMessage
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import ConflictError
from relay.store.repositories import mailbox_boxes as rows
from relay.store.repositories import mailbox_generations as generation_rows
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import newest_card
from relay.store.repositories.mailbox_messages import TICKET
from relay.store.repositories.reply_codes import add_reply_code, find_reply_code

FILES_OCTETS = 25 * 1024 * 1024
"""Up to this size a PDF's files lie on the reply page too."""
_DIGITS = 24


@dataclass(frozen=True, slots=True)
class TicketJob:
    """What one ticket is made from. Times in milliseconds."""

    parsed: ParsedMessage
    subject: str
    sender: str
    """Normal address of the inside sender."""
    partner_id: str
    password: str
    password_id: str | None
    """None for one that becomes a row with this mail."""
    language: str
    token: str
    message_id: str
    copy_id: str
    expires_ms: int
    wants_code: bool = False
    """The password must not open the page: a printed code does."""
    files_allowed: bool = True
    """Whether an answer may have files."""
    own_domains: frozenset[str] | None = None
    """Ours: an answer to all goes there alone."""


@dataclass(frozen=True, slots=True)
class PreparedTicket:
    """A sealed ticket that no one sees yet. Close `sealed`, recorded or not."""

    box: Box
    made: MadeGeneration | None
    sealed: SealedMessage
    token_hash: str
    code: str = field(default="", repr=False)
    """What the PDF prints for the page, "" where its password opens it."""
    code_blob: SealedBlob | None = None
    """Of a code that is new with this ticket."""


class ReplyBoxes:
    """Makes reply boxes and tickets. Holds no password longer than a call."""

    def __init__(
        self, database: Database, generations: Generations, sealer: Sealer, *, tenant: str, actor: Actor
    ) -> None:
        self._database = database
        self._generations = generations
        self._sealer = sealer
        self._tenant = tenant
        self._actor = actor

    def prepare(self, job: TicketJob) -> PreparedTicket | None:
        """Seal a ticket, and make the box where the password has none; None where no reply page can be had.

        That is: no card yet, a password that no machine made (and no code wanted), or a box that was closed. Raises
        KeyStoreError, StorageError, OSError.
        """
        with self._database.reading() as tx:
            now = tx.now_ms()
            card = newest_card(tx, self._tenant)
            held = rows.find_reply_boxes(tx, self._tenant, job.password_id) if job.password_id else []
            # One that the password opens is no use where it must not, whatever policy said when it was made.
            box = next((one for one in held if one.coded is job.wants_code), None)
            stored = generation_rows.get_generation(tx, self._tenant, box.id, 1) if box else None
            code_blob = find_reply_code(tx, self._tenant, box.id) if box else None
        if card is None or (box is not None and box.state == BoxState.CLOSED):
            return None
        grant = Grant("protect", job.message_id, str(self._actor))
        made: MadeGeneration | None = None
        code, new_blob = "", None
        if box is None or stored is None:
            secret = code = generate_password() if job.wants_code else ""
            secret = secret or job.password
            form = find_form(secret)
            if form is None:
                return None
            box, made = self._make(job, form, secret, grant, now)
            enc = made.enc
            if code:
                context = reply_code_context(self._tenant, box.id)
                new_blob = self._generations.keystore.seal(context, code.encode("ascii"))
        else:
            enc = decode_b64(stored.enc)
            if code_blob is not None:
                context = reply_code_context(self._tenant, box.id)
                code = self._generations.keystore.open(context, code_blob, grant).decode("ascii")
        no = 1 if made is not None else self._take_number(box)
        place = Place(self._tenant, self._generations.portal, box.id, 1, enc, card.serial, no)
        facts = MailFacts(
            kind=TICKET,
            sender=job.sender,
            copy_id=job.copy_id,
            message_id=job.message_id,
            time_ms=now,
            expires_ms=job.expires_ms,
            files_allowed=job.files_allowed,
            own_domains=job.own_domains,
            # As things stand: the password is in use. Once it is retired the receipt says that there was none.
            copy=True,
        )
        sealed = self._seal(job, place, facts)
        return PreparedTicket(box, made, sealed, hash_token(job.token), code, new_blob)

    def _make(self, job: TicketJob, form: str, secret: str, grant: Grant, now: int) -> tuple[Box, MadeGeneration]:
        box_id = new_id()
        keys = stretch(self._generations.portal, box_id, KDF_REPLY, read_secret(form, secret))
        made = self._generations.make_reply(box_id, form, keys, grant, now)
        box = Box(
            id=box_id,
            tenant=self._tenant,
            kind=rows.REPLY,
            partner_id=job.partner_id,
            login_name=None,
            state=BoxState.ACTIVE.value,
            gen=1,
            form=form,
            password_id=None,
            created_at=now,
            lang=job.language,
            coded=job.wants_code,
        )
        return box, made

    def _take_number(self, box: Box) -> int:
        with self._database.transaction() as tx:
            return rows.take_number(tx, self._tenant, box.id)

    def _seal(self, job: TicketJob, place: Place, facts: MailFacts) -> SealedMessage:
        for most in (FILES_OCTETS, -1):
            ticket = compose_ticket(job.parsed, job.subject, job.sender, most_octets=most)
            with suppress(TooLargeForMailboxError):
                return self._sealer.seal_mail(place, ticket, facts)
        raise TooLargeForMailboxError("The text is larger than what a reply page takes.")

    def record(self, tx: Tx, ticket: PreparedTicket, password_id: str) -> None:
        """Store box, ticket and token and queue their pushes as part of `tx`.

        Raises ConflictError when another mail made this password's box first: prepare again.
        """
        box, message = ticket.box, ticket.sealed.message
        if ticket.made is not None:
            row = {name: getattr(box, name) for name in box.__dataclass_fields__} | {"password_id": password_id}
            row["next_no"] = message.no + 1
            if not rows.add_box(tx, Box(**row)):
                raise ConflictError("another mail with this password made the reply box first")
            generation_rows.add_generation(tx, ticket.made.row)
            if ticket.code_blob is not None:
                add_reply_code(tx, self._tenant, box.id, ticket.code_blob)
            pushes.add_push(tx, self._tenant, pushes.BOX, box=box.id, ref="1")
            detail: dict[str, EventDetail] = {"box": box.id, "partner": box.partner_id, "password": password_id}
            tx.append_event(Event("replybox.created", self._actor, self._tenant, detail=detail))
        else:
            # Held, so that its pushes keep the order of the commits.
            rows.get_box(tx, self._tenant, box.id, lock=True)
        ticket.sealed.store(tx)
        pushes.add_push(tx, self._tenant, pushes.MESSAGE, box=box.id, ref=message.id)
        told = {"id": message.id, "expires": format_time(message.expires_at)}
        pushes.add_push(tx, self._tenant, pushes.TOKEN, box=box.id, ref=ticket.token_hash, detail=told)


def find_form(password: str) -> str | None:
    """Return the form of a machine-made PDF password, None for any other."""
    if read_crockford(password, REPLY_LENGTH) is not None:
        return "b32"
    try:
        digits = read_secret("digits", password)
    except MailboxDataError:
        return None
    return "digits" if len(digits) == _DIGITS and set(password) <= set("0123456789- ") else None


def hash_token(token: str) -> str:
    """Return what the portal knows of a link's token: SHA-256 of its text, b64."""
    return encode_b64(hashlib.sha256(token.encode("ascii")).digest())


def close_idle_reply_boxes(database: Database, tenant: str, actor: Actor, limit: int = 100) -> int:
    """Close the boxes of passwords out of use whose last link has expired; return how many."""
    with database.reading() as tx:
        idle = rows.idle_reply_boxes(tx, tenant, tx.now_ms() - DAY, limit)
    for box in idle:
        with database.transaction() as tx:
            held = rows.get_box(tx, tenant, box.id, lock=True)
            if held.state != BoxState.CLOSED:
                close_box(tx, held, actor)
    return len(idle)


def close_leaked_reply_boxes(tx: Tx, tenant: str, password_ids: Sequence[str], actor: Actor) -> int:
    """Close the boxes of PDF passwords that somebody else knows, at once; return how many."""
    count = 0
    for password_id in password_ids:
        for box in rows.find_reply_boxes(tx, tenant, password_id):
            if box.state != BoxState.CLOSED:
                close_box(tx, rows.get_box(tx, tenant, box.id, lock=True), actor)
                count += 1
    return count
