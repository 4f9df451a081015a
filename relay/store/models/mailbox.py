"""Boxes of the portal as the inside knows them: accounts, generations, kept mail, pushes (sealed-mailbox 2, 6-16).

Bytes that were sealed or signed are kept as they are and never made again: a retry and a restored portal get the same.
Nothing here is readable mail: messages are sealed to the box, capsules lie under a key that keyd sealed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
)

from relay.store.models.base import METADATA, blob_column, id_column, tenant_column, text_column, time_column

_OPEN_MAILBOX = text("kind = 'mailbox' AND state <> 'closed'")
_REPLY = text("password_id IS NOT NULL")
_TO_EXPIRE = text("deleted_at IS NULL")
_WAITING = text("state = 'waiting'")

MAILBOX = Table(
    "mailbox",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    text_column("kind"),
    Column("partner_id", Text, ForeignKey("partner.id"), nullable=False),
    text_column("login_name", nullable=True),
    text_column("state"),
    Column("gen", Integer, nullable=False),
    text_column("form", nullable=True),
    text_column("password_id", nullable=True),
    time_column("created_at"),
    time_column("first_expires_at", nullable=True),
    text_column("first_sender", default=""),
    time_column("opened_at", nullable=True),
    Column("next_no", Integer, nullable=False, server_default="1"),
    time_column("last_notice_at", nullable=True),
    Column("code_needed", Boolean, nullable=False),
    text_column("lang", default=""),
    Column("must_change", Boolean, nullable=False),
    time_column("closed_at", nullable=True),
    Column("coded", Boolean, nullable=False, server_default=false()),
    Index(
        "uq_mailbox_open",
        "tenant",
        "partner_id",
        unique=True,
        sqlite_where=_OPEN_MAILBOX,
        postgresql_where=_OPEN_MAILBOX,
    ),
    Index("uq_mailbox_password", "password_id", "coded", unique=True, sqlite_where=_REPLY, postgresql_where=_REPLY),
)
"""`kind`: `mailbox` or `reply`; `state`: first, active, expired, closed; `gen`: the newest one that the relay accepted;
`first_sender`: who is told the present first password; `next_no`: the number of the box's next message; `coded`: a
reply box that a printed code opens in place of the PDF's password."""

MAILBOX_GENERATION = Table(
    "mailbox_generation",
    METADATA,
    Column("box", Text, ForeignKey("mailbox.id"), nullable=False),
    Column("gen", Integer, nullable=False),
    tenant_column(),
    text_column("made_by"),
    text_column("cause"),
    Column("capsule", LargeBinary, nullable=True),
    text_column("key_id"),
    text_column("mechanism"),
    Column("format", Integer, nullable=False),
    blob_column("key"),
    text_column("capsule_sha"),
    text_column("enc"),
    text_column("sign"),
    Column("seed", LargeBinary, nullable=True),
    Column("escrow_card", Integer, nullable=True),
    time_column("made_at"),
    time_column("accepted_at"),
    time_column("expires_at", nullable=True),
    time_column("expired_at", nullable=True),
    time_column("pushed_at", nullable=True),
    text_column("password_notice", nullable=True),
    text_column("code_notice", nullable=True),
    PrimaryKeyConstraint("box", "gen"),
)
"""`made_by`: `relay` or `browser`; `cause`: first, next, resend, reset, rekey, join; `capsule`: AES-GCM under a key
that keyd sealed (`key_id`, `mechanism`, `format`, `key`), NULL once destroyed; `capsule_sha`: SHA-256 of the clear
bytes, b64. `enc`, `sign`: public keys, b64. `seed`: keyd's blob where there is no escrow, until the first rekey.
`password_notice`, `code_notice`: mails of ours that wait until the portal has the capsule."""

