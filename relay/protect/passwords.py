"""The password that a PDF is made with: one per sender and partner, or one per message (E2, E6).

Plans before, records after: what is new becomes a row in the very transaction that queues the mail and its notice, so
that a password exists exactly if the sender is told of it. It is sealed by keyd; the database never holds it in clear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from relay.core.decision import Decision
from relay.core.ports import Actor, Grant, KeyStore, SealedBlob
from relay.core.wire.contexts import message_password_context, pair_password_context
from relay.store.base import Database, Tx
from relay.store.errors import ConflictError, NotFoundError
from relay.store.repositories import passwords as rows
from relay.store.repositories.partners import Partner

_FOR_MESSAGE = "message"
NAMED = "password_id"
"""Option of a decision that names a stored password."""


@dataclass(frozen=True, slots=True)
class PasswordPlan:
    """The password for one mail to one partner, and what has to be recorded when that mail is queued."""

    sender: str
    partner: Partner
    password: str = field(repr=False)
    version: int
    row_id: str | None
    """None when it is new and becomes a row by `record`."""
    blob: SealedBlob | None
    is_for_message: bool
    tell: bool
    """The sender must be told it in full."""
    is_chosen: bool = False
    """The partner chose it: no sender is told it, and it opens no reply page."""


class PairPasswords:
    """Finds, makes, opens and records passwords. Holds no password longer than a call."""

    def __init__(
        self, database: Database, keystore: KeyStore, tenant: str, actor: Actor, generate: Callable[[], str]
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._tenant = tenant
        self._actor = actor
        self._generate = generate

    def plan(self, sender: str, partner: Partner, decision: Decision, message_id: str) -> PasswordPlan:
        """Return the password to use. Raises KeyStoreError or StorageError, both temporary."""
        for_message = decision.password_mode == _FOR_MESSAGE
        if NAMED in decision.options:
            return self._plan_named(sender, partner, decision.options[NAMED], message_id)
        with self._database.reading() as tx:
            if for_message:
                found = rows.message_password(tx, self._tenant, message_id, partner.id)
            else:
                found = rows.current_pair_password(tx, self._tenant, sender, partner.id)
            version = rows.next_version(tx, self._tenant, sender, partner.id)
            chosen = None
            # A pair whose password was rotated gets one that nobody had before.
            if version == 1 and not for_message and decision.options.get("registration"):
                chosen = rows.chosen_password(tx, self._tenant, partner.id)
        if chosen is not None and not decision.new_password:
            return self._copy(chosen, sender, partner, version, message_id)
        if found is None or (decision.new_password and not for_message):
            return self._make(sender, partner, version, message_id if for_message else None)
        password = self.reveal(found, Grant("protect", message_id, str(self._actor)))
        tell = not found.is_chosen and (found.told_at is None or decision.show_password)
        return PasswordPlan(
            sender, partner, password, found.version, found.id, None, for_message, tell, is_chosen=found.is_chosen
        )

    def _copy(
        self, chosen: rows.PairPassword, sender: str, partner: Partner, version: int, message_id: str
    ) -> PasswordPlan:
        """What the partner chose for mail of another sender serves this pair as well."""
        password = self.reveal(chosen, Grant("protect", message_id, str(self._actor)))
        blob = self.seal(sender, partner.id, version, password)
        return PasswordPlan(sender, partner, password, version, None, blob, False, tell=False, is_chosen=True)

    def seal(self, sender: str, partner_id: str, version: int, password: str) -> SealedBlob:
        """Seal a pair's password as this version. Raises KeyStoreError."""
        return self._keystore.seal(self._context(sender, partner_id, version, None), password.encode("ascii"))

    def _plan_named(self, sender: str, partner: Partner, password_id: str, message_id: str) -> PasswordPlan:
        """Return the very password that a decision of ours names: a partner's copy opens like the PDF that he answered.

        Raises NotFoundError, final, for one that is not of this pair: the mail is set aside and nobody is told.
        """
        with self._database.reading() as tx:
            found = rows.get_password(tx, self._tenant, password_id)
        if (found.sender, found.partner_id) != (sender, partner.id):
            raise NotFoundError(f"password {password_id}: not of this pair")
        password = self.reveal(found, Grant("protect", message_id, str(self._actor)))
        is_for_message = found.kind == rows.MESSAGE
        return PasswordPlan(
            sender, partner, password, found.version, found.id, None, is_for_message=is_for_message, tell=False
        )

    def _make(self, sender: str, partner: Partner, version: int, message_id: str | None) -> PasswordPlan:
        password = self._generate()
        context = self._context(sender, partner.id, version, message_id)
        blob = self._keystore.seal(context, password.encode("ascii"))
        return PasswordPlan(sender, partner, password, version, None, blob, message_id is not None, True)

    def reveal(self, row: rows.PairPassword, grant: Grant) -> str:
        """Open a stored password. Raises KeyStoreError, GrantRefusedError."""
        context = self._context(row.sender, row.partner_id, row.version, row.message_id)
        return self._keystore.open(context, row.blob, grant).decode("ascii")

    def record(self, tx: Tx, plan: PasswordPlan, message_id: str) -> str:
        """Record what is new as part of `tx` and return the password's id.

        Raises ConflictError when another mail of the pair was faster.
        """
        row_id = plan.row_id
        if row_id is None:
            assert plan.blob is not None
            made = rows.add_password(
                tx,
                self._tenant,
                plan.sender,
                plan.partner.id,
                version=plan.version,
                blob=plan.blob,
                actor=self._actor,
                message_id=message_id if plan.is_for_message else None,
                is_chosen=plan.is_chosen,
            )
            if made is None:
                raise ConflictError("another mail of this pair made the password first")
            row_id = made.id
        if plan.tell:
            rows.mark_told(tx, self._tenant, row_id, self._actor, message_id)
        return row_id

    def _context(self, sender: str, partner_id: str, version: int, message_id: str | None) -> bytes:
        if message_id is not None:
            return message_password_context(self._tenant, message_id, partner_id)
        return pair_password_context(self._tenant, sender, partner_id, version)
