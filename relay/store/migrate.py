"""Bringing a database to the present schema, by code. Migrations are Alembic's, in relay/store/migrations."""

from __future__ import annotations


def upgrade(url: str) -> None:
    """Create or bring up to date the database at `url`. Safe to call again, and by several processes at once.

    Raises StorageError when it is not reachable, ConfigurationError when the place is refused.
    """
    raise NotImplementedError


def head_revision() -> str:
    """Return the revision that this program needs."""
    raise NotImplementedError
