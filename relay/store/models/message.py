"""A message, its key, its sealed content and the other forms (variants) of that content.

The key lies in a table of its own, so that deleting one row, or destroying the epoch's key, deletes the mail.
`chunk` refers to no message by foreign key: chunks of a large mail are written ahead of the commit that makes it exist.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table

from relay.store.models.base import (
    METADATA,
    blob_column,
    id_column,
    message_reference,
    tenant_column,
    text_column,
    time_column,
)

MESSAGE = Table(
    "message",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    time_column("received_at"),
    text_column("listener"),
    text_column("side"),
    text_column("client_ip"),
    text_column("helo"),
    text_column("tls", nullable=True),
    text_column("login", nullable=True),
    text_column("reverse_path"),
    text_column("dsn_ret", nullable=True),
    text_column("dsn_envid", nullable=True),
    text_column("body_type"),
    Column("smtputf8", Boolean, nullable=False),
    Column("requiretls", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    text_column("sha256"),
    text_column("origin"),
    text_column("cause", nullable=True),
    time_column("shredded_at", nullable=True),
    Index("ix_message_tenant_received_at", "tenant", "received_at"),
)
"""`origin`: `client` or `system`; `cause`: the message that one of our own was made for; sizes in octets."""

MAIL_KEY = Table(
    "mail_key",
    METADATA,
    message_reference(),
    tenant_column(),
    text_column("epoch"),
    Column("suite", Integer, nullable=False),
    blob_column("data"),
    PrimaryKeyConstraint("message_id"),
    Index("ix_mail_key_epoch", "epoch"),
)
"""The message's content key, sealed with HPKE to an epoch's public key. Gone row = gone mail."""

CHUNK = Table(
    "chunk",
    METADATA,
    id_column("message_id"),
    Column("variant", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    tenant_column(),
    blob_column("data"),
    PrimaryKeyConstraint("message_id", "variant", "n"),
)
"""Ciphertext of 256 KiB pieces (core.wire.chunks); variant 0 is the mail as received and never changes."""

VARIANT = Table(
    "variant",
    METADATA,
    message_reference(),
    Column("number", Integer, nullable=False),
    tenant_column(),
    text_column("kind"),
    text_column("reverse_path"),
    Column("size", BigInteger, nullable=False),
    Column("body_offset", BigInteger, nullable=True),
    time_column("created_at"),
    PrimaryKeyConstraint("message_id", "number"),
)
"""Another form of a message: its own chunks, followed by the original from `body_offset` on where that is set."""

INCOMING = Table(
    "incoming",
    METADATA,
    id_column("message_id"),
    Column("variant", Integer, nullable=False),
    tenant_column(),
    text_column("owner"),
    time_column("lease_until"),
    PrimaryKeyConstraint("message_id", "variant"),
    Index("ix_incoming_lease_until", "lease_until"),
)
"""Contents being written ahead of their commit. A row whose lease ran out is an orphan, its chunks are swept."""

FINISHED = Table(
    "finished",
    METADATA,
    message_reference(),
    tenant_column(),
    time_column("at"),
    PrimaryKeyConstraint("message_id"),
)
"""Messages of which a copy became final since the clean-up last looked: what it has to look at, and nothing else."""

SEEN = Table(
    "seen",
    METADATA,
    tenant_column(),
    text_column("digest"),
    id_column("message_id"),
    time_column("at"),
    PrimaryKeyConstraint("tenant", "digest"),
    Index("ix_seen_at", "at"),
)
"""What came in during the last 48 hours, to flag (never drop) a client's retry after a lost 250."""

__all__ = ["CHUNK", "FINISHED", "INCOMING", "MAIL_KEY", "MESSAGE", "SEEN", "VARIANT"]
