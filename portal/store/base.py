"""The portal's store: both databases, opened together, and their schema."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select

from portal.settings import DatabaseSettings
from portal.store.engine import ConflictError, Database
from portal.store.models import DUMMY_BOX, KEYS_METADATA, METADATA, box, mark, revision
from portal.store.rowkeys import RowKeys
from relay.core.clock import Clock
from relay.core.errors import ConfigurationError

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


def open_store(settings: DatabaseSettings, pepper: bytes, clock: Clock) -> Store:
    """Open both databases and bring their schema up to date. Raises ConfigurationError, StorageError."""
    main = Database(settings.url, "database.url")
    keys = Database(settings.keys_url, "database.keys_url")
    store = Store(main, keys, RowKeys(keys, pepper, clock), clock)
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
    # A capsule that nobody can open: unknown logins do their work on it. As long as a usual one.
    row = store.rows.seal("capsule", DUMMY_BOX, "", bytes(1200))
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
