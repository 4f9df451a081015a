"""The append-only log: one hash chain for each writing process, held together by anchor events."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, Table, text

from relay.store.models.base import METADATA, id_column, tenant_column, text_column, time_column

_GENERAL = text("message_id IS NULL")

EVENT = Table(
    "event",
    METADATA,
    text_column("chain"),
    Column("seq", BigInteger, nullable=False),
    tenant_column(),
    time_column("at"),
    text_column("actor"),
    text_column("kind"),
    id_column("message_id", nullable=True),
    id_column("copy_id", nullable=True),
    text_column("detail"),
    text_column("prev_hash"),
    text_column("hash"),
    PrimaryKeyConstraint("chain", "seq"),
    Index("ix_event_message_id", "message_id"),
    Index("ix_event_tenant_at", "tenant", "at"),
    # What is about no mail (configuration, epochs, logins) is rare and asked for by kind; mail's events are many.
    Index("ix_event_general", "tenant", "kind", "at", sqlite_where=_GENERAL, postgresql_where=_GENERAL),
)
"""No foreign keys: an event outlives what it tells of."""
