"""Return paths: made in the transaction that queues a mail of ours to a partner, asked when something comes back."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.clock import DAY
from relay.core.returns import new_return_token
from relay.store.base import Tx, insert_sql

RETURN_PATH_MS = 30 * DAY
"""How long what comes back is told: servers give up after five days as a rule (RFC 5321 4.5.4.1)."""


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """One return address. Times in milliseconds. Field order is the column order."""

    token: str
    tenant: str
    kind: str
    """Of the mail of ours, `portal-notice` and so on."""
    sender: str
    """The inside address that is told."""
    recipient: str
    """Who should have got it."""
    message_id: str
    """The message that caused it."""
    created_at: int
    expires_at: int
    told_at: int | None = None


_COLUMNS = tuple(ReturnPath.__dataclass_fields__)
_INSERT = insert_sql("return_path", _COLUMNS)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM return_path "  # noqa: S608 - our own column names


def add_return_path(tx: Tx, tenant: str, *, kind: str, sender: str, recipient: str, message_id: str) -> str:
    """Make a return path as part of `tx` and return its token, for relay.core.returns.make_return_address."""
    now = tx.now_ms()
    path = ReturnPath(new_return_token(), tenant, kind, sender, recipient, message_id, now, now + RETURN_PATH_MS)
    tx.run(_INSERT, [getattr(path, name) for name in _COLUMNS])
    return path.token


def find_return_path(tx: Tx, tenant: str, token: str) -> ReturnPath | None:
    """Return what stands behind a token, None for an unknown or expired one."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND token = ? AND expires_at > ?", [tenant, token, tx.now_ms()])
    return ReturnPath(*row) if row is not None else None


def mark_told(tx: Tx, tenant: str, token: str) -> bool:
    """Note that the sender is told; False when that was done before."""
    return bool(
        tx.run(
            "UPDATE return_path SET told_at = ? WHERE tenant = ? AND token = ? AND told_at IS NULL",
            [tx.now_ms(), tenant, token],
        )
    )


def forget_return_paths(tx: Tx, tenant: str, before_ms: int) -> int:
    """Delete return paths that expired before a time; return how many."""
    return tx.run("DELETE FROM return_path WHERE tenant = ? AND expires_at < ?", [tenant, before_ms])
