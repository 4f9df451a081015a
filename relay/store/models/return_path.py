"""Return paths: which mail of ours to a partner stands behind a return address, and who is told when it bounces."""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from relay.store.models.base import METADATA, id_column, tenant_column, text_column, time_column

RETURN_PATH = Table(
    "return_path",
    METADATA,
    id_column("token"),
    tenant_column(),
    text_column("kind"),
    text_column("sender"),
    text_column("recipient"),
    id_column("message_id"),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("told_at", nullable=True),
    PrimaryKeyConstraint("token"),
    Index("ix_return_path_expires_at", "expires_at"),
)
"""`kind`: of the mail of ours; `sender`: who is told; `recipient`: who should have got it; `message_id`: its cause."""
