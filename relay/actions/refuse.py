"""Hold, reject, discard, forward: what is done for copies that do not leave as they are."""

from __future__ import annotations

from collections.abc import Sequence

from relay.actions.base import DecidedCopy, Failure, OpenMessage
from relay.actions.tell import SenderTeller
from relay.core.envelope import Recipient
from relay.core.lifecycle import State
from relay.core.ports import Actor
from relay.spool.settle import Settlement, settle_many
from relay.store.base import Database
from relay.store.repositories.copies import add_copies


def _settlement(one: DecidedCopy, state: State, status: str, text: str) -> Settlement:
    detail = {"method": one.decision.method.value, "reason": one.decision.reason.value}
    return Settlement(one.copy.id, one.copy.fence, state, status=status, text=text, detail=detail)


class HoldAction:
    """Holds copies for a person and tells the sender in the same transaction."""

    def __init__(self, database: Database, actor: Actor, teller: SenderTeller) -> None:
        self._database = database
        self._actor = actor
        self._teller = teller

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        # One notice for each reason: every sender reads why his own mail to whom waits.
        reasons: dict[str, list[DecidedCopy]] = {}
        for one in copies:
            reasons.setdefault(one.decision.text or one.decision.explanation, []).append(one)
        notices = [self._teller.held_notice(message, group) for group in reasons.values()]
        with self._database.transaction() as tx:
            settle_many(
                tx,
                [
                    _settlement(one, State.HELD, "4.7.1", one.decision.text or one.decision.explanation)
                    for one in copies
                ],
                self._actor,
            )
            for notice in notices:
                self._teller.send(tx, notice)
        return ()


class RejectAction:
    """Fails copies and sends the delivery report in the same transaction."""

    def __init__(self, database: Database, actor: Actor, teller: SenderTeller) -> None:
        self._database = database
        self._actor = actor
        self._teller = teller

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        report = self._teller.rejection(message, copies)
        with self._database.transaction() as tx:
            settle_many(
                tx,
                [
                    _settlement(
                        one, State.FAILED, one.decision.status or "5.7.1", one.decision.text or one.decision.explanation
                    )
                    for one in copies
                ],
                self._actor,
            )
            self._teller.send(tx, report)
        return ()


class DiscardAction:
    """Ends copies without a word, as a rule asked."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self._database = database
        self._actor = actor

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:  # noqa: ARG002 - the action's shape
        """See actions.base.Action."""
        with self._database.transaction() as tx:
            settle_many(
                tx,
                [_settlement(one, State.DISCARDED, "2.0.0", one.decision.explanation) for one in copies],
                self._actor,
            )
        return ()


class ForwardAction:
    """Ends copies and adds one for each address of the rule; those are decided anew."""

    def __init__(self, database: Database, tenant: str, actor: Actor) -> None:
        self._database = database
        self._tenant = tenant
        self._actor = actor

    def run(self, message: OpenMessage, copies: Sequence[DecidedCopy]) -> Sequence[Failure]:
        """See actions.base.Action."""
        with self._database.transaction() as tx:
            settle_many(
                tx,
                [_settlement(one, State.DISCARDED, "2.1.5", "forwarded by a rule") for one in copies],
                self._actor,
            )
            targets = dict.fromkeys(address for one in copies for address in one.decision.forward_to)
            # RFC 3461 5.2.7.1: reports about the addresses behind a forward are the forwarder's affair.
            recipients = [Recipient(address, frozenset({"NEVER"})) for address in targets]
            add_copies(tx, message.work.message.id, self._tenant, recipients)
        return ()
