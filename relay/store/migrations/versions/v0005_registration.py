"""Registration of partners by a link, passwords that a partner chose, and printed reply codes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0005"
down_revision = "v0004"
branch_labels = None
depends_on = None

_OPEN = sa.text("state = 'open'")


def upgrade() -> None:
    """Create the tables and the mark at passwords."""
    op.create_table(
        "mailbox_join",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("partner_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("sender_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("want", sa.Text(), nullable=False, server_default=""),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("mechanism", sa.Text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("mails", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("reminders", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("renewed", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailbox_join")),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_mailbox_join_partner_id")),
    )
    op.create_index(
        "uq_mailbox_join_open",
        "mailbox_join",
        ["tenant", "partner_id"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_table(
        "reply_code",
        sa.Column("box", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("mechanism", sa.Text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("box", name=op.f("pk_reply_code")),
        sa.ForeignKeyConstraint(["box"], ["mailbox.id"], name=op.f("fk_reply_code_box")),
    )
    op.add_column("pair_password", sa.Column("chosen", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("pair_password", "chosen")
    op.drop_table("reply_code")
    op.drop_table("mailbox_join")
