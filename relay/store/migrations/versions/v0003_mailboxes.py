"""Boxes of the portal: accounts, generations, kept mail, what came in, what has to be pushed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None

_TABLES = (
    "portal_mark",
    "portal_push",
    "mailbox_card",
    "mailbox_quarantine",
    "mailbox_seen",
    "mailbox_chunk",
    "mailbox_message",
    "mailbox_generation",
    "mailbox",
)


def upgrade() -> None:
    """Create the tables."""
    _create_mailbox()
    _create_generation()
    _create_message()
    _create_chunk()
    _create_incoming()
    _create_card()
    _create_push()
    if op.get_bind().dialect.name == "postgresql":
        # Ciphertext does not compress: do not try.
        op.execute("ALTER TABLE mailbox_chunk ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Drop the tables."""
    for table in _TABLES:
        op.drop_table(table)


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, server_default=default)


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable, server_default=default)


def _blob(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    clause = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=clause, postgresql_where=clause)


def _create_mailbox() -> None:
    op.create_table(
        "mailbox",
        _text("id"),
        _text("tenant"),
        _text("kind"),
        _text("partner_id"),
        _text("login_name", nullable=True),
        _text("state"),
        _number("gen"),
        _text("form", nullable=True),
        _text("password_id", nullable=True),
        _time("created_at"),
        _time("first_expires_at", nullable=True),
        _text("first_sender", default=""),
        _time("opened_at", nullable=True),
        _number("next_no", default="1"),
        _time("last_notice_at", nullable=True),
        _flag("code_needed"),
        _text("lang", default=""),
        _flag("must_change"),
        _time("closed_at", nullable=True),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_mailbox_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailbox")),
    )
    where = "kind = 'mailbox' AND state <> 'closed'"
    _partial_index("uq_mailbox_open", "mailbox", ["tenant", "partner_id"], where, unique=True)
    _partial_index("uq_mailbox_password", "mailbox", ["password_id"], "password_id IS NOT NULL", unique=True)


def _create_generation() -> None:
    op.create_table(
        "mailbox_generation",
        _text("box"),
        _number("gen"),
        _text("tenant"),
        _text("made_by"),
        _text("cause"),
        _blob("capsule", nullable=True),
        _text("key_id"),
        _text("mechanism"),
        _number("format"),
        _blob("key"),
        _text("capsule_sha"),
        _text("enc"),
        _text("sign"),
        _blob("seed", nullable=True),
        _number("escrow_card", nullable=True),
        _time("made_at"),
        _time("accepted_at"),
        _time("expires_at", nullable=True),
        _time("expired_at", nullable=True),
        _time("pushed_at", nullable=True),
        _text("password_notice", nullable=True),
        _text("code_notice", nullable=True),
        sa.ForeignKeyConstraint(["box"], ["mailbox.id"], name=op.f("fk_mailbox_generation_box")),
        sa.PrimaryKeyConstraint("box", "gen", name=op.f("pk_mailbox_generation")),
    )


def _create_message() -> None:
    op.create_table(
        "mailbox_message",
        _text("box"),
        _text("id"),
        _text("tenant"),
        _text("copy_id", nullable=True),
        _text("message_id", nullable=True),
        _number("no"),
        _number("gen"),
        _text("kind"),
        _number("card"),
        _blob("sealed"),
        _text("parts"),
        _text("thread"),
        _text("sender"),
        _text("sender_name"),
        _text("to_addresses"),
        _text("cc_addresses"),
        _text("header_message_id"),
        _text("references_ids"),
        _flag("receipt"),
        _time("created_at"),
        _time("expires_at"),
        _time("pushed_at", nullable=True),
        _time("read_at", nullable=True),
        _time("deleted_at", nullable=True),
        sa.ForeignKeyConstraint(["box"], ["mailbox.id"], name=op.f("fk_mailbox_message_box")),
        sa.PrimaryKeyConstraint("box", "id", name=op.f("pk_mailbox_message")),
    )
    op.create_index("ix_mailbox_message_copy_id", "mailbox_message", ["copy_id"])
    op.create_index("ix_mailbox_message_box_no", "mailbox_message", ["box", "no"])
    _partial_index("ix_mailbox_message_expires_at", "mailbox_message", ["expires_at"], "deleted_at IS NULL")


def _create_chunk() -> None:
    op.create_table(
        "mailbox_chunk",
        _text("box"),
        _text("id"),
        _number("i"),
        _number("n"),
        _text("tenant"),
        _blob("data"),
        sa.PrimaryKeyConstraint("box", "id", "i", "n", name=op.f("pk_mailbox_chunk")),
    )


def _create_incoming() -> None:
    op.create_table(
        "mailbox_seen",
        _text("box"),
        _text("outer_id"),
        _text("tenant"),
        _text("kind"),
        _text("result"),
        _time("at"),
        sa.PrimaryKeyConstraint("box", "outer_id", name=op.f("pk_mailbox_seen")),
    )
    op.create_table(
        "mailbox_quarantine",
        _text("id"),
        _text("tenant"),
        _text("box"),
        _text("outer_id"),
        _text("kind"),
        _text("code"),
        _blob("data"),
        _time("at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailbox_quarantine")),
    )
    op.create_index("ix_mailbox_quarantine_box", "mailbox_quarantine", ["box"])


def _create_card() -> None:
    op.create_table(
        "mailbox_card",
        _text("tenant"),
        _number("serial"),
        _text("record"),
        _time("made_at"),
        _time("superseded_at", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "serial", name=op.f("pk_mailbox_card")),
    )


def _create_push() -> None:
    op.create_table(
        "portal_push",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        _text("tenant"),
        _text("kind"),
        _text("box", default=""),
        _text("ref", default=""),
        _text("copy_id", nullable=True),
        _text("detail", default="{}"),
        _text("state"),
        _number("attempts", default="0"),
        _time("next_at"),
        _text("owner", default=""),
        sa.Column("lease_until", sa.BigInteger(), nullable=False, server_default="0"),
        _text("last_error", default=""),
        _time("created_at"),
        _time("done_at", nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_portal_push")),
    )
    _partial_index("ix_portal_push_waiting", "portal_push", ["box", "seq"], "state = 'waiting'")
    op.create_index("ix_portal_push_box_ref", "portal_push", ["box", "ref"])
    op.create_table(
        "portal_mark",
        _text("tenant"),
        sa.Column("n", sa.BigInteger(), nullable=False),
        _time("at"),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_portal_mark")),
    )
