"""Engines: how connections are made, set and checked.

SQLite runs with WAL, synchronous=FULL (WAL synced at each commit) and foreign keys, all asserted on each connection.
PostgreSQL is refused when it would acknowledge a commit that a power cut can lose (relay design 2.2).
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from relay.core.errors import ConfigurationError
from relay.store.files import refuse_network_file_system, total_octets
from relay.store.silence import SilenceWatch

Dialect: TypeAlias = Literal["sqlite", "postgresql"]

CONNECT_SECONDS = 2
"""Everybody must know within 5 s that the database is away (fault row 9), also who waited behind another's attempt."""
_LOG_PAGES = 16_000
"""Of 4 KiB: 62.5 MiB of write-ahead log, just under `journal_size_limit`."""
_OLDEST_SQLITE = (3, 35, 0)
_READING = "letterlock_reading"


def parse_url(text: str) -> tuple[URL, Dialect]:
    """Return the database's URL with the driver named, and its dialect. Raises ConfigurationError."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise _bad_url("it is not a database URL") from error
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise _bad_url("SQLite needs a file")
        return url.set(drivername="sqlite+pysqlite"), "sqlite"
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg"), "postgresql"
    raise _bad_url(f"{backend} is not supported")


def _bad_url(problem: str) -> ConfigurationError:
    return ConfigurationError(
        "database.url", problem, "Write sqlite:////var/lib/letterlock/letterlock.db or postgresql://user@host/name"
    )


def make_engine(text: str, watch: SilenceWatch | None = None) -> tuple[Engine, Dialect]:
    """Return an engine whose connections have the settings that durability needs. Raises ConfigurationError.

    With `watch`, PostgreSQL's connections are tried before use when they were idle, and given up when they are silent.
    """
    url, dialect = parse_url(text)
    if dialect == "postgresql":
        return _make_postgresql(url, watch or SilenceWatch()), dialect
    assert url.database is not None
    path = Path(url.database).absolute()
    directory = path.parent
    if not directory.is_dir():
        raise ConfigurationError(
            "database.url", f"there is no directory {directory}", "Create it, or run letterlock init"
        )
    refuse_network_file_system(directory)
    return _make_sqlite(url, path), dialect


def reading(connection: Connection) -> Connection:
    """Mark a connection as one that only reads: on SQLite its BEGIN takes no lock."""
    return connection.execution_options(**{_READING: True})


# --- SQLite -----------------------------------------------------------------------------------------------------------


def _make_sqlite(url: URL, path: Path) -> Engine:
    # Indexes grow at many places, and a page is written back once for all that changed in it since the last time: with
    # 16 MB of log a mail's intake took a fifth more once the database held 50,000. On a small disk the log is written
    # back early: when the disk is full it could not be any more.
    pages = min(max(total_octets(path) // 20 // 4096, 100), _LOG_PAGES)
    engine = create_engine(
        url,
        pool_size=8,
        max_overflow=24,
        pool_timeout=5,
        connect_args={"timeout": 5, "isolation_level": None, "check_same_thread": False, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        _set_sqlite(connection, pages)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # sqlite3's own transaction control is off (isolation_level None); a writer locks before it reads.
        is_reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")

    return engine


def _set_sqlite(connection: sqlite3.Connection, checkpoint_pages: int) -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise ConfigurationError("database.url", f"SQLite {sqlite3.sqlite_version} is too old", "Install 3.35 or newer")
    cursor = connection.cursor()
    # What is stored in the file is only set where it is not so yet: setting it again would wait for a writer to end.
    if cursor.execute("PRAGMA page_count").fetchone()[0] == 0:
        # Finished mail's pages can then be given back in idle time.
        cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
    wanted = (("journal_mode", "wal", "WAL"), ("synchronous", 2, "FULL"), ("foreign_keys", 1, "ON"))
    for name, value, spelling in wanted:
        if name != "journal_mode" or cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute(f"PRAGMA {name} = {spelling}")
        row = cursor.execute(f"PRAGMA {name}").fetchone()
        if row is None or row[0] != value:
            raise ConfigurationError(
                "database.url",
                f"SQLite does not accept {name} = {spelling} here (it says {row})",
                "Put the database on a local disk with working locks and shared memory",
            )
    cursor.execute("PRAGMA fullfsync = ON")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
    # After a burst the log shrinks again, which keeps the reserve of free space honest.
    cursor.execute("PRAGMA journal_size_limit = 67108864")
    cursor.execute("PRAGMA cache_size = -8000")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def _make_postgresql(url: URL, watch: SilenceWatch) -> Engine:
    # A process on SQLite has no use for the driver and its library.
    import psycopg

    engine = create_engine(
        url,
        pool_size=8,
        max_overflow=24,
        pool_timeout=5,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 3000,
            "application_name": "letterlock",
        },
    )

    @event.listens_for(engine, "connect")
    def check(connection: Any, _record: object) -> None:
        with watch.guard(connection, _CHECK_SECONDS), connection.cursor() as cursor:
            for name, refused, why in _UNSAFE:
                cursor.execute(f"SHOW {name}")
                value = cursor.fetchone()[0]
                if value in refused:
                    raise ConfigurationError(
                        "database.url",
                        f"this PostgreSQL runs with {name} = {value}: {why}",
                        f"Set {name} = on for this server, database and role",
                    )
            # A node that loses the network in a transaction must not keep its locks for hours.
            cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
            # A queue grows from nothing to 100,000 rows before the server has statistics. Plans made meanwhile, and
            # kept for prepared statements, must go by index and row by row all the same.
            for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
                cursor.execute(f"SET {setting} = off")
            connection.commit()

    @event.listens_for(engine, "checkin")
    def note_use(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None or time.monotonic() - used_at < _IDLE_SECONDS:
            return
        try:
            with watch.guard(connection, _PING_SECONDS):
                connection.autocommit = True
                connection.execute("SELECT 1")
                connection.autocommit = False
        except psycopg.Error as error:
            # All connections of before the fault are of no more use, not only this one.
            raise InvalidatePoolError from error

    return engine


_USED_AT = "letterlock_used_at"
_IDLE_SECONDS = 1.0
_PING_SECONDS = 1.0
_CHECK_SECONDS = 2.0
_UNSAFE = (
    (
        "synchronous_commit",
        ("off", "local"),
        "a commit is acknowledged before it is safe, so mail that was answered 250 could be lost",
    ),
    ("fsync", ("off",), "a power cut could destroy the database, and mail that was answered 250 with it"),
)
