"""Copies: one row a recipient. Claimed copies change only through relay.spool; here is what reads and inserts them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from relay.core.address import normalise_address
from relay.core.decision import Method
from relay.core.envelope import Recipient
from relay.core.errors import AddressError
from relay.core.ids import new_id
from relay.core.lifecycle import State
from relay.store.base import Tx, insert_sql


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """One row of `copy`, with the method of its stored decision. Times in milliseconds."""

    id: str
    message_id: str
    tenant: str
    forward_path: str
    normal_address: str
    notify: frozenset[str] | None
    orcpt: str | None
    state: State
    variant: int | None
    hop: str
    decision_id: str | None
    next_at: int
    attempts: int
    crashes: int
    lease_until: int
    owner: str
    fence: int
    last_status: str
    last_text: str
    first_queued_at: int | None
    delay_notified_at: int | None
    updated_at: int
    method: Method | None = None
    """Of the stored decision; None before one was stored."""

    @property
    def recipient(self) -> Recipient:
        """Return the RCPT TO that made it."""
        return Recipient(forward_path=self.forward_path, notify=self.notify, orcpt=self.orcpt)


COPY_COLUMNS = tuple(name for name in StoredCopy.__dataclass_fields__ if name != "method")
SELECT_COPIES = (
    f"SELECT {', '.join(f'c.{name}' for name in COPY_COLUMNS)}, d.method "  # noqa: S608
    "FROM copy c LEFT JOIN decision d ON d.id = c.decision_id "
)
NEW_COPY_COLUMNS = (
    "id",
    "message_id",
    "tenant",
    "forward_path",
    "normal_address",
    "notify",
    "orcpt",
    "state",
    "variant",
    "hop",
    "decision_id",
    "next_at",
    "first_queued_at",
    "updated_at",
)
INSERT_COPY = insert_sql("copy", NEW_COPY_COLUMNS)


def copy_from_row(row: Sequence[Any]) -> StoredCopy:
    """Return the value of a row selected with SELECT_COPIES."""
    values = dict(zip((*COPY_COLUMNS, "method"), row, strict=True))
    notify = values["notify"]
    values["notify"] = None if notify is None else frozenset(notify.split(","))
    values["state"] = State(values["state"])
    values["method"] = None if values["method"] is None else Method(values["method"])
    return StoredCopy(**values)


@functools.lru_cache(maxsize=1024)
def normal_form(forward_path: str) -> str:
    """Return the normal form of a forward-path; `postmaster` alone has none and is lowered (RFC 5321 4.5.1)."""
    try:
        return normalise_address(forward_path)
    except AddressError:
        return forward_path.lower()


def new_copy_row(
    message_id: str,
    tenant: str,
    recipient: Recipient,
    now_ms: int,
    *,
    state: State = State.RECEIVED,
    hop: str = "",
    variant: int | None = None,
    decision_id: str | None = None,
    copy_id: str | None = None,
) -> tuple[Any, ...]:
    """Return the parameters of INSERT_COPY for a copy that is due at once."""
    notify = None if recipient.notify is None else ",".join(sorted(recipient.notify))
    queued_at = now_ms if state is State.QUEUED else None
    return (
        copy_id or new_id(),
        message_id,
        tenant,
        recipient.forward_path,
        normal_form(recipient.forward_path),
        notify,
        recipient.orcpt,
        state.value,
        variant,
        hop,
        decision_id,
        now_ms,
        queued_at,
        now_ms,
    )


def add_copies(
    tx: Tx, message_id: str, tenant: str, recipients: Iterable[Recipient], *, state: State = State.RECEIVED
) -> list[str]:
    """Add recipients to a message (a forwarding rule); return the new copies' ids, in order."""
    now = tx.now_ms()
    rows = [new_copy_row(message_id, tenant, recipient, now, state=state) for recipient in recipients]
    tx.run_many(INSERT_COPY, rows)
    return [row[0] for row in rows]


def copies_of(tx: Tx, message_id: str) -> list[StoredCopy]:
    """Return all copies of a message, by address."""
    rows = tx.fetch_all(SELECT_COPIES + "WHERE c.message_id = ? ORDER BY c.normal_address, c.id", [message_id])
    return [copy_from_row(row) for row in rows]


def fetch_copies(tx: Tx, copy_ids: Iterable[str]) -> dict[str, StoredCopy]:
    """Return the copies that exist, by id."""
    ids = list(copy_ids)
    if not ids:
        return {}
    marks = ", ".join("?" * len(ids))
    rows = tx.fetch_all(SELECT_COPIES + f"WHERE c.id IN ({marks})", ids)
    return {row[0]: copy_from_row(row) for row in rows}
