"""Reply links: made with the PDF they stand in, in the transaction that queues it."""

from __future__ import annotations

from dataclasses import dataclass

from relay.store.base import Tx, insert_sql
from relay.store.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class ReplyLink:
    """One link. Times in milliseconds. Field order is the column order."""

    token: str
    tenant: str
    message_id: str
    copy_id: str
    partner_id: str
    password_id: str
    sender: str
    header_message_id: str
    created_at: int
    expires_at: int
    closed_at: int | None = None


_COLUMNS = tuple(ReplyLink.__dataclass_fields__)
_INSERT = insert_sql("reply_link", _COLUMNS)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM reply_link "  # noqa: S608 - our own column names


def add_reply_link(tx: Tx, link: ReplyLink) -> None:
    """Store a new link."""
    tx.run(_INSERT, [getattr(link, name) for name in _COLUMNS])


def get_reply_link(tx: Tx, tenant: str, token: str) -> ReplyLink:
    """Return a link. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND token = ?", [tenant, token])
    if row is None:
        raise NotFoundError("there is no such reply link")
    return ReplyLink(*row)


def open_reply_links(tx: Tx, tenant: str, *, after: str = "", limit: int = 100) -> list[ReplyLink]:
    """Return links that lead somewhere now, by token, from the one behind `after` on."""
    rows = tx.fetch_all(
        _SELECT + "WHERE tenant = ? AND token > ? AND expires_at > ? AND closed_at IS NULL ORDER BY token LIMIT ?",
        [tenant, after, tx.now_ms(), limit],
    )
    return [ReplyLink(*row) for row in rows]


def forget_reply_links(tx: Tx, tenant: str, before_ms: int) -> int:
    """Delete links that expired before a time; return how many."""
    return tx.run("DELETE FROM reply_link WHERE tenant = ? AND expires_at < ?", [tenant, before_ms])
