"""Opening the store: its owner makes and upgrades the tables; web, under a role of its own, only checks that they fit.

An older database is brought up to date in place, a newer one refused. Each step of an upgrade is one transaction.
"""

from __future__ import annotations

import os

from sqlalchemy import Connection, func, insert, select, text, update

from portal.settings import DatabaseSettings
from portal.store.base import Store
from portal.store.boxes import CAPSULE, load_box, open_capsule_row, pad_capsule
from portal.store.engine import AccessError, ConflictError, Database
from portal.store.models import DUMMY_BOX, KEYS_METADATA, METADATA, box, draft, mark, revision
from portal.store.rowkeys import RowKeys
from relay.core.clock import Clock
from relay.core.errors import ConfigurationError, StorageError
from relay.core.ids import new_id
from relay.core.wire.sealed import KDF_MAILBOX, CapsuleBody, CapsuleFields, format_time, make_capsule

REVISION = 3


class SchemaError(StorageError):
    """The tables are not there for this role, or not of this version yet. Another process makes them."""


def open_store(settings: DatabaseSettings, pepper: bytes, clock: Clock, old_pepper: bytes | None = None) -> Store:
    """Open both databases and, as their owner, bring them up to date. Raises ConfigurationError, StorageError."""
    main = Database(settings.url, "database.url")
    keys = Database(settings.keys_url, "database.keys_url")
    store = Store(main, keys, RowKeys(keys, pepper, clock, old_pepper), clock)
    try:
        if settings.makes_schema:
            _make_schema(store)
        else:
            _check_schema(store)
    except BaseException:
        store.close()
        raise
    return store


def _make_schema(store: Store) -> None:
    store.keys.create(KEYS_METADATA)
    store.main.create(METADATA)
    number, has_dummy = _read_revision(store)
    if not has_dummy:
        _fill(store)
    elif number is not None and number < REVISION:
        upgrade(store)


def _check_schema(store: Store) -> None:
    fix = "start link, then run `letterlock-portal grants --apply`"
    try:
        number, has_dummy = _read_revision(store)
        store.rows.find([""])
    except AccessError as error:
        raise SchemaError(f"database.web_url: its role finds no tables that it may read: {fix}") from error
    if not has_dummy or number is None or number < REVISION:
        raise SchemaError(f"database.web_url: the tables are not made, or of an older version: {fix}")


def _read_revision(store: Store) -> tuple[int | None, bool]:
    with store.main.read() as connection:
        number = connection.execute(select(revision.c.number)).scalar()
        has_dummy = connection.execute(select(box.c.id).where(box.c.id == DUMMY_BOX)).scalar() is not None
    if number is not None and number > REVISION:
        raise ConfigurationError(
            "database.url", f"the database is of a newer version ({number})", "Install the version that made it"
        )
    return number, has_dummy


def upgrade(store: Store) -> None:
    """Bring an older database up to date, a transaction a step. Safe with other processes at work and by several at
    once."""
    with store.main.read() as connection:
        number = connection.execute(select(revision.c.number)).scalar_one()
    if number < 2:
        _count_drafts(store)
    with store.main.write() as connection:
        if _is_before(connection, 3):
            # 3: a hint names the generation that it is about.
            connection.execute(text("ALTER TABLE report ADD COLUMN gen INTEGER"))
            connection.execute(update(revision).values(number=3))


def _count_drafts(store: Store) -> None:
    """2: `used` counts the drafts' own octets as well; the row of unknown logins is as long as others."""
    with store.main.read() as connection:
        old = load_box(connection, DUMMY_BOX)
    assert old is not None
    octets = open_capsule_row(store, old)
    # Without its key, or under another pepper, it stays: what opens the store next says so.
    row = store.rows.seal(CAPSULE, DUMMY_BOX, "", pad_capsule(octets)) if octets is not None else None
    with store.main.write() as connection:
        is_first = _is_before(connection, 2)
        if is_first:
            drafts = select(func.coalesce(func.sum(func.length(draft.c.sealed)), 0)).where(draft.c.box == box.c.id)
            connection.execute(update(box).values(used=box.c.used + drafts.scalar_subquery()))
            if row is not None:
                values = {"capsule_key": row.row_key, "capsule": row.sealed}
                connection.execute(update(box).where(box.c.id == DUMMY_BOX).values(**values))
            connection.execute(update(revision).values(number=2))
    replaced = old.capsule if is_first and row is not None else row
    store.rows.shred([replaced.row_key if replaced is not None else None])


def _is_before(connection: Connection, number: int) -> bool:
    found = connection.execute(select(revision.c.number).with_for_update()).scalar()
    return found is not None and found < number


def _fill(store: Store) -> None:
    row = store.rows.seal(CAPSULE, DUMMY_BOX, "", pad_capsule(_make_dummy()))
    try:
        with store.main.write() as connection:
            now = store.clock.now_ms()
            connection.execute(insert(revision), {"number": REVISION})
            connection.execute(insert(mark), {"id": 1, "written": now, "waiting": 1})
            connection.execute(
                insert(box),
                {
                    "id": DUMMY_BOX,
                    "kind": "none",
                    "state": "closed",
                    "gen": 0,
                    "lang": "en",
                    "capsule_key": row.row_key,
                    "capsule": row.sealed,
                    "created": now,
                },
            )
    except ConflictError:
        # Another process was first.
        store.rows.shred([row.row_key])


def _make_dummy() -> bytes:
    """Return a capsule that nobody can open: unknown logins do their work on it, and its shape is a usual one's."""
    fields = CapsuleFields(
        kind="mailbox",
        by="relay",
        portal=new_id(),
        box=new_id(),
        gen=1,
        time=format_time(0),
        kdf=KDF_MAILBOX,
        av=os.urandom(32),
    )
    body = CapsuleBody("nobody@nowhere.example", "Nobody", os.urandom(65), 1)
    return make_capsule(fields, os.urandom(32), os.urandom(32), body, None)
