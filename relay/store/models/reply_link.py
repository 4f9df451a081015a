"""Reply links: what stands behind the link of one PDF. It outlives the mail, whose content goes when it has left."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Table, Text

from relay.store.models.base import METADATA, id_column, tenant_column, text_column, time_column

REPLY_LINK = Table(
    "reply_link",
    METADATA,
    id_column("token"),
    tenant_column(),
    id_column("message_id"),
    id_column("copy_id"),
    Column("partner_id", Text, ForeignKey("partner.id"), nullable=False),
    Column("password_id", Text, ForeignKey("pair_password.id"), nullable=False),
    text_column("sender"),
    text_column("header_message_id"),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("closed_at", nullable=True),
    PrimaryKeyConstraint("token"),
    Index("ix_reply_link_password_id", "password_id"),
    Index("ix_reply_link_expires_at", "expires_at"),
)
"""`token`: 16 random octets, no secret; `sender`: whom the answer goes to; `header_message_id`: its thread."""
