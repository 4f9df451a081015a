"""One attempt for one claimed delivery: key, content, approvals, hand-over; an outcome for every copy, never an error.

The approval of each copy is made here from its stored decision and the stored variant; a copy without one stays.
"""

from __future__ import annotations

from relay.core.approval import PROTECTING, Approval, ApprovalError, approve
from relay.core.envelope import BodyType
from relay.core.errors import KeyStoreError, LetterlockError
from relay.core.ports import Actor, Grant, KeyStore
from relay.delivery.deliver import DeliveryRun
from relay.delivery.errors import Why
from relay.delivery.outcome import Deferred, Outcome
from relay.delivery.parcel import Parcel, ParcelCopy
from relay.log import Log
from relay.spool.content import open_content
from relay.spool.values import Delivery
from relay.store.base import Database
from relay.store.repositories.copies import StoredCopy

_log = Log("deliver")


class Attempt:
    """Tries claimed deliveries. Safe for threads."""

    def __init__(self, database: Database, keystore: KeyStore, run: DeliveryRun, actor: Actor) -> None:
        self._database = database
        self._keystore = keystore
        self._run = run
        self._actor = actor

    def try_once(self, delivery: Delivery) -> dict[str, Outcome]:
        """Return the outcome of each copy by its id."""
        outcomes: dict[str, Outcome] = {}
        copies: list[ParcelCopy] = []
        for copy in delivery.copies:
            try:
                approval = approve_copy(delivery, copy)
                copies.append(ParcelCopy(copy.id, copy.forward_path, approval, copy.notify, copy.orcpt))
            except ApprovalError as error:
                _log.error("not-approved", message=copy.message_id, copy=copy.id)
                outcomes[copy.id] = Deferred(error.status, str(error), Why.APPROVAL)
        if copies:
            tried = self._try_parcel(delivery, tuple(copies))
            missing = Deferred("4.3.0", "internal fault: no outcome", Why.INTERNAL)
            outcomes |= {copy.copy_id: tried.get(copy.copy_id, missing) for copy in copies}
        return outcomes

    def _try_parcel(self, delivery: Delivery, copies: tuple[ParcelCopy, ...]) -> dict[str, Outcome]:
        try:
            return self._run.deliver(self._open_parcel(delivery, copies))
        except KeyStoreError as error:
            why = Why.KEYS if error.temporary else Why.KEY_GONE
            failure = Deferred("4.7.0", f"the mail's key cannot be had: {type(error).__name__}", why)
        except LetterlockError as error:
            status = error.status if error.temporary else "4.3.0"
            failure = Deferred(status, f"internal fault: {type(error).__name__}", Why.INTERNAL)
        except Exception:  # whatever it is delays this mail and stops no other
            _log.exception("attempt-failed", message=delivery.message.id)
            failure = Deferred("4.3.0", "internal fault", Why.INTERNAL)
        return {copy.copy_id: failure for copy in copies}

    def _open_parcel(self, delivery: Delivery, copies: tuple[ParcelCopy, ...]) -> Parcel:
        message, variant = delivery.message, delivery.variant
        grant = Grant("deliver", message.id, str(self._actor))
        key = self._keystore.open_mail_key(message.id, delivery.key, grant)
        content = open_content(self._database, message.id, variant.number, key)
        # What holds the client's own body has the client's body type; what we composed is 7-bit.
        is_own = variant.number != 0 and variant.body_offset is None
        return Parcel(
            message.id,
            variant.number,
            variant.reverse_path,
            copies,
            content,
            body_type=BodyType.SEVEN_BIT if is_own else message.body_type,
            smtputf8=message.smtputf8,
            requiretls=message.requiretls,
            dsn_ret=message.dsn_ret,
            dsn_envid=message.dsn_envid,
        )


def approve_copy(delivery: Delivery, copy: StoredCopy) -> Approval:
    """Make the approval for one claimed copy. Raises ApprovalError."""
    variant = delivery.variant
    if copy.method is None or copy.decision_id is None:
        raise ApprovalError("the copy has no stored decision")
    if copy.variant != variant.number:
        raise ApprovalError("the copy names another variant")
    if copy.method in PROTECTING and variant.kind != copy.method.value:
        raise ApprovalError(f"the variant was made by {variant.kind!r}, the decision says {copy.method.value!r}")
    return approve(copy.message_id, variant.number, copy.decision_id, copy.method)
