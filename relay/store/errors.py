"""What can go wrong with the database, said in our own errors.

sqlite3 and psycopg errors never leave this room: a full disk becomes StorageFullError (452), everything else of theirs
StorageError (451). A commit whose outcome is not known counts as not done.
"""

from __future__ import annotations

import errno
import sqlite3
import sys

from sqlalchemy import exc

from relay.core.errors import LetterlockError, StorageError, StorageFullError


class ConflictError(StorageError):
    """Somebody else wrote the same key first, or a reference does not exist. Nothing was written."""


class StorageUnavailableError(StorageError):
    """The database does not answer. What was being committed counts as not done."""


class NotFoundError(LetterlockError):
    """There is no such row (any more)."""

    temporary = False
    status = "5.3.0"
    public = "Not found"


class DocumentStateError(LetterlockError):
    """A configuration document is not in the state that the step needs."""

    temporary = False
    status = "5.3.5"


_FULL_WORDS = ("database or disk is full", "no space left", "disk full")


def is_lost_connection(error: BaseException) -> bool:
    """Tell whether a PostgreSQL connection is of no use after this error."""
    if _is_postgresql(error, "InterfaceError"):
        return True
    # Classes 53 (resources) and 40 (deadlock, serialisation) are OperationalErrors of a connection that lives on.
    state = getattr(error, "sqlstate", None) or "08"
    return _is_postgresql(error, "OperationalError") and not state.startswith(("53", "40", "55"))


def _is_postgresql(error: BaseException, name: str) -> bool:
    """Tell whether it is this error of psycopg's; where nobody has loaded the driver it is none."""
    driver = sys.modules.get("psycopg")
    return driver is not None and isinstance(error, getattr(driver.errors, name))


def translate_error(error: BaseException) -> LetterlockError:
    """Return our error for a driver's, SQLAlchemy's or the operating system's. Errors of ours come back as they are."""
    if isinstance(error, LetterlockError):
        return error
    cause: BaseException = error
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        cause = error.orig
    words = str(cause).lower()
    if _is_postgresql(cause, "DiskFull") or any(word in words for word in _FULL_WORDS):
        return StorageFullError(f"database: {cause}")
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(f"storage: {cause}")
    if isinstance(cause, sqlite3.IntegrityError) or _is_postgresql(cause, "IntegrityError"):
        return ConflictError(f"database: {cause}")
    if is_lost_connection(cause) or isinstance(cause, exc.TimeoutError):
        return StorageUnavailableError(f"database: {cause}")
    return StorageError(f"database: {cause}")


def is_storage_fault(error: BaseException) -> bool:
    """Tell whether an exception comes from below this room and wants `translate_error`."""
    return isinstance(error, exc.SQLAlchemyError | sqlite3.Error | OSError) or _is_postgresql(error, "Error")
