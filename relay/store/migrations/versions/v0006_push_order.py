"""Waiting pushes in their order, so that claiming one costs the same however many wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0006"
down_revision = "v0005"
branch_labels = None
depends_on = None

_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "ix_portal_push_order", "portal_push", ["tenant", "seq"], sqlite_where=_WAITING, postgresql_where=_WAITING
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_portal_push_order", "portal_push")
