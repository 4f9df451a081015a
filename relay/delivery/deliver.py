"""One parcel to its next hops: routing, splitting by hop and recipient limit, one outcome for every copy.

Takes nothing but Parcel, which takes nothing but ProtectedMessage and ApprovedClear. Knows no queue and no database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from relay.core.approval import ApprovalError
from relay.core.documents.routes import TlsPolicy
from relay.delivery.connections import ConnectionCache
from relay.delivery.errors import ConnectionLostError, HopError, RouteError, Why
from relay.delivery.outcome import Deferred, Delivered, Outcome, defer_for
from relay.delivery.parcel import Parcel, ParcelCopy
from relay.delivery.route import Hop, MailerTable
from relay.delivery.smtp import SmtpSession
from relay.delivery.transaction import StaleSessionError, run_transaction


class DeliveryRun:
    """Hands parcels over. Safe for threads; `table` is asked for the mailer table of now at every parcel."""

    def __init__(self, table: Callable[[], MailerTable], connections: ConnectionCache) -> None:
        self._table = table
        self._connections = connections

    def deliver(self, parcel: Parcel) -> dict[str, Outcome]:
        """Try every copy of a parcel once and return the outcomes by copy id, one for each.

        Never raises for a fault of a hop, of the route or of the content; raises ApprovalError before anything is
        tried when a copy is not approved.
        """
        if type(parcel) is not Parcel:
            raise ApprovalError("only a Parcel may be delivered")
        parcel.check()
        table = self._table()
        outcomes: dict[str, Outcome] = {}
        by_hop: dict[Hop, list[ParcelCopy]] = {}
        for copy in parcel.copies:
            try:
                hop = table.resolve(copy.forward_path)
            except RouteError as error:
                outcomes[copy.copy_id] = defer_for(error)
                continue
            if parcel.requiretls and hop.tls is not TlsPolicy.VERIFY:
                # RFC 8689 4.2.1: the server has to be verified whatever the mailer table says.
                hop = replace(hop, tls=TlsPolicy.VERIFY)
            by_hop.setdefault(hop, []).append(copy)
        for hop, copies in by_hop.items():
            outcomes |= self._deliver_hop(hop, parcel, copies)
        return outcomes

    def _deliver_hop(self, hop: Hop, parcel: Parcel, copies: list[ParcelCopy]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for fresh in (False, True):
            pending = [copy for copy in copies if copy.copy_id not in outcomes]
            try:
                with self._connections.lease(hop, fresh=fresh) as session:
                    self._run_all(session, parcel, pending, outcomes)
                return self._complete(copies, outcomes)
            except StaleSessionError:
                # Ended by the peer while it lay in the cache: a new connection, once.
                continue
            except HopError as error:
                rest = defer_for(error, hop.host)
                return outcomes | {copy.copy_id: rest for copy in copies if copy.copy_id not in outcomes}
        return self._complete(copies, outcomes)

    def _complete(self, copies: list[ParcelCopy], outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
        rest = Deferred("4.4.2", "the connection ended before this recipient's turn", Why.LOST)
        return {copy.copy_id: outcomes.get(copy.copy_id, rest) for copy in copies}

    def _run_all(
        self, session: SmtpSession, parcel: Parcel, pending: list[ParcelCopy], outcomes: dict[str, Outcome]
    ) -> None:
        """Run transactions until no copy is left that has not had its turn, or the session ends."""
        while pending and session.is_usable:
            batch = tuple(pending[: session.recipient_limit])
            result = run_transaction(session, parcel.only(batch))
            self._note_health(session, result)
            pending = pending[len(batch) :]
            if any(isinstance(outcome, Delivered) for outcome in result.values()):
                # The peer took some and wants the others apart: their turn comes now, and this shrinks every time.
                again = {i for i, o in result.items() if isinstance(o, Deferred) and o.is_overflow}
                pending = [copy for copy in batch if copy.copy_id in again] + pending
            outcomes |= result
            session.reset()

    def _note_health(self, session: SmtpSession, result: dict[str, Outcome]) -> None:
        if session.is_lost_early:
            text = next(iter(result.values())).text
            self._connections.note_failure(session.hop, ConnectionLostError(text))
        elif session.transactions:
            self._connections.note_success(session.hop)
