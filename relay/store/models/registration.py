"""Registration: links by which a partner chooses a password first, and the codes that PDFs with such a password print.

Neither a link's secret T nor a code lies here in the clear: keyd sealed both.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, text

from relay.store.models.base import METADATA, blob_column, id_column, tenant_column, text_column, time_column

_OPEN = text("state = 'open'")

MAILBOX_JOIN = Table(
    "mailbox_join",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    Column("partner_id", Text, ForeignKey("partner.id"), nullable=False),
    text_column("sender"),
    text_column("sender_name"),
    text_column("state"),
    text_column("want", default=""),
    text_column("key_id"),
    text_column("mechanism"),
    Column("format", Integer, nullable=False),
    blob_column("data"),
    text_column("mails", default="[]"),
    Column("reminders", Integer, nullable=False, server_default="0"),
    Column("renewed", Integer, nullable=False, server_default="0"),
    time_column("began_at"),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("ended_at", nullable=True),
    Index("uq_mailbox_join_open", "tenant", "partner_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
)
"""`id`: stands in the link, the portal knows its SHA-256; `state`: open, taken, refused, expired; `want`: mailbox or
pdf, once taken; `mails`: JSON list of [due, id] of our parked mails that wait, the notice and its reminders;
`reminders`: how many went; `renewed`: how many links came before it; `began_at`: when the first of them was made."""

REPLY_CODE = Table(
    "reply_code",
    METADATA,
    Column("box", Text, ForeignKey("mailbox.id"), primary_key=True),
    tenant_column(),
    text_column("key_id"),
    text_column("mechanism"),
    Column("format", Integer, nullable=False),
    blob_column("data"),
)
"""The code that opens a reply box instead of the PDF's password, and that the PDF prints (sealed-mailbox 12)."""
