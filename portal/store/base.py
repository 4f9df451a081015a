"""The portal's store: both databases, opened together, and their schema."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sqlalchemy import insert, select

from portal.settings import DatabaseSettings
from portal.store.engine import ConflictError, Database
from portal.store.models import DUMMY_BOX, KEYS_METADATA, METADATA, box, mark, revision
from portal.store.rowkeys import RowKeys
from relay.core.clock import Clock
from relay.core.errors import ConfigurationError
from relay.core.ids import new_id
from relay.core.wire.sealed import KDF_MAILBOX, CapsuleBody, CapsuleFields, format_time, make_capsule

REVISION = 1


@dataclass(slots=True)
class Store:
    """Both databases and what every query needs. Safe to share between threads, not between processes."""

    main: Database
    keys: Database
    rows: RowKeys
    clock: Clock

    def close(self) -> None:
        """Close all connections."""
        self.main.close()
        self.keys.close()


def open_store(settings: DatabaseSettings, pepper: bytes, clock: Clock, old_pepper: bytes | None = None) -> Store:
    """Open both databases and bring their schema up to date. Raises ConfigurationError, StorageError."""
    main = Database(settings.url, "database.url")
    keys = Database(settings.keys_url, "database.keys_url")
    store = Store(main, keys, RowKeys(keys, pepper, clock, old_pepper), clock)
    keys.create(KEYS_METADATA)
    main.create(METADATA)
    with main.read() as connection:
        number = connection.execute(select(revision.c.number)).scalar()
        has_dummy = connection.execute(select(box.c.id).where(box.c.id == DUMMY_BOX)).scalar() is not None
    if number is not None and number > REVISION:
        raise ConfigurationError(
            "database.url", f"the database is of a newer version ({number})", "Install the version that made it"
        )
    if not has_dummy:
        _fill(store)
    return store


def _fill(store: Store) -> None:
    row = store.rows.seal("capsule", DUMMY_BOX, "", _make_dummy())
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
