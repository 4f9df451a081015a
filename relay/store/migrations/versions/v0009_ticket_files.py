"""What a ticket said of files, so that a switch turned later refuses no answer that the reader was offered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0009"
down_revision = "v0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Of tickets of before nobody knows: for them the switch counts as it stands."""
    op.add_column("mailbox_message", sa.Column("files", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("mailbox_message", "files")
