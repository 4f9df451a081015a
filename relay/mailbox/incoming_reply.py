"""An answer on its way into the spool: who gets it by our own record, its parts opened and scanned while they stream.

Nothing is visible before `PreparedReply.finish` was committed; every chunk was verified by then, and the scanner has
spoken (features A13). An infected answer is held inside for a person. To the partner whose PDF was answered goes a copy
as a PDF with the same password (features E5), decided here and made by the worker like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from relay.core.address import domain_of, normalise_address
from relay.core.clock import to_datetime
from relay.core.decision import Decision, Method, Reason
from relay.core.documents.organisation import Organisation
from relay.core.envelope import Recipient
from relay.core.errors import AddressError
from relay.core.lifecycle import State
from relay.core.ports import Actor, SpoolPublicKey
from relay.core.wire.sealed import Item, MailboxDataError, Part, PartOpener, count_chunks
from relay.mailbox.incoming_spool import SpoolDraft
from relay.mailbox.replies import ReplyMail, ReplyPart, Write, write_reply
from relay.mailbox.seal import find_inside
from relay.message.addresses import Mailbox
from relay.message.compose import make_message_id
from relay.protect.passwords import NAMED
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories.copies import copies_of
from relay.store.repositories.decisions import insert_decision
from relay.store.repositories.mailbox_boxes import REPLY, Box
from relay.store.repositories.mailbox_messages import BoxMessage
from relay.store.repositories.partners import Partner, get_partner
from relay.store.repositories.passwords import PairPassword, get_password

Fetch = Callable[[int, int], bytes]
"""Part and chunk number to the sealed chunk, from the portal."""
_NEVER = frozenset({"NEVER"})
"""RFC 3461 4.1: a report would go to the partner by plain e-mail, with the header of a sealed answer in it."""


@dataclass(frozen=True, slots=True)
class ScanVerdict:
    """What the scanner says of a whole mail."""

    is_clean: bool
    signature: str = ""
    """What it found, or why it could not look."""


class Scan(Protocol):
    """One mail on its way through the scanner."""

    def feed(self, data: bytes) -> None:
        """Show the next octets. Raises LetterlockError, temporary."""
        ...

    def finish(self) -> ScanVerdict:
        """Return the verdict. Raises LetterlockError, temporary."""
        ...

    def close(self) -> None:
        """End it, finished or not. Never raises."""
        ...


class Scanner(Protocol):
    """Where mail is scanned."""

    def begin(self) -> Scan:
        """Begin a mail. Raises LetterlockError, temporary."""
        ...


@dataclass(frozen=True, slots=True)
class _Copy:
    """The partner's own copy."""

    draft: SpoolDraft
    partner: Partner
    decision: Decision


@dataclass(slots=True)
class PreparedReply:
    """An answer whose every octet is verified and lies in the spool, seen by nobody yet."""

    database: Database
    tenant: str
    actor: Actor
    draft: SpoolDraft
    reverse_path: str
    to: tuple[Recipient, ...]
    verdict: ScanVerdict
    copy: _Copy | None = field(default=None)

    @property
    def message_id(self) -> str:
        """Return the id of the new message."""
        return self.draft.message_id

    @property
    def recipients(self) -> int:
        """Return how many get it."""
        return len(self.to)

    @property
    def octets(self) -> int:
        """Return the size of the mail."""
        return self.draft.size

    @property
    def is_infected(self) -> bool:
        """Tell whether it is held for a person."""
        return not self.verdict.is_clean

    def finish(self, tx: Tx) -> None:
        """Make it exist as part of `tx`. Raises StorageError."""
        self.draft.finish(tx, self.reverse_path, self.to)
        if self.is_infected:
            # From here on by hold, release and drop like any other held mail.
            why = f"the scanner says {self.verdict.signature}"
            copies = copies_of(tx, self.draft.message_id)
            detail = {"why": "scanner"}
            held = [Settlement(c.id, c.fence, State.HELD, status="5.7.1", text=why, detail=detail) for c in copies]
            settle_many(tx, held, self.actor)
        elif self.copy is not None:
            self.copy.draft.finish(tx, "", [Recipient(self.copy.partner.address, _NEVER)])
            (made,) = copies_of(tx, self.copy.draft.message_id)
            decision_id = insert_decision(tx, self.tenant, made.message_id, made.id, self.copy.decision)
            settle_many(tx, [Settlement(made.id, made.fence, State.DECIDED, decision_id=decision_id)], self.actor)

    def abort(self) -> None:
        """Drop it. Never raises."""
        self.draft.abort()
        if self.copy is not None:
            self.copy.draft.abort()


