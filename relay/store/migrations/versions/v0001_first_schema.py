"""The first schema. Later changes are migrations of their own; this file stays as it is.

Names no table of relay.store.models on purpose: those move on, a migration does not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    _create_chunk()
    _create_configuration()
    _create_event()
    _create_incoming()
    _create_job()
    _create_login()
    _create_message()
    _create_partner()
    _create_seen()
    _create_tenant()
    _create_copy()
    _create_decision()
    _create_finished()
    _create_mail_key()
    _create_pair_password()
    _create_variant()
    if op.get_bind().dialect.name == "postgresql":
        # Ciphertext does not compress: do not try.
        op.execute("ALTER TABLE chunk ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Drop all tables."""
    for table in (
        "variant",
        "pair_password",
        "mail_key",
        "finished",
        "decision",
        "copy",
        "tenant",
        "seen",
        "partner",
        "message",
        "login",
        "job",
        "incoming",
        "event",
        "configuration",
        "chunk",
    ):
        op.drop_table(table)


def _create_chunk() -> None:
    op.create_table(
        "chunk",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("variant", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "variant", "n", name=op.f("pk_chunk")),
    )


def _create_configuration() -> None:
    op.create_table(
        "configuration",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("activated_at", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "version", name=op.f("pk_configuration")),
    )
    op.create_index(
        "uq_configuration_active",
        "configuration",
        ["tenant", "kind"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("copy_id", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", name=op.f("pk_event")),
    )
    op.create_index(
        "ix_event_general",
        "event",
        ["tenant", "kind", "at"],
        unique=False,
        sqlite_where=sa.text("message_id IS NULL"),
        postgresql_where=sa.text("message_id IS NULL"),
    )
    op.create_index("ix_event_message_id", "event", ["message_id"], unique=False)
    op.create_index("ix_event_tenant_at", "event", ["tenant", "at"], unique=False)


def _create_incoming() -> None:
    op.create_table(
        "incoming",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("variant", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "variant", name=op.f("pk_incoming")),
    )
    op.create_index("ix_incoming_lease_until", "incoming", ["lease_until"], unique=False)


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("interval_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("last_status", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_job")),
    )
    op.create_index("ix_job_next_at", "job", ["next_at"], unique=False)


def _create_login() -> None:
    op.create_table(
        "login",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_login")),
    )


def _create_message() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("listener", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("client_ip", sa.Text(), nullable=False),
        sa.Column("helo", sa.Text(), nullable=False),
        sa.Column("tls", sa.Text(), nullable=True),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("reverse_path", sa.Text(), nullable=False),
        sa.Column("dsn_ret", sa.Text(), nullable=True),
        sa.Column("dsn_envid", sa.Text(), nullable=True),
        sa.Column("body_type", sa.Text(), nullable=False),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.Column("requiretls", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("shredded_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index("ix_message_tenant_received_at", "message", ["tenant", "received_at"], unique=False)


def _create_partner() -> None:
    op.create_table(
        "partner",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.Column("pdf_cipher", sa.Text(), server_default="", nullable=False),
        sa.Column("size_limit", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner")),
        sa.UniqueConstraint("tenant", "address", name="uq_partner_address"),
    )


def _create_seen() -> None:
    op.create_table(
        "seen",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "digest", name=op.f("pk_seen")),
    )
    op.create_index("ix_seen_at", "seen", ["at"], unique=False)


def _create_tenant() -> None:
    op.create_table(
        "tenant",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_tenant")),
    )


def _create_copy() -> None:
    op.create_table(
        "copy",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("forward_path", sa.Text(), nullable=False),
        sa.Column("normal_address", sa.Text(), nullable=False),
        sa.Column("notify", sa.Text(), nullable=True),
        sa.Column("orcpt", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("variant", sa.Integer(), nullable=True),
        sa.Column("hop", sa.Text(), server_default="", nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_status", sa.Text(), server_default="", nullable=False),
        sa.Column("last_text", sa.Text(), server_default="", nullable=False),
        sa.Column("first_queued_at", sa.BigInteger(), nullable=True),
        sa.Column("delay_notified_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_copy_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_copy")),
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0.01",
            "autovacuum_vacuum_threshold": "1000",
        },
    )
    op.create_index(
        "ix_copy_for_deliver",
        "copy",
        ["hop", "next_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('deferred', 'queued')"),
        postgresql_where=sa.text("state IN ('deferred', 'queued')"),
    )
    op.create_index(
        "ix_copy_for_person",
        "copy",
        ["tenant", "updated_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('awaiting_registration', 'held', 'shunted')"),
        postgresql_where=sa.text("state IN ('awaiting_registration', 'held', 'shunted')"),
    )
    op.create_index(
        "ix_copy_for_worker",
        "copy",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('decided', 'protected', 'received')"),
        postgresql_where=sa.text("state IN ('decided', 'protected', 'received')"),
    )
    op.create_index(
        "ix_copy_leased",
        "copy",
        ["owner", "lease_until"],
        unique=False,
        sqlite_where=sa.text("owner <> ''"),
        postgresql_where=sa.text("owner <> ''"),
    )
    op.create_index("ix_copy_message_id", "copy", ["message_id"], unique=False)
    op.create_index("ix_copy_normal_address", "copy", ["tenant", "normal_address"], unique=False)


def _create_decision() -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("copy_id", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_decision_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index("ix_decision_message_id", "decision", ["message_id"], unique=False)


def _create_finished() -> None:
    op.create_table(
        "finished",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_finished_message_id")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_finished")),
    )


def _create_mail_key() -> None:
    op.create_table(
        "mail_key",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("suite", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_mail_key_message_id")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_mail_key")),
    )
    op.create_index("ix_mail_key_epoch", "mail_key", ["epoch"], unique=False)


def _create_pair_password() -> None:
    op.create_table(
        "pair_password",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("partner_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("mechanism", sa.Text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_pair_password_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair_password")),
        sa.UniqueConstraint("tenant", "sender", "partner_id", "version", name="uq_pair_password_version"),
    )
    op.create_index("ix_pair_password_message_id", "pair_password", ["message_id"], unique=False)
    op.create_index("ix_pair_password_partner_id", "pair_password", ["partner_id"], unique=False)


def _create_variant() -> None:
    op.create_table(
        "variant",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reverse_path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("body_offset", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_variant_message_id")),
        sa.PrimaryKeyConstraint("message_id", "number", name=op.f("pk_variant")),
    )
