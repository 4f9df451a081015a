"""Opening the database, and transactions.

`Database` is made once in each process, after it was forked. Writing transactions on SQLite are serialised by a
blocking file lock around BEGIN IMMEDIATE, because SQLite's own busy polling let writers wait for seconds
(architecture: storage). A transaction is short: never held over a token call or an SMTP dialogue.

Refused at start, because the 250 promises what a power cut cannot lose: SQLite without WAL, synchronous=FULL and
foreign keys or on a network file system; PostgreSQL with synchronous_commit off or local, or fsync off.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, CursorResult, Engine, Executable, Table
from sqlalchemy.engine import make_url

from relay.core.clock import Clock
from relay.core.ports import Event
from relay.store.chain import ChainHead, flush_events
from relay.store.connect import Dialect, make_engine, reading
from relay.store.errors import is_lost_connection, is_storage_fault, translate_error
from relay.store.files import WriterLock, free_octets, total_octets
from relay.store.revision import check_revision
from relay.store.silence import SilenceWatch

Row: TypeAlias = Sequence[Any]
WRITING_PATIENCE = 3.0
"""Seconds. Whoever waits for a commit is answered within 5 (fault row 9)."""
READING_PATIENCE = 30.0
_VACUUM_STEP = 200
_MOST_ROWS = 64
EventDetail: TypeAlias = str | int | bool | list[str] | None


class Tx:
    """One transaction. Not shared between threads; of no use after its `with` block.

    Methods raise StorageError, StorageFullError or ConflictError.
    """

    def __init__(self, database: Database, connection: Connection, patience: float) -> None:
        self.database: Final = database
        self.connection: Final = connection
        self._patience: Final = patience
        self.dialect: Final[Dialect] = database.dialect
        self._now: int | None = None
        self._events: list[tuple[int, Event]] = []
        self._cursor: Any = None

    @property
    def is_postgresql(self) -> bool:
        """Tell whether this is PostgreSQL."""
        return self.dialect == "postgresql"

    def now_ms(self) -> int:
        """Return the transaction's one time in milliseconds: the database's clock on PostgreSQL, else the host's.

        The clock's offset is added to either (core.clock).
        """
        if self._now is None:
            clock = self.database.clock
            if self.is_postgresql:
                row = self.fetch_one("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
                assert row is not None
                self._now = int(row[0]) + clock.offset_ms()
            else:
                self._now = clock.now_ms()
        return self._now

    def execute(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        """Run a SQLAlchemy Core statement."""
        with self.guarded():
            return self.connection.execute(statement, parameters or {})

    def run(self, sql: str, parameters: Row = ()) -> int:
        """Run one statement at the driver's level, `?` for parameters; return the number of rows touched."""
        with self.guarded():
            cursor = self._driver_cursor()
            cursor.execute(self._spell(sql), tuple(parameters))
            return int(cursor.rowcount)

    def run_many(self, sql: str, rows: Sequence[Row]) -> int:
        """Run one statement for many rows in one go; return the number of rows touched altogether."""
        if not rows:
            return 0
        with self.guarded():
            cursor = self._driver_cursor()
            cursor.executemany(self._spell(sql), rows)
            return int(cursor.rowcount)

    def insert_many(self, sql: str, rows: Sequence[Row]) -> int:
        """Insert rows with a statement of `insert_sql`; return the number of rows inserted. For rows of a few kB.

        On SQLite many rows go in one step: the driver gives the interpreter away at each, and a busy event loop takes
        its time to give it back while the writers' lock is held.
        """
        if self.is_postgresql or len(rows) < 2:
            return self.run_many(sql, rows)
        count, start = 0, 0
        with self.guarded():
            cursor = self._driver_cursor()
            while start < len(rows):
                # Powers of two, so that a few prepared statements serve all lengths.
                step = min(1 << (len(rows) - start).bit_length() - 1, _MOST_ROWS)
                cursor.execute(_widen_insert(sql, step), [*itertools.chain.from_iterable(rows[start : start + step])])
                count += cursor.rowcount
                start += step
        return count

    def fetch_all(self, sql: str, parameters: Row = ()) -> list[tuple[Any, ...]]:
        """Run one query at the driver's level and return all rows."""
        with self.guarded():
            cursor = self._driver_cursor()
            cursor.execute(self._spell(sql), tuple(parameters))
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def fetch_one(self, sql: str, parameters: Row = ()) -> tuple[Any, ...] | None:
        """Run one query at the driver's level and return the first row, if any."""
        rows = self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    def insert_rows(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all name the same columns, at the driver's level."""
        if rows:
            columns = tuple(rows[0])
            self.run_many(insert_sql(table.name, columns), [tuple(row[c] for c in columns) for row in rows])

    def append_event(self, event: Event) -> None:
        """Add an event to this process's chain; it exists exactly if the transaction commits."""
        self._events.append((self.now_ms(), event))

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Give up a call that the database leaves without an answer; let only errors of ours out."""
        with _translated(self.connection):
            if self.is_postgresql:
                raw: Any = self.connection.connection.dbapi_connection
                with self.database.watch.guard(raw, self._patience):
                    yield
            else:
                yield

    def finish(self) -> None:
        """Write the events and commit. Called by the database at the end of the block."""
        if not self._events:
            self._commit()
            return
        head = self.database.chain
        with head.lock:
            try:
                seq, digest = flush_events(self, head, self._events)
                self._commit()
            except BaseException:
                # Whether an uncertain commit got through shows when the head is read again.
                head.known = False
                raise
            head.seq, head.hash = seq, digest

    def close(self) -> None:
        """Roll back what was not committed and give the connection back. Never raises."""
        try:
            with self.guarded():
                self.connection.close()
        except Exception:  # the block's own error, if any, is the one to tell
            with contextlib.suppress(Exception):
                self.connection.invalidate()

    def _commit(self) -> None:
        with self.guarded():
            self.connection.commit()

    def _spell(self, sql: str) -> str:
        # Our own constant statements hold neither a literal question mark nor a per cent sign.
        return sql.replace("?", "%s") if self.is_postgresql else sql

    def _driver_cursor(self) -> Any:
        if self._cursor is None:
            self._cursor = self.connection.connection.cursor()
        return self._cursor


def insert_sql(table: str, columns: Sequence[str], *, ignore_conflicts: bool = False) -> str:
    """Return an INSERT with `?` for each column."""
    ending = " ON CONFLICT DO NOTHING" if ignore_conflicts else ""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}){ending}"  # noqa: S608


@functools.lru_cache(maxsize=256)
def _widen_insert(sql: str, rows: int) -> str:
    """Return an INSERT of `insert_sql` for so many rows at once."""
    head, word, rest = sql.partition(" VALUES ")
    values, end, ending = rest.partition(")")
    return head + word + ", ".join([values + end] * rows) + ending


@contextlib.contextmanager
def _translated(connection: Connection) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_lost_connection(error):
            connection.invalidate()
        if is_storage_fault(error):
            raise translate_error(error) from error
        raise


class Database:
    """A process's door to the database. Safe to share between threads; not across a fork."""

    def __init__(self, url: str, clock: Clock, process: str) -> None:
        """Use `open`."""
        self.url: Final = url
        self.watch: Final = SilenceWatch()
        engine, dialect = make_engine(url, self.watch)
        self.engine: Final[Engine] = engine
        self.dialect: Final[Dialect] = dialect
        self.clock: Final = clock
        self.process: Final = process
        self.chain: Final = ChainHead(process)
        name = make_url(url).database or ""
        self.path: Final = Path(name).absolute() if dialect == "sqlite" else None
        self._writer = WriterLock(self.path) if self.path is not None else None

    @classmethod
    def open(cls, url: str, clock: Clock, process: str = "node1/cli") -> Database:
        """Open an existing, migrated database.

        `url` is `sqlite:////path/file.db` or `postgresql://...`; `process` names the writer, for one thing its chain of
        events ("node1/smtpd"): no two running processes may share it. Raises ConfigurationError for a database that
        cannot keep the promise of the 250 or that was not migrated, StorageError when it is not reachable within 5 s.
        """
        database = cls(url, clock, process)
        try:
            with database.reading() as tx:
                check_revision(tx.connection)
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self.watch.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @contextlib.contextmanager
    def transaction(self, *, patience: float = WRITING_PATIENCE) -> Iterator[Tx]:
        """Yield a writing transaction; commit at the end of the block, roll back on any exception.

        When the block has ended without an error, the commit is durable. Raises StorageError otherwise; then nothing
        was written, or (connection lost while committing) it counts as not written. `patience`: seconds that a single
        statement may take on PostgreSQL before the connection is given up.
        """
        with self._writing(), self._connected(patience=patience) as tx:
            yield tx

    @contextlib.contextmanager
    def reading(self, *, snapshot: bool = False, patience: float = READING_PATIENCE) -> Iterator[Tx]:
        """Yield a reading transaction; it waits for no writer.

        With `snapshot` all its queries see one view of the data (on SQLite they always do).
        """
        with self._connected(patience=patience, is_reading=True, snapshot=snapshot) as tx:
            yield tx

    def free_space_ok(self, reserve: int) -> bool:
        """Tell whether more than `reserve` octets are free where the database lies. Cheap, never blocks.

        On PostgreSQL the space is the server's affair: always True.
        """
        return self.path is None or free_octets(self.path) > reserve

    def is_space_short(self) -> bool:
        """Tell whether less than a tenth of the file system that holds an SQLite database is free."""
        return self.path is not None and free_octets(self.path) < total_octets(self.path) // 10

    def reclaim_space(self, pages: int) -> None:
        """Give `pages` free pages of an SQLite file, and its log, back to the file system. Raises StorageError."""
        if self._writer is None:
            return
        with self._writing(), self.engine.connect() as connection, _translated(connection):
            raw: Any = connection.connection.dbapi_connection
            # The log first, and then by small steps: on a full disk it holds the room that the rest needs.
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            for _ in range(0, pages, _VACUUM_STEP):
                if not raw.execute("PRAGMA freelist_count").fetchone()[0]:
                    break
                # As a script: the statement frees a page at each step, and sqlite3 steps one without columns only once.
                raw.executescript(f"PRAGMA incremental_vacuum({_VACUUM_STEP})")
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if self._writer is None:
            yield
            return
        self._writer.acquire()
        try:
            yield
        finally:
            self._writer.release()

    @contextlib.contextmanager
    def _connected(self, *, patience: float, is_reading: bool = False, snapshot: bool = False) -> Iterator[Tx]:
        try:
            connection = self.engine.connect()
        except Exception as error:
            if is_storage_fault(error):
                raise translate_error(error) from error
            raise
        tx = Tx(self, reading(connection) if is_reading else connection, patience)
        try:
            with tx.guarded():
                tx.connection.begin()
                if snapshot and tx.is_postgresql:
                    tx.connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield tx
            # The block has ended without an error: number its events, then commit.
            tx.finish()
        finally:
            tx.close()
