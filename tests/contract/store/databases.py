"""Both databases for tests: a fresh SQLite file, and a database of a private PostgreSQL cluster that is started once.

The cluster lies in a temporary directory and runs as an unprivileged user with the server's own durable defaults.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from relay.store.base import Database
from relay.store.migrate import upgrade

_COUNTER = itertools.count()


class PostgresServer:
    """A private cluster; `stop`, `start` and `kill` for the tests of faults."""

    def __init__(self, *, options: str = "") -> None:
        self.binaries = _find_binaries()
        self.directory = Path(tempfile.mkdtemp(prefix="ll-pg-"))
        self.data = self.directory / "data"
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.options = options
        self._run("initdb", "-D", str(self.data), "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -k {self.directory} {self.options}"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.directory / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, name: str, port: int | None = None) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{port or self.port}/{name}"

    def admin(self, statement: str) -> None:
        for _ in range(20):
            try:
                with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                    connection.execute(statement)  # type: ignore[call-overload]
                return
            except psycopg.errors.ObjectInUse:
                # A connection that a test has just closed is not gone at once.
                time.sleep(0.05)
        raise AssertionError("the template database stays in use")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        # Output to a file and not a pipe: the server inherits it and would keep a pipe open.
        with (self.directory / "out").open("ab") as out:
            subprocess.run(command, check=True, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/")


def _find_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    if other is None:
        pytest.fail("PostgreSQL is not installed. Run: apt-get install -y postgresql", pytrace=False)
    return Path(other).parent


@functools.cache
def shared_server() -> PostgresServer:
    server = PostgresServer()
    atexit.register(server.close)
    server.admin("CREATE DATABASE template_ll")
    upgrade(server.url("template_ll"))
    return server


@functools.cache
def _sqlite_template() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="ll-sqlite-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    upgrade(f"sqlite:///{directory}/template.db")
    return directory / "template.db"


def new_sqlite_url(directory: Path) -> str:
    path = directory / f"relay{next(_COUNTER)}.db"
    shutil.copyfile(_sqlite_template(), path)
    return f"sqlite:///{path}"


def new_postgres_url() -> str:
    name = f"ll_{os.getpid()}_{next(_COUNTER)}"
    shared_server().admin(f"CREATE DATABASE {name} TEMPLATE template_ll")
    return shared_server().url(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_sqlite_url(tmp_path) if request.param == "sqlite" else new_postgres_url()


class SteppedClock:
    """The host's clock plus an offset that a test moves; the database's own clock gets the same offset."""

    def __init__(self) -> None:
        self._offset = 0

    def offset_ms(self) -> int:
        return self._offset

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._offset

    def advance(self, milliseconds: int) -> None:
        self._offset += milliseconds


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def db(database_url: str, clock: SteppedClock) -> Iterator[Database]:
    database = Database.open(database_url, clock, "test/main")
    yield database
    database.close()
