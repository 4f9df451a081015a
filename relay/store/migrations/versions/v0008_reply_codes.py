"""A box for each way that a PDF's reply page opens, password or printed code; an order by time for what was seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0008"
down_revision = "v0007"
branch_labels = None
depends_on = None

_REPLY = sa.text("password_id IS NOT NULL")


def upgrade() -> None:
    """Add the column and the indexes."""
    op.add_column("mailbox", sa.Column("coded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE mailbox SET coded = TRUE WHERE id IN (SELECT box FROM reply_code)")
    op.drop_index("uq_mailbox_password", "mailbox")
    _make_index(["password_id", "coded"])
    op.create_index("ix_mailbox_seen_at", "mailbox_seen", ["tenant", "at"])
    op.create_index("ix_mailbox_quarantine_at", "mailbox_quarantine", ["tenant", "at"])


def downgrade() -> None:
    """Drop them; of two boxes of one password the one with a code keeps its links and gets no more of them."""
    op.drop_index("ix_mailbox_quarantine_at", "mailbox_quarantine")
    op.drop_index("ix_mailbox_seen_at", "mailbox_seen")
    op.drop_index("uq_mailbox_password", "mailbox")
    op.execute(
        "UPDATE mailbox SET password_id = NULL WHERE coded AND EXISTS"
        " (SELECT 1 FROM mailbox b WHERE b.password_id = mailbox.password_id AND NOT b.coded)"
    )
    _make_index(["password_id"])
    op.drop_column("mailbox", "coded")


def _make_index(columns: list[str]) -> None:
    op.create_index(
        "uq_mailbox_password", "mailbox", columns, unique=True, sqlite_where=_REPLY, postgresql_where=_REPLY
    )
