"""Opening a database of the portal, and transactions on it. SQLite (WAL, synchronous=FULL) or PostgreSQL.

A writing transaction locks before it reads: BEGIN IMMEDIATE behind a file lock on SQLite, where busy polling would let
writers starve; row locks (`FOR UPDATE`) on PostgreSQL. Transactions are short and hold no other database. Driver errors
become StorageError, so that no view answers with their words.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import psycopg
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, exc, text
from sqlalchemy.engine import make_url

from relay.core.errors import ConfigurationError, StorageError, StorageFullError

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
_WRITING = "letterlock_writing"
_SCHEMA_LOCK = 0x4C4C_0002


class ConflictError(StorageError):
    """Somebody else wrote the same key first. Nothing was written."""


class AccessError(StorageError):
    """This role may not do that, or the tables are not there."""


def translate_error(error: BaseException) -> StorageError:
    """Return our error for a driver's; its words stay inside `args`."""
    cause: BaseException = error
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        cause = error.orig
    if isinstance(cause, sqlite3.IntegrityError | psycopg.IntegrityError):
        return ConflictError("database: written by somebody else")
    if isinstance(cause, psycopg.errors.InsufficientPrivilege | psycopg.errors.UndefinedTable):
        return AccessError("database: this role may not do that, or a table is missing")
    full = isinstance(cause, psycopg.errors.DiskFull) or "disk is full" in str(cause)
    if full or (isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)):
        return StorageFullError("database: no space")
    return StorageError(f"database: {type(cause).__name__}")


class _FileLock:
    """One writer at a time among all threads and processes of the host; the kernel drops it when its holder dies."""

    def __init__(self, database: Path) -> None:
        # Whoever waits holds the turn, so that a busy writer queues behind those who waited.
        self._turn = _open_shared(Path(f"{database}.turn"))
        self._lock = _open_shared(Path(f"{database}.lock"))
        self._thread = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with self._thread:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._turn)
        os.close(self._lock)


class Database:
    """One of the two databases. Made once in each process after it was forked; safe to share between threads."""

    def __init__(self, url: str, setting: str) -> None:
        """Open. Raises ConfigurationError that names `setting`."""
        self._lock: _FileLock | None = None
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            assert parsed.database is not None
            path = Path(parsed.database).absolute()
            _create_file(path, setting)
            self.dialect: Dialect = "sqlite"
            self._lock = _FileLock(path)
            self.engine = _make_sqlite(str(path))
        else:
            self.dialect = "postgresql"
            self.engine = _make_postgresql(url)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for reading. Raises StorageError."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except (exc.SQLAlchemyError, sqlite3.Error, psycopg.Error, OSError) as error:
            raise translate_error(error) from error

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Give one writing transaction, committed at the end of the block. Raises StorageError, ConflictError."""
        try:
            with contextlib.ExitStack() as stack:
                if self._lock is not None:
                    stack.enter_context(self._lock.held())
                connection = stack.enter_context(self.engine.connect())
                connection = connection.execution_options(**{_WRITING: True})
                with connection.begin():
                    yield connection
        except (exc.SQLAlchemyError, sqlite3.Error, psycopg.Error, OSError) as error:
            raise translate_error(error) from error

    def create(self, metadata: MetaData) -> None:
        """Create what is missing of these tables. Safe to call again, and by several processes at once."""
        with self.write() as connection:
            if self.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
                # With a search path that names one schema, that schema is made as well.
                schema = connection.execute(text("SHOW search_path")).scalar_one()
                if str(schema).isidentifier():
                    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            metadata.create_all(connection)


def _create_file(path: Path, setting: str) -> None:
    if not path.parent.is_dir():
        raise ConfigurationError(
            setting, f"there is no directory {path.parent}", "Create it, or run letterlock-portal init"
        )
    os.close(_open_shared(path))


def _open_shared(path: Path) -> int:
    # web and link may be two users of one group: a file is the group's, whatever the umask, where its folder is. SQLite
    # gives its own files beside the database the mode of the database.
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    if path.parent.stat().st_mode & stat.S_IWGRP:
        os.fchmod(descriptor, 0o660)
    return descriptor


def _make_sqlite(path: str) -> Engine:
    engine = create_engine(
        f"sqlite+pysqlite:///{path}",
        pool_size=16,
        max_overflow=48,
        pool_timeout=10,
        connect_args={"timeout": 5, "isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode = WAL")
        # A deleted row key must not stay in a free page.
        for statement in ("synchronous = FULL", "secure_delete = ON", "wal_autocheckpoint = 1000"):
            cursor.execute(f"PRAGMA {statement}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine


def _make_postgresql(url: str) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    # Two engines a process, three processes a node: two nodes stay below PostgreSQL's usual 100 connections.
    engine = create_engine(
        parsed, pool_size=4, max_overflow=4, pool_timeout=20, pool_pre_ping=True, connect_args={"connect_timeout": 5}
    )

    @event.listens_for(engine, "connect")
    def check(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            for name, unsafe in (("synchronous_commit", ("off", "local")), ("fsync", ("off",))):
                cursor.execute(f"SHOW {name}")
                value = cursor.fetchone()[0]
                if value in unsafe:
                    raise ConfigurationError(
                        "database.url",
                        f"PostgreSQL has {name} = {value}: what was acknowledged could be lost",
                        f"Set {name} = on",
                    )
        connection.commit()

    return engine
