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
        reasons: dict[tuple[str, str], list[DecidedCopy]] = {}
        for one in copies:
            reasons.setdefault((one.decision.text or one.decision.explanation, one.decision.sender), []).append(one)
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
            add_copies(tx, message.work.message.id, self._tenant, forward_recipients(copies))
        return ()


def forward_recipients(copies: Sequence[DecidedCopy]) -> list[Recipient]:
    """Return the recipients that rules put in place of these copies, each once.

    What the sender asked to be told goes with them (RFC 3461 5.2.7.2, 5.2.7.3): the copy before ends without a word, so
    nobody else would tell of a refusal. Where two copies meet at one address, the one that asks for more counts.
    """
    found: dict[str, Recipient] = {}
    for one in copies:
        for address in one.decision.forward_to:
            before = found.get(address)
            found[address] = (
                Recipient(address, _join_notify(before.notify, one.copy.notify), before.orcpt)
                if before is not None
                else Recipient(address, one.copy.notify, one.copy.orcpt)
            )
    return list(found.values())


def _join_notify(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        # RFC 3461 4.1: no word asks for failures, and for delays if we like.
        asked = (one or frozenset()) | (other or frozenset()) | {"FAILURE", "DELAY"}
        return asked - {"NEVER"} if "SUCCESS" in asked else None
    return (one | other) - {"NEVER"} or frozenset({"NEVER"})
