"""Tenants, the organisation's documents with their versions, logins of submission, and timed jobs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, text

from relay.store.models.base import METADATA, tenant_column, text_column, time_column

TENANT = Table(
    "tenant",
    METADATA,
    tenant_column(primary_key=True),
    text_column("name"),
    time_column("created_at"),
)

_ACTIVE = text("state = 'active'")

CONFIGURATION = Table(
    "configuration",
    METADATA,
    tenant_column(),
    text_column("kind"),
    Column("version", Integer, nullable=False),
    text_column("state"),
    text_column("author"),
    time_column("created_at"),
    time_column("activated_at", nullable=True),
    text_column("content"),
    PrimaryKeyConstraint("tenant", "kind", "version"),
    Index("uq_configuration_active", "tenant", "kind", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
)
"""`state`: `draft`, `active` (one a kind) or `retired`; `content` is the JSON document as its author gave it."""

LOGIN = Table(
    "login",
    METADATA,
    tenant_column(),
    text_column("name"),
    text_column("hash"),
    text_column("addresses"),
    Column("enabled", Boolean, nullable=False),
    time_column("created_at"),
    time_column("updated_at"),
    PrimaryKeyConstraint("tenant", "name"),
)
"""`hash` is an Argon2 encoded hash; `addresses` a JSON list of normal addresses that the login may send as."""

JOB = Table(
    "job",
    METADATA,
    tenant_column(),
    text_column("name"),
    time_column("next_at"),
    Column("interval_ms", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False, server_default="0"),
    text_column("owner", default=""),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    time_column("last_at", nullable=True),
    text_column("last_status", default=""),
    PrimaryKeyConstraint("tenant", "name"),
    Index("ix_job_next_at", "next_at"),
)
"""Everything timed, run by one process at a time in a cluster."""
