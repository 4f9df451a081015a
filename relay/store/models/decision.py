"""What was decided for a copy, stored before anything changes. A row is never updated."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table

from relay.store.models.base import METADATA, id_column, message_reference, tenant_column, text_column, time_column

DECISION = Table(
    "decision",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    message_reference(),
    id_column("copy_id"),
    Column("policy_version", Integer, nullable=False),
    text_column("method"),
    text_column("reason"),
    text_column("json"),
    time_column("created_at"),
    Index("ix_decision_message_id", "message_id"),
)
