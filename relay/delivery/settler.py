"""Writing down how an attempt ended: states, what is given back, and the sender's reports, in one transaction.

A lost lease writes nothing for that copy: somebody else has it now. A database that is away is tried again until the
lease is over, because a hand-over that is not written down is repeated and the recipient gets the mail twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from relay.core.decision import Method
from relay.core.errors import LeaseLostError, LetterlockError, StorageError
from relay.core.lifecycle import State
from relay.core.ports import Actor, Event, SpoolPublicKey
from relay.delivery.endings import Ending
from relay.delivery.errors import Why
from relay.delivery.outcome import Deferred
from relay.delivery.reports import Reports
from relay.log import Log
from relay.message.dsn import Action as DsnAction
from relay.message.dsn import is_dsn_wanted
from relay.spool.claims import give_back
from relay.spool.settle import settle_many
from relay.spool.system_mail import SystemMail, new_system_message
from relay.spool.values import Delivery
from relay.store.base import Database, Tx
from relay.store.repositories.decisions import decisions_of
from relay.store.repositories.messages import PORTAL, SYSTEM
from relay.store.writer import GroupCommitWriter, call_each

_log = Log("deliver")
_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)


class Settler:
    """Settles attempts by group commit. Safe for threads; close it in the end."""

    def __init__(
        self, database: Database, reports: Reports, spool_public: Callable[[], SpoolPublicKey], actor: Actor
    ) -> None:
        self._database = database
        self._reports = reports
        self._spool_public = spool_public
        self._actor = actor
        self._writer: GroupCommitWriter[Callable[[Tx], None], None] = GroupCommitWriter(
            database, call_each, name="settle"
        )
        self._stopping = threading.Event()

    def settle(self, delivery: Delivery, endings: Sequence[Ending]) -> bool:
        """Write the endings down; return whether all could be. Never raises a LetterlockError."""
        try:
            self._write(delivery, endings)
        except LeaseLostError:
            if len(endings) > 1:
                settled = [self.settle(delivery, [ending]) for ending in endings]
                return all(settled)
            _log.warning("lease-lost", message=delivery.message.id, copy=endings[0].copy.id)
            return False
        except LetterlockError as error:
            _log.error("settle-failed", message=delivery.message.id, error=type(error).__name__)
            return False
        return True

    def raise_alert(self, tenant: str, reason: str, status: str) -> None:
        """Tell the operator of trouble that concerns no single mail. Never raises a LetterlockError."""
        event = Event("alert.raised", self._actor, tenant, detail={"reason": reason, "status": status})
        try:
            self._writer.submit(lambda tx: tx.append_event(event)).result()
        except LetterlockError as error:
            _log.error("alert-failed", error=type(error).__name__)

    def close(self) -> None:
        """Write what waits and stop."""
        self._stopping.set()
        self._writer.close()

    def _write(self, delivery: Delivery, endings: Sequence[Ending]) -> None:
        mails, is_silent = self._make_reports(delivery, endings)
        for pause in (*_PAUSES, None):
            try:
                self._writer.submit(lambda tx: self._apply(tx, delivery, endings, mails, is_silent=is_silent)).result()
            except StorageError:
                if pause is None or self._database.clock.now_ms() + pause * 1000 > delivery.lease_until:
                    raise
                self._stopping.wait(pause)
            else:
                return

    def _make_reports(self, delivery: Delivery, endings: Sequence[Ending]) -> tuple[list[SystemMail], bool]:
        """Return the reports, and whether the sender hears nothing because they could not be made."""
        try:
            return self._reports.make(delivery, endings), False
        except StorageError:
            raise
        except LetterlockError as error:
            # Without its report a delivery is still true, and a repeated one would reach the recipient twice.
            _log.error("report-failed", message=delivery.message.id, error=type(error).__name__)
            return [], True

    def _apply(
        self,
        tx: Tx,
        delivery: Delivery,
        endings: Sequence[Ending],
        mails: Sequence[SystemMail],
        *,
        is_silent: bool,
    ) -> None:
        settle_many(tx, [ending.settlement for ending in endings if ending.settlement], self._actor)
        for retry_at in {ending.retry_at for ending in endings if ending.settlement is None}:
            back = [e.copy for e in endings if e.settlement is None and e.retry_at == retry_at]
            give_back(tx, back, retry_at=retry_at)
        tenant = delivery.message.tenant
        for mail in mails:
            new_system_message(tx, self._spool_public, tenant, mail, self._actor)
        for ending in endings:
            reason = _reason_to_alert(delivery, ending) or _reason_of_silence(tx, delivery, ending, is_silent=is_silent)
            if reason:
                message, detail = delivery.message, {"reason": reason, "status": ending.status}
                tx.append_event(Event("alert.raised", self._actor, tenant, message.id, ending.copy.id, detail))


def _reason_to_alert(delivery: Delivery, ending: Ending) -> str:
    """Return what an operator has to hear of one ending, "" for nothing. A shunted copy alerts by itself."""
    is_failed = ending.settlement is not None and ending.settlement.state is State.FAILED
    if is_failed and delivery.message.origin == SYSTEM:
        return "a mail of the gateway's own was refused"
    if is_failed and delivery.message.origin == PORTAL:
        # Its partner gets no report by plain e-mail, so a person has to know.
        return "an answer from the portal was refused by its next hop"
    outcome = ending.outcome
    if isinstance(outcome, Deferred) and outcome.why is Why.ROUTE and ending.copy.attempts <= 1:
        return "no next hop for a recipient: look at the mailer table"
    return ""


def _reason_of_silence(tx: Tx, delivery: Delivery, ending: Ending, *, is_silent: bool) -> str:
    """Return what an operator has to hear because nobody else does, "" for nothing.

    One case is a copy that we added and that asks for no report: its first copy ended without a word when a rule moved
    it on, so this is the last trace of an acknowledged mail. `is_silent`: the report could not be made.
    """
    if ending.settlement is None or ending.settlement.state is not State.FAILED:
        return ""
    if is_silent:
        return "a mail was refused, and the report to its sender could not be made"
    if delivery.message.reverse_path and is_dsn_wanted(ending.copy.notify, DsnAction.FAILED):
        return ""
    for one in decisions_of(tx, delivery.message.id):
        if one.decision.method is Method.FORWARD and ending.copy.normal_address in one.decision.forward_to:
            return "a mail that a rule forwarded was refused, and its sender is told nothing"
        if one.decision.method is Method.RETURN:
            return "an automatic answer that was passed on was refused, and its sender is told nothing"
    return ""
