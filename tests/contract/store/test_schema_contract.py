"""Models and migrations agree on both databases; a database that cannot keep the promise of the 250 is refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from relay.core.clock import SystemClock
from relay.core.errors import ConfigurationError, StorageError
from relay.store.base import Database
from relay.store.connect import make_engine
from relay.store.migrate import head_revision, upgrade
from relay.store.models import METADATA
from relay.store.revision import HEAD
from tests.contract.store.databases import SteppedClock, new_postgres_url, shared_server

ROOT = Path(__file__).parents[3]


def test_models_and_migrations_agree(database_url: str) -> None:
    engine, dialect = make_engine(database_url)
    with engine.connect() as connection:
        # SQLite spells a default of an empty text in a way that Alembic takes for another one.
        opts = {"compare_type": True, "compare_server_default": dialect == "postgresql"}
        context = MigrationContext.configure(connection, opts=opts)
        differences = compare_metadata(context, METADATA)
    engine.dispose()
    assert differences == []


def test_migrations_go_back_as_well(database_url: str) -> None:
    """Fault row 25 needs a way back for one version."""
    engine, _ = make_engine(database_url)
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        for script in ScriptDirectory(str(ROOT / "relay/store/migrations")).walk_revisions():
            script.module.downgrade()
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_partial_indexes_reached_the_database(db: Database) -> None:
    with db.reading() as tx:
        if tx.is_postgresql:
            rows = tx.fetch_all("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ?", ["copy"])
        else:
            rows = tx.fetch_all("SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND type = 'index'", ["copy"])
    partial = {name for name, sql in rows if sql and " WHERE " in sql}
    assert partial == {"ix_copy_for_worker", "ix_copy_for_deliver", "ix_copy_leased", "ix_copy_for_person"}


def test_upgrade_is_repeatable_and_head_is_what_the_program_needs(database_url: str) -> None:
    upgrade(database_url)
    assert head_revision() == HEAD


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_many_processes_may_set_up_at_once(kind: str, tmp_path: Path) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/new.db"
    else:
        shared_server().admin("CREATE DATABASE set_up_at_once")
        url = shared_server().url("set_up_at_once")
    script = f"from relay.store.migrate import upgrade; upgrade({url!r})"
    children = [subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4
    Database.open(url, SystemClock()).close()


def test_empty_database_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"never set up.*config upgrade"):
        Database.open(f"sqlite:///{tmp_path}/empty.db", SystemClock())


def test_other_schema_is_refused(db: Database, database_url: str) -> None:
    with db.transaction() as tx:
        tx.run("UPDATE alembic_version SET version_num = 'v0000'")
    with pytest.raises(ConfigurationError, match="v0000"):
        Database.open(database_url, SystemClock())


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "sqlite://", "sqlite:////no/such/directory/x.db"])
def test_bad_urls_name_the_key_and_the_fix(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database.open(url, SystemClock())
    assert caught.value.key == "database.url"
    assert caught.value.fix


def test_sqlite_is_durable_as_opened(tmp_path: Path, clock: SteppedClock) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    upgrade(url)
    db = Database.open(url, clock)
    with db.transaction() as tx:
        settings = {
            name: tx.fetch_all(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    db.close()


def test_files_are_for_owner_and_group_only(tmp_path: Path, clock: SteppedClock) -> None:
    before = os.umask(0)
    try:
        upgrade(f"sqlite:///{tmp_path}/a.db")
        db = Database.open(f"sqlite:///{tmp_path}/a.db", clock)
        with db.transaction() as tx:
            tx.run("INSERT INTO tenant (tenant, name, created_at) VALUES ('a', 'a', 0)")
        modes = {path.name: path.stat().st_mode & 0o7 for path in tmp_path.iterdir()}
        db.close()
    finally:
        os.umask(before)
    assert set(modes) == {"a.db", "a.db-wal", "a.db-shm", "a.db.lock", "a.db.turn"}
    assert set(modes.values()) == {0}


def test_sqlite_without_wal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    upgrade(url)
    blocker = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    blocker.execute("PRAGMA journal_mode = DELETE")
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises((ConfigurationError, StorageError)):
        Database.open(url, SystemClock())
    blocker.close()


@pytest.mark.postgres
@pytest.mark.parametrize("value", ["off", "local"])
def test_postgresql_that_acknowledges_too_early_is_refused(value: str) -> None:
    url = new_postgres_url()
    name = url.rpartition("/")[2]
    shared_server().admin(f"ALTER DATABASE {name} SET synchronous_commit = {value}")
    with pytest.raises(ConfigurationError, match="could be lost"):
        Database.open(url, SystemClock())


@pytest.mark.postgres
def test_unreachable_postgresql_is_a_temporary_fault_within_five_seconds() -> None:
    with pytest.raises(StorageError) as caught:
        Database.open("postgresql://nobody@127.0.0.1:1/none", SystemClock())
    assert caught.value.temporary
