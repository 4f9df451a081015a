"""Messages as they came in, with their wrapped keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from relay.core.envelope import BodyType, SessionInfo, Side
from relay.core.ports import WrappedMailKey
from relay.store.base import Tx, insert_sql
from relay.store.errors import NotFoundError

CLIENT = "client"
SYSTEM = "system"
PORTAL = "portal"
"""An answer that a partner wrote at the portal; the header field X-Letterlock-Origin says the same."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One row of `message`. Field order is the column order of MESSAGE_COLUMNS."""

    id: str
    tenant: str
    received_at: int
    listener: str
    side: Side
    client_ip: str
    helo: str
    tls: str | None
    login: str | None
    reverse_path: str
    dsn_ret: str | None
    dsn_envid: str | None
    body_type: BodyType
    smtputf8: bool
    requiretls: bool
    size: int
    """Octets of the content as received."""
    sha256: str
    """Of the octets as the client sent them, without the Received field put before them; hexadecimal."""
    origin: str
    """`client`, `system` or `portal`."""
    cause: str | None
    """The message that a system mail tells of."""
    shredded_at: int | None
    """When key and content were deleted."""

    def session(self) -> SessionInfo:
        """Return the session it came in by."""
        return SessionInfo(
            listener=self.listener,
            side=self.side,
            client_ip=self.client_ip,
            helo=self.helo,
            tls=self.tls,
            login=self.login,
        )


MESSAGE_COLUMNS = tuple(StoredMessage.__dataclass_fields__)
_SIDE, _BODY_TYPE = MESSAGE_COLUMNS.index("side"), MESSAGE_COLUMNS.index("body_type")
_RECEIVED_AT = MESSAGE_COLUMNS.index("received_at")
_VALUES_OF = attrgetter(*MESSAGE_COLUMNS)
SELECT_COLUMNS = ", ".join(f"m.{name}" for name in MESSAGE_COLUMNS)
INSERT_MESSAGE = insert_sql("message", MESSAGE_COLUMNS)
INSERT_KEY = insert_sql("mail_key", ("message_id", "tenant", "epoch", "suite", "data"))
INSERT_CHUNK = insert_sql("chunk", ("message_id", "variant", "n", "tenant", "data"))


def message_from_row(row: Sequence[Any]) -> StoredMessage:
    """Return the value of a row selected with SELECT_COLUMNS."""
    values = dict(zip(MESSAGE_COLUMNS, row, strict=True))
    values["side"] = Side(values["side"])
    values["body_type"] = BodyType(values["body_type"])
    values["smtputf8"] = bool(values["smtputf8"])
    values["requiretls"] = bool(values["requiretls"])
    return StoredMessage(**values)


def message_row(message: StoredMessage, received_at: int | None = None) -> tuple[Any, ...]:
    """Return the parameters of INSERT_MESSAGE; `received_at` takes the place of the value's own."""
    values = list(_VALUES_OF(message))
    values[_SIDE], values[_BODY_TYPE] = message.side.value, message.body_type.value
    if received_at is not None:
        values[_RECEIVED_AT] = received_at
    return tuple(values)


def key_row(message_id: str, tenant: str, key: WrappedMailKey) -> tuple[Any, ...]:
    """Return the parameters of INSERT_KEY."""
    return (message_id, tenant, key.epoch, key.suite, key.data)


def insert_messages(
    tx: Tx, messages: Sequence[StoredMessage], keys: Sequence[WrappedMailKey], *, received_at: int | None = None
) -> None:
    """Insert messages with their keys, pairwise; `received_at`, if given, is the time of all."""
    tx.insert_many(INSERT_MESSAGE, [message_row(message, received_at) for message in messages])
    tx.insert_many(INSERT_KEY, [key_row(m.id, m.tenant, key) for m, key in zip(messages, keys, strict=True)])


def fetch_messages(tx: Tx, message_ids: Iterable[str]) -> dict[str, StoredMessage]:
    """Return the messages that exist, by id."""
    ids = list(message_ids)
    if not ids:
        return {}
    marks = ", ".join("?" * len(ids))
    rows = tx.fetch_all(f"SELECT {SELECT_COLUMNS} FROM message m WHERE m.id IN ({marks})", ids)  # noqa: S608
    return {row[0]: message_from_row(row) for row in rows}


def get_message(tx: Tx, tenant: str, message_id: str) -> StoredMessage:
    """Return one message. Raises NotFoundError."""
    message = fetch_messages(tx, [message_id]).get(message_id)
    if message is None or message.tenant != tenant:
        raise NotFoundError(f"message {message_id}: there is none")
    return message


def fetch_keys(tx: Tx, message_ids: Iterable[str]) -> dict[str, WrappedMailKey]:
    """Return the wrapped keys of messages whose mail still exists, by message id."""
    ids = list(message_ids)
    if not ids:
        return {}
    marks = ", ".join("?" * len(ids))
    rows = tx.fetch_all(
        f"SELECT message_id, epoch, suite, data FROM mail_key WHERE message_id IN ({marks})",  # noqa: S608
        ids,
    )
    return {row[0]: WrappedMailKey(epoch=row[1], suite=int(row[2]), data=bytes(row[3])) for row in rows}


def get_key(tx: Tx, message_id: str) -> WrappedMailKey:
    """Return a message's wrapped key. Raises NotFoundError when the mail was shredded."""
    key = fetch_keys(tx, [message_id]).get(message_id)
    if key is None:
        raise NotFoundError(f"message {message_id}: its key is gone, the mail is deleted")
    return key


def find_messages(
    tx: Tx,
    tenant: str,
    *,
    address: str | None = None,
    since_ms: int = 0,
    until_ms: int | None = None,
    limit: int = 100,
) -> list[StoredMessage]:
    """Return messages for the trace, newest first; with `address` (normal form) those from or to it."""
    sql = f"SELECT {SELECT_COLUMNS} FROM message m WHERE m.tenant = ? AND m.received_at >= ?"  # noqa: S608
    parameters: list[Any] = [tenant, since_ms]
    if until_ms is not None:
        sql += " AND m.received_at < ?"
        parameters.append(until_ms)
    if address is not None:
        sql += (
            " AND (lower(m.reverse_path) = ? OR EXISTS"
            " (SELECT 1 FROM copy c WHERE c.message_id = m.id AND c.normal_address = ?))"
        )
        parameters += [address, address]
    sql += " ORDER BY m.received_at DESC, m.id LIMIT ?"
    return [message_from_row(row) for row in tx.fetch_all(sql, [*parameters, limit])]
