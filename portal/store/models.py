"""Tables of the portal. Two databases: everything, and the row keys.

What opens something (capsule, manifest, item, draft) lies here sealed under pepper || row key (sealed-mailbox 14), so
deleting its row key shreds it in older back-ups too. Chunks open nothing and lie as relay or browser sealed them.
No column holds an e-mail address, a password or clear text. Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData()
KEYS_METADATA = MetaData()

DUMMY_BOX = ""
"""The row that stands for every unknown login; its lock also orders registrations. Never a real id."""

SPENT = 2
"""`box.must_change`: the password was typed in server mode, so that the next login by a browser chooses a new one."""

_POSITION = BigInteger().with_variant(Integer(), "sqlite")

box = Table(
    "box",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("login_id", Text, unique=True, comment="SHA-256 of portal and login name; null once closed"),
    Column("kind", Text, nullable=False, comment="mailbox | reply"),
    Column("state", Text, nullable=False, comment="first | active | expired | closed"),
    Column("frozen", Integer, nullable=False, server_default="0"),
    Column("gen", Integer, nullable=False),
    Column("form", Text, comment="reply boxes: how the secret is written"),
    Column("lang", Text, nullable=False),
    Column(
        "must_change", Integer, nullable=False, server_default="0", comment="0 | 1 by the relay | 2 spent: typed here"
    ),
    Column("first_expires", BigInteger),
    Column("capsule_sha", Text, comment="SHA-256 of the capsule's octets, kept when the capsule is dropped"),
    Column("capsule_key", Text, comment="its row key"),
    Column("capsule", LargeBinary, comment="sealed"),
    Column("next_seq", BigInteger, nullable=False, server_default="1"),
    Column("used", BigInteger, nullable=False, server_default="0", comment="octets of chunks and drafts"),
    Column("hour", BigInteger, nullable=False, server_default="0", comment="the hour that `hour_items` counts"),
    Column("hour_items", Integer, nullable=False, server_default="0"),
    Column("created", BigInteger, nullable=False),
)

message = Table(
    "message",
    METADATA,
    Column("box", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("no", BigInteger, nullable=False),
    Column("gen", Integer, nullable=False),
    Column("card", Integer, nullable=False),
    Column("expires", BigInteger),
    Column("row_key", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("parts", Text, nullable=False, comment="JSON [[i, chunks]]"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the PUT's body"),
    Column("seen", Integer, nullable=False, server_default="0"),
    Column("stored", BigInteger, nullable=False),
    PrimaryKeyConstraint("box", "id"),
    Index("message_no", "box", "no"),
    Index("message_expires", "expires", sqlite_where=text("expires IS NOT NULL")),
)

chunk = Table(
    "chunk",
    METADATA,
    Column("box", Text, nullable=False),
    Column("side", Text, nullable=False, comment="down: pushed by the relay; up: written by the browser"),
    Column("id", Text, nullable=False),
    Column("i", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("stored", BigInteger, nullable=False),
    # Last, so that SQLite finds the short columns without walking through the data.
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("box", "side", "id", "i", "n"),
)

draft = Table(
    "draft",
    METADATA,
    Column("box", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("rev", BigInteger, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed", BigInteger, nullable=False),
    PrimaryKeyConstraint("box", "id"),
)

outbox = Table(
    "outbox",
    METADATA,
    Column("position", _POSITION, primary_key=True, autoincrement=True),
    Column("box", Text, nullable=False, comment="DUMMY_BOX for a registration"),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Text, nullable=False, comment="item | rekey | join"),
    Column("id", Text, nullable=False),
    Column("gen", Integer, nullable=False),
    Column("card", Integer, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False, comment="item, join: as sent; rekey: signature || capsule"),
    Column("self_row_key", Text),
    Column("self_sealed", LargeBinary, comment="what Sent shows, sealed to the box itself"),
    Column("parts", Text, nullable=False, comment="JSON [[i, chunks]]"),
    Column("digest", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, comment="waiting | taken | refused"),
    Column("at", BigInteger, nullable=False),
    Column("acked", BigInteger),
    UniqueConstraint("box", "seq"),
    UniqueConstraint("box", "id"),
    Index(
        "outbox_waiting",
        "box",
        "position",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
    Index("outbox_acked", "acked"),
    sqlite_autoincrement=True,
)

lease = Table(
    "lease",
    METADATA,
    Column("box", Text, primary_key=True),
    Column("puller", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("offered", BigInteger, nullable=False, comment="when its entries were last handed out"),
)

session = Table(
    "session",
    METADATA,
    Column("sid", LargeBinary, primary_key=True, comment="SHA-256 of the cookie's value"),
    Column("id", Text, nullable=False, unique=True, comment="its public name in the reader's list"),
    Column("box", Text, nullable=False),
    Column("half", LargeBinary, nullable=False, comment="server half of the tab key"),
    Column("ticket", Text),
    Column("browser", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Index("session_box", "box"),
    Index("session_since", "since"),
)

visit = Table(
    "visit",
    METADATA,
    Column("session", Text, primary_key=True, comment="the session's id; this is its other half in server mode"),
    Column("box", Text, nullable=False),
    Column("gen", Integer, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False, comment="the seed under LL1/simple: cookie secret || row key"),
    Column("opened", BigInteger, nullable=False),
    Index("visit_box", "box"),
)

throttle = Table(
    "throttle",
    METADATA,
    Column("name", Text, primary_key=True, comment="what is counted: see portal.store.throttle"),
    Column("wrong", Integer, nullable=False, comment="since the last success"),
    Column("total", Integer, nullable=False, comment="since the relay last pushed a capsule"),
    Column("until", BigInteger, nullable=False, comment="no try before"),
    Column("changed", BigInteger, nullable=False),
    Index("throttle_changed", "changed"),
)

card = Table(
    "card",
    METADATA,
    Column("serial", Integer, primary_key=True),
    Column("card", LargeBinary, nullable=False),
    Column("sigs", Text, nullable=False, comment="JSON [{root, sig}]"),
    Column("digest", LargeBinary, nullable=False),
)

token = Table(
    "token",
    METADATA,
    Column("hash", Text, primary_key=True, comment="b64 of SHA-256 of the link's TOKEN"),
    Column("box", Text, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("expires", BigInteger),
    Column("digest", LargeBinary, nullable=False),
    Index("token_box", "box"),
)

registration = Table(
    "registration",
    METADATA,
    Column("hash", Text, primary_key=True, comment="b64 of SHA-256 of the link's ID"),
    Column("expires", BigInteger),
    Column("used", Integer, nullable=False, server_default="0"),
    Column("digest", LargeBinary, nullable=False),
)

report = Table(
    "report",
    METADATA,
    Column("seq", _POSITION, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False, comment="wrong | locked | forgot | simple"),
    Column("subject", Text, nullable=False, comment="box, or the login id of none"),
    Column("slot", BigInteger, nullable=False, comment="0 while it still counts, its seq once handed out"),
    Column("known", Integer, nullable=False, comment="0: no such box, never handed out"),
    Column("count", Integer, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("gen", Integer, comment="the generation that it is about, where it is about one"),
    UniqueConstraint("kind", "subject", "slot"),
    sqlite_autoincrement=True,
)

mark = Table(
    "mark",
    METADATA,
    Column("id", Integer, primary_key=True, comment="1"),
    Column("number", BigInteger),
    Column("time", Text, comment="the relay's time, as sent"),
    Column("written", BigInteger, nullable=False, comment="by this host's clock"),
    Column("waiting", Integer, nullable=False, comment="1: no login before the relay has reconciled"),
)

revision = Table("revision", METADATA, Column("number", Integer, primary_key=True))

row_key = Table(
    "row_key",
    KEYS_METADATA,
    Column("id", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("made", BigInteger, nullable=False),
    Index("row_key_made", "made"),
)
