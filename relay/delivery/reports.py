"""Delivery reports to the sender (RFC 3461, RFC 3464): which of an attempt's endings are told, and in which mail.

Header fields of the mail as it came in at most, never its body. The subject and what repeats it go back only where the
stored decision keeps it in the clear, and to nobody outside: a reverse-path that is not ours gets neutral fields.
Never in answer to a null reverse-path (RFC 5321 4.5.5); when a mail of our own fails, the operator hears of it instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from relay.core.clock import to_datetime
from relay.core.errors import LetterlockError
from relay.core.lifecycle import State
from relay.core.ports import Actor, Grant, KeyStore
from relay.core.returns import read_return_token
from relay.delivery.endings import Ending
from relay.delivery.errors import Why
from relay.delivery.outcome import Delivered
from relay.message.addresses import Mailbox
from relay.message.dsn import Action, DsnRecipient, DsnReport, is_dsn_wanted, write_dsn
from relay.message.fields import HeaderFields, find_header_end, parse_fields
from relay.message.limits import ParseLimits
from relay.spool.backoff import GIVE_UP_MS
from relay.spool.content import open_content
from relay.spool.system_mail import SystemMail
from relay.spool.values import Delivery
from relay.store.base import Database
from relay.store.repositories.decisions import fetch_decisions

_MOST_HEADER = 64 * 1024

_UNREACHED = (
    "Der Mailserver des Empfängers war nicht zu erreichen.",
    "The recipient's mail server could not be reached.",
)
_UNSAFE = (
    "Der Mailserver des Empfängers bot nicht die verlangte gesicherte Verbindung.",
    "The recipient's mail server did not offer the protected connection that is required.",
)
_OURS = (
    "Die Zustellung war wegen einer Störung bei uns nicht möglich.",
    "The mail could not be delivered because of a fault on our side.",
)
_UNFIT = (
    "Der Mailserver des Empfängers kann diese Art von Nachricht nicht annehmen.",
    "The recipient's mail server cannot take this kind of message.",
)
_TOO_LARGE = (
    "Die Nachricht ist größer, als der Mailserver des Empfängers annimmt.",
    "The message is larger than the recipient's mail server takes.",
)
_WORDS = {
    Why.CONNECT: _UNREACHED,
    Why.GREETING: _UNREACHED,
    Why.LOST: _UNREACHED,
    Why.DOUBTFUL: _UNREACHED,
    Why.PROTOCOL: _UNREACHED,
    Why.HOP_DOWN: _UNREACHED,
    Why.TLS: _UNSAFE,
    Why.CONVERSION: _UNFIT,
    Why.SIZE: _TOO_LARGE,
}
"""German and English for people, where the peer gave no reply of its own; anything else is a fault of ours."""


class Reports(Protocol):
    """Makes the mails that tell the sender of an attempt's endings."""

    def make(self, delivery: Delivery, endings: Sequence[Ending]) -> list[SystemMail]:
        """Return the mails to be queued in the transaction that settles these endings. Raises LetterlockError."""
        ...


class DsnReports:
    """Reports as the product sends them. Safe for threads."""

    def __init__(
        self,
        database: Database,
        keystore: KeyStore,
        hostname: str,
        actor: Actor,
        hop_for: Callable[[str], str],
        *,
        is_own: Callable[[str], bool],
    ) -> None:
        """`is_own` tells whether a reverse-path is of an own domain."""
        self._database = database
        self._keystore = keystore
        self._hostname = hostname
        self._actor = actor
        self._hop_for = hop_for
        self._is_own = is_own

    def make(self, delivery: Delivery, endings: Sequence[Ending]) -> list[SystemMail]:
        """See Reports. One mail for each kind of news."""
        if not delivery.message.reverse_path:
            return []
        mails = []
        for action in (Action.FAILED, Action.DELAYED, Action.RELAYED):
            told = [e for e in endings if e.action is action and is_dsn_wanted(e.copy.notify, action)]
            if told:
                mails.append(self._make_one(delivery, action, told))
        return mails

    def _make_one(self, delivery: Delivery, action: Action, endings: Sequence[Ending]) -> SystemMail:
        message = delivery.message
        now = to_datetime(delivery.claimed_at)
        report = DsnReport(
            reporting_mta=self._hostname,
            author=Mailbox("Letterlock", f"mailer-daemon@{self._hostname}"),
            to=message.reverse_path,
            arrival=to_datetime(message.received_at),
            date=now,
            recipients=tuple(self._recipient(delivery, ending, action) for ending in endings),
            envid=message.dsn_envid,
            original_fields=self._read_fields(delivery),
            ret=message.dsn_ret,
            show_subject=self._is_own(message.reverse_path) and self._is_subject_kept(endings),
            smtputf8=message.smtputf8,
        )
        return SystemMail(
            kind=f"dsn-{action.value}",
            reverse_path="",
            recipients=(message.reverse_path,),
            content=b"".join(write_dsn(report)),
            # What comes back to one of our own mails is read by the worker and told to whoever caused it.
            state=State.RECEIVED if read_return_token(message.reverse_path) else State.QUEUED,
            hop=self._hop_for(message.reverse_path),
            cause=message.id,
            smtputf8=message.smtputf8 and not message.reverse_path.isascii(),
        )

    @staticmethod
    def _recipient(delivery: Delivery, ending: Ending, action: Action) -> DsnRecipient:
        first = ending.copy.first_queued_at or delivery.message.received_at
        outcome = ending.outcome
        why = Why.REPLY if isinstance(outcome, Delivered) else outcome.why
        is_reply = why is Why.REPLY
        german, english = _WORDS.get(why, _OURS)
        return DsnRecipient(
            ending.copy.forward_path,
            action,
            ending.status,
            orcpt=ending.copy.orcpt,
            diagnostic=outcome.text if is_reply else "",
            explanation=() if is_reply else (("de", german), ("en", english)),
            remote_mta=outcome.remote if is_reply else "",
            last_attempt=to_datetime(delivery.claimed_at),
            will_retry_until=to_datetime(first + GIVE_UP_MS) if action is Action.DELAYED else None,
        )

    def _is_subject_kept(self, endings: Sequence[Ending]) -> bool:
        ids = [ending.copy.decision_id for ending in endings if ending.copy.decision_id]
        with self._database.reading() as tx:
            decisions = fetch_decisions(tx, ids)
        # A decision that cannot be found hides it.
        return all(i in decisions and decisions[i].decision.shows_subject for i in ids)

    def _read_fields(self, delivery: Delivery) -> HeaderFields | None:
        message = delivery.message
        try:
            grant = Grant("deliver", message.id, str(self._actor))
            key = self._keystore.open_mail_key(message.id, delivery.key, grant)
            with open_content(self._database, message.id, 0, key).open() as stream:
                beginning = stream.read(_MOST_HEADER)
            end, _ = find_header_end(beginning)
            return parse_fields(beginning[: end if end >= 0 else beginning.rfind(b"\n") + 1], ParseLimits())[0]
        except LetterlockError:
            # The report matters more than the fields in it.
            return None
