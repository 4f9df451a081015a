"""Mail of our own (notices, delivery reports), made in the very transaction that caused it.

So the notice exists exactly if the step happened. Its key is sealed to the spool like any other mail's. Whatever is
queued for sending as it is gets a stored decision of its own that allows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from relay.core.decision import Decision, Method, Reason
from relay.core.envelope import BodyType, Recipient, Side
from relay.core.ids import new_id
from relay.core.lifecycle import State
from relay.core.ports import Actor, Event, SpoolPublicKey
from relay.core.wire.chunks import seal_content
from relay.core.wire.mailkey import MailKeySealer
from relay.store.base import EventDetail, Tx
from relay.store.repositories.copies import INSERT_COPY, new_copy_row
from relay.store.repositories.decisions import insert_decisions
from relay.store.repositories.messages import INSERT_CHUNK, SYSTEM, StoredMessage, insert_messages
from relay.store.repositories.variants import ORIGINAL

_STATES = frozenset({State.QUEUED, State.RECEIVED})


@dataclass(frozen=True, slots=True)
class SystemMail:
    """A complete mail of ours and where it goes."""

    kind: str
    """`password-notice`, `dsn-failed`, `dsn-delayed`, `hold-notice`, `alert` ..."""
    reverse_path: str
    """Mostly the null reverse-path ``""``."""
    recipients: tuple[str, ...]
    content: bytes
    """Header and body with CRLF."""
    state: State = State.QUEUED
    """`queued`: leaves as it is over `hop`, allowed by a stored decision of its own (method pass, reason system);
    `received`: is decided and protected by the worker like any other mail."""
    hop: str = ""
    cause: str | None = None
    """The message that it tells of."""
    message_id: str | None = None
    """Given when the content already names it, else a new id."""
    smtputf8: bool = False


def new_system_message(
    tx: Tx, spool_public: Callable[[], SpoolPublicKey], tenant: str, mail: SystemMail, actor: Actor
) -> str:
    """Insert the mail as part of `tx` and return its message id. Raises StorageError; ValueError for another state."""
    if mail.state not in _STATES or not mail.recipients:
        raise ValueError("a mail of ours begins as queued or received, and has recipients")
    message_id = _insert_content(tx, spool_public, tenant, mail)
    _insert_copies(tx, tenant, message_id, mail)
    _note_made(tx, tenant, message_id, mail, actor)
    return message_id


def park_system_message(
    tx: Tx, spool_public: Callable[[], SpoolPublicKey], tenant: str, mail: SystemMail, actor: Actor
) -> str:
    """Insert a mail that must not leave yet, sealed like any other, and return its message id: it has no copies.

    `release_system_message` lets it go, `drop_system_message` deletes it. Raises StorageError.
    """
    message_id = _insert_content(tx, spool_public, tenant, mail)
    detail: dict[str, EventDetail] = {"kind": mail.kind, "size": len(mail.content)}
    tx.append_event(Event("message.parked", actor, tenant, message_id, detail=detail))
    return message_id


def release_system_message(
    tx: Tx, tenant: str, message_id: str, mail: SystemMail, actor: Actor, *, size: int = 0
) -> None:
    """Queue a parked mail as part of `tx`; `mail` says kind, recipients and way, its content is the stored one."""
    _insert_copies(tx, tenant, message_id, mail)
    _note_made(tx, tenant, message_id, mail, actor, size=size)


def drop_system_message(tx: Tx, tenant: str, message_id: str, actor: Actor) -> None:
    """Leave a parked mail to the clean-up, which deletes key and content of what has no open copies."""
    tx.run(
        "INSERT INTO finished (message_id, tenant, at) VALUES (?, ?, ?) ON CONFLICT (message_id) DO NOTHING",
        [message_id, tenant, tx.now_ms()],
    )
    tx.append_event(Event("message.dropped", actor, tenant, message_id))


def _insert_content(tx: Tx, spool_public: Callable[[], SpoolPublicKey], tenant: str, mail: SystemMail) -> str:
    message_id = mail.message_id or new_id()
    key, wrapped = MailKeySealer(spool_public()).make(message_id)
    insert_messages(tx, [_as_message(message_id, tenant, mail, tx.now_ms())], [wrapped])
    chunks = seal_content(key, message_id, ORIGINAL, [mail.content])
    tx.run_many(INSERT_CHUNK, [(message_id, ORIGINAL, n, tenant, data) for n, data in enumerate(chunks)])
    return message_id


def _insert_copies(tx: Tx, tenant: str, message_id: str, mail: SystemMail) -> None:
    now = tx.now_ms()
    copy_ids = [new_id() for _ in mail.recipients]
    decision_ids: list[str] | list[None] = [None] * len(copy_ids)
    if mail.state is State.QUEUED:
        # RFC 3834: our own automatic mail. It holds nothing of what was to be protected; its maker answers for that.
        decision = Decision(Method.PASS, Reason.SYSTEM, f"Mail of the gateway itself: {mail.kind}.")
        decision_ids = insert_decisions(tx, tenant, message_id, [(copy_id, decision) for copy_id in copy_ids])
    rows = [
        new_copy_row(
            message_id,
            tenant,
            # A notice is never answered by another notice (RFC 3461 4.1).
            Recipient(forward_path, frozenset({"NEVER"}) if mail.reverse_path == "" else None),
            now,
            state=mail.state,
            hop=mail.hop,
            variant=ORIGINAL if mail.state is State.QUEUED else None,
            decision_id=decision_id,
            copy_id=copy_id,
        )
        for forward_path, copy_id, decision_id in zip(mail.recipients, copy_ids, decision_ids, strict=True)
    ]
    tx.run_many(INSERT_COPY, rows)


def _note_made(tx: Tx, tenant: str, message_id: str, mail: SystemMail, actor: Actor, *, size: int = 0) -> None:
    detail: dict[str, EventDetail] = {
        "kind": mail.kind,
        "recipients": len(mail.recipients),
        "size": size or len(mail.content),
    }
    if mail.cause is not None:
        detail["cause"] = mail.cause
        tx.append_event(Event("notice.made", actor, tenant, mail.cause, detail={"kind": mail.kind, "as": message_id}))
    tx.append_event(Event("message.made", actor, tenant, message_id, detail=detail))


def _as_message(message_id: str, tenant: str, mail: SystemMail, now_ms: int) -> StoredMessage:
    is_seven_bit = mail.content.isascii()
    return StoredMessage(
        id=message_id,
        tenant=tenant,
        received_at=now_ms,
        listener="",
        side=Side.INSIDE,
        client_ip="",
        helo="",
        tls=None,
        login=None,
        reverse_path=mail.reverse_path,
        dsn_ret=None,
        dsn_envid=None,
        body_type=BodyType.SEVEN_BIT if is_seven_bit else BodyType.EIGHT_BIT_MIME,
        smtputf8=mail.smtputf8,
        requiretls=False,
        size=len(mail.content),
        sha256=hashlib.sha256(mail.content).hexdigest(),
        origin=SYSTEM,
        cause=mail.cause,
        shredded_at=None,
    )
