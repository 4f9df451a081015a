"""Which schema this program needs, and whether a database has it. Knows no more of migrations than their names."""

from __future__ import annotations

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from relay.core.errors import ConfigurationError

HEAD = "v0009"
"""The newest migration's revision (relay/store/migrations/versions); a test keeps the two equal."""

_FIX = "Stop all processes and run: letterlock config upgrade"


def read_revision(connection: Connection) -> str | None:
    """Return the database's revision, None when it was never set up."""
    try:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except SQLAlchemyError as error:
        if "alembic_version" in str(error):
            return None
        raise


def check_revision(connection: Connection) -> None:
    """Raise ConfigurationError when the database has not the schema of this program."""
    revision = read_revision(connection)
    if revision is None:
        raise ConfigurationError("database.url", "the database was never set up", _FIX)
    if revision != HEAD:
        raise ConfigurationError("database.url", f"the database has schema {revision}, needed is {HEAD}", _FIX)
