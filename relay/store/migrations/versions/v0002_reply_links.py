"""Reply links of PDFs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "reply_link",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("copy_id", sa.Text(), nullable=False),
        sa.Column("partner_id", sa.Text(), nullable=False),
        sa.Column("password_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("header_message_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_reply_link_partner_id")),
        sa.ForeignKeyConstraint(["password_id"], ["pair_password.id"], name=op.f("fk_reply_link_password_id")),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_reply_link")),
    )
    op.create_index("ix_reply_link_password_id", "reply_link", ["password_id"])
    op.create_index("ix_reply_link_expires_at", "reply_link", ["expires_at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("reply_link")