class Replies:
    """Turns verified items into mails."""

    def __init__(
        self,
        *,
        database: Database,
        tenant: str,
        hostname: str,
        actor: Actor,
        organisation: Callable[[], Organisation],
        spool_public: Callable[[], SpoolPublicKey],
        scanner: Scanner | None = None,
    ) -> None:
        """`scanner` None scans nothing: the site's own scanner stands behind the inside hop."""
        self._database = database
        self._tenant = tenant
        self._hostname = hostname
        self._actor = actor
        self._organisation = organisation
        self._spool_public = spool_public
        self._scanner = scanner

    def prepare(self, box: Box, message: BoxMessage, item: Item, fetch: Fetch) -> PreparedReply:
        """Open, verify, scan and spool an answer.

        Raises MailboxDataError for a chunk that is not what was signed, or nobody to give it to; temporary errors.
        """
        with self._database.reading() as tx:
            partner = get_partner(tx, self._tenant, box.partner_id)
            now = to_datetime(tx.now_ms())
            password = self._find_password(tx, box)
        to, cc, left_out = self._resolve(message, partner, to_all=item.to == "all")
        draft = self._draft()
        references = (*message.references_ids, *((message.header_message_id,) if message.header_message_id else ()))
        mail = ReplyMail(
            author=Mailbox(f"{partner.address} (Portal)", partner.address),
            to=to,
            cc=cc,
            untrusted_subject=item.subject,
            date=now,
            message_id=draft.message_id,
            header_message_id=make_message_id(self._hostname),
            hostname=self._hostname,
            references=references,
            left_out=left_out,
            language=self._language_of(message.sender),
        )
        copy = self._plan_copy(message, partner, password) if password is not None else None
        prepared = PreparedReply(
            self._database,
            self._tenant,
            self._actor,
            draft,
            partner.address,
            tuple(Recipient(one.address, _NEVER) for one in (*to, *cc)),
            ScanVerdict(is_clean=True),
            copy,
        )
        try:
            prepared.verdict = self._stream(prepared, mail, item, fetch)
        except BaseException:
            prepared.abort()
            raise
        return prepared

    # --- who gets it --------------------------------------------------------------------------------------------------

    def _resolve(
        self, message: BoxMessage, partner: Partner, *, to_all: bool
    ) -> tuple[tuple[Mailbox, ...], tuple[Mailbox, ...], tuple[str, ...]]:
        """Return To and Cc from our own record, and who is left out: nothing is relayed to the outside."""
        own = self._organisation().domains.names()
        if domain_of(message.sender) not in own:
            raise MailboxDataError("unknown", "item: nobody of ours to give it to")
        to = (Mailbox(message.sender_name, message.sender),)
        if not to_all:
            return to, (), ()
        others: dict[str, Mailbox] = {}
        left_out: dict[str, None] = {}
        for written in (*message.to_addresses, *message.cc_addresses):
            normal = find_inside(written, own)
            if normal is None:
                if _normalise(written) != partner.address:
                    left_out.setdefault(written)
            elif normal != message.sender:
                others.setdefault(normal, Mailbox("", normal))
        return to, tuple(others.values()), tuple(left_out)

    def _language_of(self, address: str) -> str:
        own = self._organisation().domains.find(domain_of(address))
        return own.language.value if own else "en"

    # --- the partner's copy -------------------------------------------------------------------------------------------

    def _find_password(self, tx: Tx, box: Box) -> PairPassword | None:
        """Return the password of a PDF reply box while it is in use; one that was retired protects nothing new."""
        if box.kind != REPLY or box.password_id is None:
            return None
        try:
            password = get_password(tx, self._tenant, box.password_id)
        except NotFoundError:
            return None
        return None if password.retired_at is not None else password

    def _plan_copy(self, message: BoxMessage, partner: Partner, password: PairPassword) -> _Copy:
        decision = Decision(
            Method.PDF,
            Reason.SYSTEM,
            "Protected as a PDF because it is the partner's copy of his own answer to one.",
            ("fixed:reply-copy",),
            confidential=True,
            subject_policy="generic",
            options={NAMED: password.id},
            sender=message.sender,
        )
        return _Copy(self._draft(), partner, decision)

    def _copy_mail(self, mail: ReplyMail, copy: _Copy) -> ReplyMail:
        sender = mail.to[0]
        # From is ours: in the partner's own name his server would not take it from us (DMARC).
        return ReplyMail(
            author=Mailbox("Letterlock", f"letterlock@{domain_of(sender.address)}"),
            reply_to=(sender,),
            to=(Mailbox("", copy.partner.address),),
            cc=(),
            untrusted_subject=mail.untrusted_subject,
            date=mail.date,
            message_id=copy.draft.message_id,
            header_message_id=make_message_id(self._hostname),
            hostname=self._hostname,
            references=(*mail.references, mail.header_message_id),
            left_out=mail.left_out,
            language=mail.language,
        )

    # --- streaming ----------------------------------------------------------------------------------------------------

    def _draft(self) -> SpoolDraft:
        return SpoolDraft(self._database, self._tenant, self._spool_public)

    def _stream(self, prepared: PreparedReply, mail: ReplyMail, item: Item, fetch: Fetch) -> ScanVerdict:
        drafts = [prepared.draft, *((prepared.copy.draft,) if prepared.copy else ())]

        def fetch_alive(i: int, n: int) -> bytes:
            for draft in drafts:
                draft.touch()
            return fetch(i, n)

        parts = [
            ReplyPart(part.role, part.name, part.type, part.size, lambda part=part: _open(item, part, fetch_alive))  # type: ignore[misc]
            for part in item.parts
        ]
        scan = self._scanner.begin() if self._scanner is not None else None
        try:
            writers: list[tuple[ReplyMail, Write]] = [(mail, _tee(prepared.draft.write, scan))]
            if prepared.copy is not None:
                writers.append((self._copy_mail(mail, prepared.copy), prepared.copy.draft.write))
            write_reply(writers, parts)
            return ScanVerdict(is_clean=True) if scan is None else scan.finish()
        finally:
            if scan is not None:
                scan.close()


def _normalise(written: str) -> str:
    try:
        return normalise_address(written)
    except AddressError:
        return written


def _open(item: Item, part: Part, fetch: Fetch) -> Iterator[bytes]:
    opener = PartOpener(item.key, item.id, part.i, part.size)
    for n in range(count_chunks(part.size)):
        yield opener.open_next(fetch(part.i, n))
    opener.finish()


def _tee(write: Write, scan: Scan | None) -> Write:
    if scan is None:
        return write

    def both(data: bytes) -> None:
        write(data)
        scan.feed(data)

    return both