MAILBOX_MESSAGE = Table(
    "mailbox_message",
    METADATA,
    Column("box", Text, ForeignKey("mailbox.id"), nullable=False),
    id_column(),
    tenant_column(),
    id_column("copy_id", nullable=True),
    id_column("message_id", nullable=True),
    Column("no", Integer, nullable=False),
    Column("gen", Integer, nullable=False),
    text_column("kind"),
    Column("card", Integer, nullable=False),
    blob_column("sealed"),
    text_column("parts"),
    id_column("thread"),
    text_column("sender"),
    text_column("sender_name"),
    text_column("to_addresses"),
    text_column("cc_addresses"),
    text_column("header_message_id"),
    text_column("references_ids"),
    Column("receipt", Boolean, nullable=False),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("pushed_at", nullable=True),
    time_column("read_at", nullable=True),
    time_column("deleted_at", nullable=True),
    Column("files", Boolean, nullable=True),
    PrimaryKeyConstraint("box", "id"),
    Index("ix_mailbox_message_copy_id", "copy_id"),
    Index("ix_mailbox_message_box_no", "box", "no"),
    Index("ix_mailbox_message_expires_at", "expires_at", sqlite_where=_TO_EXPIRE, postgresql_where=_TO_EXPIRE),
)
"""`kind`: mail, ticket, receipt, account; `sealed`: the manifest's bytes; `parts`: JSON [{"i","chunks"}];
`sender`: normal address of the inside sender; addresses and Message-IDs: JSON lists; `receipt`: the sender asked;
`files`: what a ticket says of files in its answer."""

MAILBOX_CHUNK = Table(
    "mailbox_chunk",
    METADATA,
    id_column("box"),
    id_column(),
    Column("i", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    tenant_column(),
    blob_column("data"),
    PrimaryKeyConstraint("box", "id", "i", "n"),
)
"""Sealed chunks of kept parts. No foreign key: chunks of a large mail are written ahead of the commit."""

MAILBOX_SEEN = Table(
    "mailbox_seen",
    METADATA,
    id_column("box"),
    text_column("outer_id"),
    tenant_column(),
    text_column("kind"),
    text_column("result"),
    time_column("at"),
    PrimaryKeyConstraint("box", "outer_id"),
    Index("ix_mailbox_seen_at", "tenant", "at"),
)
"""Entries that came in from a box. `outer_id`: an item's id, or the SHA-256 (b64) of a rekey's capsule."""

MAILBOX_QUARANTINE = Table(
    "mailbox_quarantine",
    METADATA,
    id_column(primary_key=True),
    tenant_column(),
    id_column("box"),
    text_column("outer_id"),
    text_column("kind"),
    text_column("code"),
    blob_column("data"),
    time_column("at"),
    Index("ix_mailbox_quarantine_box", "box"),
    Index("ix_mailbox_quarantine_at", "tenant", "at"),
)
"""Entries that were refused, as they came (a rekey's capsule closed), with the code of sealed-mailbox 17."""

MAILBOX_CARD = Table(
    "mailbox_card",
    METADATA,
    tenant_column(),
    Column("serial", Integer, nullable=False),
    text_column("record"),
    time_column("made_at"),
    time_column("superseded_at", nullable=True),
    PrimaryKeyConstraint("tenant", "serial"),
)
"""The organisation's cards: `record` is the JSON {"card", "sigs"} as keyd gave it."""

PORTAL_PUSH = Table(
    "portal_push",
    METADATA,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    tenant_column(),
    text_column("kind"),
    text_column("box", default=""),
    text_column("ref", default=""),
    id_column("copy_id", nullable=True),
    text_column("detail", default="{}"),
    text_column("state"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    time_column("next_at"),
    text_column("owner", default=""),
    Column("lease_until", BigInteger, nullable=False, server_default="0"),
    text_column("last_error", default=""),
    time_column("created_at"),
    time_column("done_at", nullable=True),
    Index("ix_portal_push_waiting", "box", "seq", sqlite_where=_WAITING, postgresql_where=_WAITING),
    Index("ix_portal_push_order", "tenant", "seq", sqlite_where=_WAITING, postgresql_where=_WAITING),
    Index("ix_portal_push_box_ref", "box", "ref"),
)
"""What the portal has to be told, in the order of `seq` within a box. `kind`: box, message, delete, end, card, token,
join, renew, late-end; `ref`: generation, message id, named end, serial or hash; `state`: waiting, done, dropped,
skipped."""

PORTAL_MARK = Table(
    "portal_mark",
    METADATA,
    tenant_column(primary_key=True),
    Column("n", BigInteger, nullable=False),
    time_column("at"),
)
"""The number that the portal was given last: a lower one there means that it was restored (sealed-mailbox 15)."""
