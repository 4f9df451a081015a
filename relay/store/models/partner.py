"""External people, one record for each normal address, and the passwords that senders share with them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from relay.store.models.base import METADATA, blob_column, id_column, tenant_column, text_column, time_column

PARTNER = Table(
    "partner",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    text_column("address"),
    text_column("language", default=""),
    text_column("pdf_cipher", default=""),
    Column("size_limit", BigInteger, nullable=True),
    time_column("created_at"),
    time_column("updated_at"),
    UniqueConstraint("tenant", "address", name="uq_partner_address"),
)
"""`size_limit` in octets of the finished mail, NULL = none known; empty `language` and `pdf_cipher` = as shipped."""

PAIR_PASSWORD = Table(
    "pair_password",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    text_column("sender"),
    Column("partner_id", Text, ForeignKey("partner.id"), nullable=False),
    Column("version", Integer, nullable=False),
    text_column("kind"),
    id_column("message_id", nullable=True),
    text_column("key_id"),
    text_column("mechanism"),
    Column("format", Integer, nullable=False),
    blob_column("data"),
    time_column("created_at"),
    time_column("retired_at", nullable=True),
    time_column("told_at", nullable=True),
    Column("chosen", Integer, nullable=False, server_default="0"),
    UniqueConstraint("tenant", "sender", "partner_id", "version", name="uq_pair_password_version"),
    Index("ix_pair_password_message_id", "message_id"),
    Index("ix_pair_password_partner_id", "partner_id"),
)
"""`kind`: `pair` (all mail between the two) or `message` (one mail only, then `message_id` is set).
`chosen`: 1 where the partner chose it himself: nobody is told it, and it opens no reply page."""
