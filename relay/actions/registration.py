"""Registration: a copy waits until its partner has chosen mailbox or PDF, and a password of his own (E2).

Stands before the actions for PDF and webmail and lets through what needs no registration. What a partner chose once
stands for later mail of the option `registration`, from other senders too. A copy that waits, the link, its mails and
the word to the sender become true in one transaction; nothing of the mail is sealed or made before the partner chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relay.actions.base import Action, DecidedCopy, Failure, OpenMessage
from relay.actions.tell import SenderTeller
from relay.core.clock import DAY
from relay.core.decision import Method
from relay.core.errors import LeaseLostError, LetterlockError
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.mailbox.generations import JOIN
from relay.mailbox.joins import Joins
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database, EventDetail
from relay.store.errors import ConflictError
from relay.store.repositories.mailbox_boxes import find_open_mailbox
from relay.store.repositories.mailbox_generations import get_generation
from relay.store.repositories.mailbox_joins import OPEN, find_open_join, get_join
from relay.store.repositories.passwords import chosen_password, next_version


class RegistrationAction:
    """Lets copies wait, or hands them on to PDF or webmail. Takes both methods."""

    def __init__(
        self,
        database: Database,
        *,
        tenant: str,
        actor: Actor,
        joins: Joins,
        teller: SenderTeller,
        pdf: Action,
        webmail: Action,
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._actor = actor
        self._joins = joins
        self._teller = teller
        self._ways = {Method.PDF: pdf, Method.WEBMAIL: webmail}

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        chosen = [(one, self._choose(one)) for one in copies]
        failures: list[Failure] = []
        for method, action in self._ways.items():
            found = [_as_chosen(one, method) for one, way in chosen if way is method]
            if found:
                failures.extend(action.run(message, found))
        for one, way in chosen:
            if way is None:
                failures.extend(self._wait(message, one))
        return failures

    def _choose(self, one: DecidedCopy) -> Method | None:
        """Return how a copy leaves, None to wait."""
        method, partner = one.decision.method, one.partner
        sender = one.decision.sender
        if one.decision.options.get("registration") != "on" or partner is None or not sender:
            return method
        with self._database.reading() as tx:
            box = find_open_mailbox(tx, self._tenant, partner.id)
            if method is Method.WEBMAIL and box is not None:
                return method
            if method is Method.PDF and next_version(tx, self._tenant, sender, partner.id) > 1:
                # This pair has a password, or had one that was rotated: the next is the gateway's affair.
                return method
            if chosen_password(tx, self._tenant, partner.id) is not None:
                return Method.PDF
            if box is not None and get_generation(tx, self._tenant, box.id, 1).cause == JOIN:
                return Method.WEBMAIL
        return None

    def _wait(self, message: OpenMessage, one: DecidedCopy) -> Sequence[Failure]:
        try:
            self._put(message, one)
        except LeaseLostError:
            raise
        except LetterlockError as error:
            return [Failure(one, error)]
        return ()

    def _put(self, message: OpenMessage, one: DecidedCopy) -> None:
        assert one.partner is not None
        sender = one.decision.sender
        with self._database.reading() as tx:
            known = find_open_join(tx, self._tenant, one.partner.id)
        lives_ms = message.organisation.policy.switches.join_days * DAY
        name = _name_of(message, sender)
        made = None if known else self._joins.make(one.partner.id, sender, name, lives_ms=lives_ms)
        row = known or (made.row if made else None)
        assert row is not None
        notice = self._teller.waiting_notice(message, one, row.expires_at)
        with self._database.transaction() as tx:
            if made is not None:
                self._joins.record(tx, made)
            elif get_join(tx, self._tenant, row.id, lock=True).state != OPEN:
                raise ConflictError("the partner has just registered")
            detail: dict[str, EventDetail] = {"method": one.decision.method.value, "join": row.id}
            settlement = Settlement(one.copy.id, one.copy.fence, State.AWAITING_REGISTRATION, detail=detail)
            settle_many(tx, [settlement], self._actor)
            self._teller.send(tx, notice)


def _as_chosen(one: DecidedCopy, method: Method) -> DecidedCopy:
    if one.decision.method is method:
        return one
    # The partner's own password is the pair's: one a message would be told to the sender.
    return replace(one, decision=replace(one.decision, method=method, password_mode="pair"))  # noqa: S106


def _name_of(message: OpenMessage, sender: str) -> str:
    return next((one.name for one in message.parsed.authors if one.address.lower() == sender.lower()), "")
