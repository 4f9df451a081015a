"""Bringing a database to the present schema, by code. Migrations are Alembic's, in relay/store/migrations.

All migrations of one call happen in one transaction, so that a crash leaves the old schema and not half of the new.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from relay.store.connect import make_engine
from relay.store.errors import is_storage_fault, translate_error
from relay.store.files import WriterLock
from relay.store.models import METADATA

_UPGRADE_LOCK = 0x4C4C_0001
"""PostgreSQL's advisory lock that one upgrade holds."""


def upgrade(url: str) -> None:
    """Create or bring up to date the database at `url`. Safe to call again, and by several processes at once.

    Raises StorageError when it is not reachable, ConfigurationError when the place is refused.
    """
    engine, dialect = make_engine(url)
    try:
        with contextlib.ExitStack() as stack:
            if dialect == "sqlite":
                name = make_url(url).database
                assert name is not None
                _create_file(Path(name).absolute())
                stack.enter_context(_locked(Path(name).absolute()))
            connection = stack.enter_context(engine.begin())
            if dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            _run_migrations(connection)
    except Exception as error:
        if is_storage_fault(error):
            raise translate_error(error) from error
        raise
    finally:
        engine.dispose()


def head_revision() -> str:
    """Return the newest revision among the migrations."""
    head = _scripts()[1].get_current_head()
    assert head is not None
    return head


def _create_file(path: Path) -> None:
    # For its owner and group only, whatever the umask: addresses stand in it. SQLite gives its log the same mode.
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o660)
        os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = WriterLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
        lock.close()


def _scripts() -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config, ScriptDirectory.from_config(config)


def _run_migrations(connection: Connection) -> None:
    # What Alembic's env.py does for its command line; there is none here, migrations run by code only.
    config, scripts = _scripts()

    def find_steps(revision: Any, _context: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", revision)

    with EnvironmentContext(config, scripts, fn=find_steps) as environment:
        environment.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
        with environment.begin_transaction():
            environment.run_migrations()
