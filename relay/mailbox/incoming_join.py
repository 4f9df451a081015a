"""Registrations from the portal, verified and made true in one commit (sealed-mailbox 12, last paragraph).

The link known and open, HPKE, HMAC of its secret T, fields; then a mailbox: capsule of generation 1 by a browser,
escrow checked; or a PDF password by the readers' rules. With the choice the waiting copies go back to `decided`, and
their senders are told. What cannot be used is refused, and its partner gets another link: the old one works only once.

Must not log a password or take one that is not the partner's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pdfmail.errors import PasswordError
from pdfmail.passphrase import validate_password
from relay.core.clock import DAY
from relay.core.decision import Decision, Method
from relay.core.ports import Actor, Event, Grant, SealedBlob
from relay.core.ports_mailbox import REPLY_KEY_DAYS, MailboxKeys
from relay.core.wire.contexts import join_secret_context
from relay.core.wire.sealed import (
    Account,
    Capsule,
    Join,
    MailboxDataError,
    decode_record,
    normalise_login_name,
    open_join,
    read_capsule,
    read_card,
)
from relay.mailbox.generations import JOIN, Generations
from relay.mailbox.incoming_desk import ACCOUNT_MS
from relay.mailbox.incoming_values import JoinEntry, Result
from relay.mailbox.join_notices import MAILBOX, PDF, JoinNotices
from relay.mailbox.joins import Joins, end_join
from relay.mailbox.seal import Place, SealedMessage, Sealer
from relay.mailbox.states import BoxState
from relay.protect.passwords import PairPasswords
from relay.spool.waiting import WaitingCopy, copies_awaiting, resume_copy
from relay.store.base import Database, EventDetail, Tx
from relay.store.errors import ConflictError, NotFoundError
from relay.store.repositories import mailbox_boxes as boxes
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import Box
from relay.store.repositories.mailbox_cards import get_card, newest_card
from relay.store.repositories.mailbox_entries import note_entry
from relay.store.repositories.mailbox_generations import BROWSER, Generation, add_generation
from relay.store.repositories.mailbox_joins import OPEN, REFUSED, TAKEN, StoredJoin, get_join
from relay.store.repositories.partners import Partner, get_partner
from relay.store.repositories.passwords import add_password, next_version

MOST_LINKS = 3
"""Links in all for one registration: a portal that invents answers cannot have mails sent without end."""
_NO_BOX = ""
_METHODS = {MAILBOX: Method.WEBMAIL, PDF: Method.PDF}
_CHOICES = {MAILBOX: "a mailbox", PDF: "PDF"}


@dataclass(frozen=True, slots=True)
class _Known:
    """What the inside knows of a link before it opens an answer."""

    join: StoredJoin
    partner: Partner
    has_mailbox: bool


@dataclass(frozen=True, slots=True)
class _NewBox:
    box: Box
    generation: Generation
    word: SealedMessage
    alert: str


@dataclass(frozen=True, slots=True)
class _SealedPassword:
    sender: str
    version: int
    blob: SealedBlob = field(repr=False)


class IncomingJoins:
    """Takes registrations. Faults of keyd and the database pass through: nothing was done, the entry comes again."""

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
        passwords: PairPasswords,
        joins: Joins,
        notices: JoinNotices,
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._portal = portal_id
        self._actor = actor
        self._keys = keys
        self._generations = generations
        self._sealer = sealer
        self._passwords = passwords
        self._joins = joins
        self._notices = notices

    def take_join(self, entry: JoinEntry) -> Result:
        """Verify an answer that was not seen before, and make it true.

        Raises MailboxDataError where it is refused, temporary errors otherwise.
        """
        known = self._look_up(entry)
        join = self._open(entry, known.join)
        if join.want == MAILBOX:
            assert join.capsule is not None
            if known.has_mailbox:
                # Whoever holds the link must not get at mail that lies there: all goes into that mailbox.
                return self._finish(known, MAILBOX, result=Result.REFUSED)
            return self._finish(known, MAILBOX, new=self._prepare_box(known, join.capsule))
        return self._finish(known, PDF, sealed=self._prepare_passwords(known, join.password or ""))

    def _look_up(self, entry: JoinEntry) -> _Known:
        with self._database.reading() as tx:
            try:
                join = get_join(tx, self._tenant, entry.id)
            except NotFoundError as error:
                raise MailboxDataError("unknown", "registration: there is no such link") from error
            try:
                card = get_card(tx, self._tenant, entry.card)
            except NotFoundError as error:
                raise MailboxDataError("card", "registration: the card is not known") from error
            if card.superseded_at is not None and tx.now_ms() - card.superseded_at > REPLY_KEY_DAYS * DAY:
                raise MailboxDataError("card", "registration: the card is too old")
            partner = get_partner(tx, self._tenant, join.partner_id)
            has_mailbox = boxes.find_open_mailbox(tx, self._tenant, partner.id) is not None
        if join.state != OPEN:
            code = "duplicate" if join.state == TAKEN else "expired"
            raise MailboxDataError(code, "registration: the link was used or has ended")
        return _Known(join, partner, has_mailbox)

    def _grant(self, subject: str) -> Grant:
        return Grant("mailbox", subject, str(self._actor))

    def _open(self, entry: JoinEntry, join: StoredJoin) -> Join:
        context = join_secret_context(self._tenant, join.id)
        secret = self._generations.keystore.open(context, join.secret, self._grant(join.id))
        return open_join(
            entry.sealed,
            lambda info, sealed: self._keys.open_item(entry.card, info, sealed, self._grant(join.id)),
            secret=secret,
            portal=self._portal,
            id_=join.id,
            card=entry.card,
        )

    # --- a mailbox ----------------------------------------------------------------------------------------------------

    def _prepare_box(self, known: _Known, untrusted_capsule: bytes) -> _NewBox:
        with self._database.reading() as tx:
            card = newest_card(tx, self._tenant)
            now = tx.now_ms()
        assert card is not None
        newest = read_card(decode_record(card.record.encode()).card)
        capsule = self._check_capsule(untrusted_capsule, newest.mailbox_suite)
        name = normalise_login_name(known.partner.address)
        # Where escrow allows to look: a capsule for another name could never be signed in to, so he is asked again.
        has_escrow = capsule.escrow is not None and self._keys.check_escrow(
            capsule.octets, self._grant(capsule.box), name
        )
        place = Place(self._tenant, self._portal, capsule.box, 1, capsule.enc, card.serial, 1)
        word = self._sealer.seal_account(place, Account(1, capsule.enc, capsule.sign), now, now + ACCOUNT_MS)
        box = Box(
            id=capsule.box,
            tenant=self._tenant,
            kind=boxes.MAILBOX,
            partner_id=known.partner.id,
            login_name=name,
            state=BoxState.ACTIVE.value,
            gen=1,
            form=None,
            password_id=None,
            created_at=now,
            opened_at=now,
            next_no=2,
            lang=known.partner.language,
        )
        alert = ""
        if not has_escrow and newest.escrow is not None:
            alert = f"mailbox {box.id} has no escrow: a reset would lose its old mail"
        row = self._generations.keep_browsers(capsule, now, cause=JOIN, escrow_fits=has_escrow)
        return _NewBox(box, row, word, alert)

    def _check_capsule(self, untrusted_capsule: bytes, suite: int) -> Capsule:
        capsule = read_capsule(untrusted_capsule, kind=boxes.MAILBOX)
        if capsule.portal != self._portal or capsule.by != BROWSER:
            raise MailboxDataError("binding", "registration: the capsule was made for another place")
        if capsule.gen != 1:
            raise MailboxDataError("generation", "registration: not a first generation")
        if capsule.suite < suite:
            raise MailboxDataError("suite", "registration: below the suite of the newest card")
        with self._database.reading() as tx:
            try:
                boxes.get_box(tx, self._tenant, capsule.box)
            except NotFoundError:
                return capsule
        raise MailboxDataError("duplicate", "registration: the box exists")

    def _add_box(self, tx: Tx, new: _NewBox) -> None:
        if not boxes.add_box(tx, new.box):
            raise ConflictError("a mail to this partner made a mailbox first")
        add_generation(tx, new.generation)
        pushes.add_push(tx, self._tenant, pushes.BOX, box=new.box.id, ref="1")
        # The reader's own browser made the keys: it waits for our word that these are the ones we seal to.
        new.word.store(tx)
        pushes.add_push(tx, self._tenant, pushes.MESSAGE, box=new.box.id, ref=new.word.message.id)
        detail: dict[str, EventDetail] = {
            "box": new.box.id,
            "partner": new.box.partner_id,
            "escrow": new.generation.escrow_card,
            "cause": JOIN,
        }
        tx.append_event(Event("mailbox.created", self._actor, self._tenant, detail=detail))
        if new.alert:
            tx.append_event(Event("alert.raised", self._actor, self._tenant, detail={"reason": new.alert}))

    # --- a PDF password -----------------------------------------------------------------------------------------------

    def _prepare_passwords(self, known: _Known, password: str) -> Sequence[_SealedPassword]:
        try:
            validate_password(password)
        except PasswordError as error:
            raise MailboxDataError("format", "registration: not every PDF reader takes this password") from error
        partner = known.partner
        with self._database.reading() as tx:
            senders = _senders(copies_awaiting(tx, self._tenant, partner.address, lock=False))
            versions = {sender: next_version(tx, self._tenant, sender, partner.id) for sender in senders}
        return [
            _SealedPassword(sender, version, self._passwords.seal(sender, partner.id, version, password))
            for sender, version in versions.items()
        ]

    def _add_passwords(
        self, tx: Tx, partner: Partner, sealed: Sequence[_SealedPassword], waiting: Sequence[WaitingCopy]
    ) -> None:
        if {one.sender for one in sealed} != set(_senders(waiting)):
            raise ConflictError("another sender's mail waits now")
        for one in sealed:
            made = add_password(
                tx,
                self._tenant,
                one.sender,
                partner.id,
                version=one.version,
                blob=one.blob,
                actor=self._actor,
                is_chosen=True,
            )
            if made is None:
                raise ConflictError("another mail of this pair made a password first")

    # --- one commit ---------------------------------------------------------------------------------------------------

    def _finish(
        self,
        known: _Known,
        want: str,
        *,
        new: _NewBox | None = None,
        sealed: Sequence[_SealedPassword] = (),
        result: Result = Result.TAKEN,
    ) -> Result:
        with self._database.transaction() as tx:
            join = get_join(tx, self._tenant, known.join.id, lock=True)
            if join.state != OPEN:
                raise ConflictError("the link was used meanwhile")
            if not note_entry(tx, self._tenant, _NO_BOX, join.id, kind="join", result=result.value):
                raise ConflictError("the entry was taken meanwhile")
            waiting = copies_awaiting(tx, self._tenant, known.partner.address)
            if new is not None:
                self._add_box(tx, new)
            if want == PDF:
                self._add_passwords(tx, known.partner, sealed, waiting)
            end_join(tx, join, TAKEN if result is Result.TAKEN else REFUSED, self._notices, want=want)
            for one in waiting:
                resume_copy(tx, one, _decide(one.decision, want), self._actor)
            self._note(tx, known, want, len(waiting), result)
            if result is Result.TAKEN:
                self._notices.left(tx, known.partner, waiting, want)
        return result

    def _note(self, tx: Tx, known: _Known, want: str, copies: int, result: Result) -> None:
        detail: dict[str, EventDetail] = {
            "join": known.join.id,
            "partner": known.partner.id,
            "want": want,
            "copies": copies,
        }
        tx.append_event(Event(f"join.{result.value}", self._actor, self._tenant, detail=detail))
        if result is Result.REFUSED:
            reason = "a registration for a mailbox that is there already was refused; what waited goes into it"
            tx.append_event(Event("alert.raised", self._actor, self._tenant, detail={"reason": reason}))

    # --- refused ------------------------------------------------------------------------------------------------------

    def prepare_refusal(self, entry: JoinEntry) -> Callable[[Tx], None] | None:
        """Make the link that a partner gets after his answer was refused; None where there is no sense in it."""
        with self._database.reading() as tx:
            try:
                before = get_join(tx, self._tenant, entry.id)
            except NotFoundError:
                return None
        if before.state != OPEN or before.renewed + 1 >= MOST_LINKS:
            return None
        made = self._joins.make_again(before)

        def record(tx: Tx) -> None:
            held = get_join(tx, self._tenant, before.id, lock=True)
            if held.state != OPEN:
                raise ConflictError("the link was used meanwhile")
            end_join(tx, held, REFUSED, self._notices)
            self._joins.record(tx, made)

        return record


def _senders(waiting: Sequence[WaitingCopy]) -> list[str]:
    return sorted({one.sender for one in waiting if one.sender})


def _decide(before: Decision, want: str) -> Decision:
    """Return the decision for a copy whose partner chose."""
    return replace(
        before,
        method=_METHODS[want],
        explanation=f"{before.explanation} The partner chose {_CHOICES[want]} and a password.",
        password_mode="pair",  # noqa: S106
        # A new one would not be his.
        new_password=False,
        options={**before.options, "registration": want},
    )
