"""Bringing a database to the present schema, by code. Migrations are Alembic's, in relay/store/migrations.

All migrations of one call happen in one transaction, so that a crash leaves the old schema and not half of the new.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from relay.store.connect import make_engine
from relay.store.errors import is_storage_fault, translate_error
from relay.store.files import WriterLock

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
                stack.enter_context(_locked(Path(name).absolute()))
            connection = stack.enter_context(engine.begin())
            if dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            command.upgrade(_config(connection), "head")
    except Exception as error:
        if is_storage_fault(error):
            raise translate_error(error) from error
        raise
    finally:
        engine.dispose()


def head_revision() -> str:
    """Return the newest revision among the migrations."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert head is not None
    return head


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = WriterLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
        lock.close()


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
