"""Drivers' errors become ours, with the right status."""

from __future__ import annotations

import errno
import sqlite3

import psycopg.errors
import pytest
from sqlalchemy import exc

from relay.core.errors import LeaseLostError, StorageError, StorageFullError
from relay.store.errors import ConflictError, StorageUnavailableError, is_storage_fault, translate_error


def _wrapped(error: Exception) -> exc.DBAPIError:
    return exc.DBAPIError("SELECT 1", {}, error)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.OperationalError("database or disk is full"), StorageFullError),
        (_wrapped(sqlite3.OperationalError("database or disk is full")), StorageFullError),
        (OSError(errno.ENOSPC, "No space left on device"), StorageFullError),
        (OSError(errno.EDQUOT, "Quota"), StorageFullError),
        (OSError(errno.EIO, "Input/output error"), StorageError),
        (psycopg.errors.DiskFull("could not extend file"), StorageFullError),
        (sqlite3.OperationalError("disk I/O error"), StorageError),
        (sqlite3.OperationalError("attempt to write a readonly database"), StorageError),
        (sqlite3.IntegrityError("UNIQUE constraint failed"), ConflictError),
        (psycopg.errors.UniqueViolation("duplicate key"), ConflictError),
        (psycopg.OperationalError("server closed the connection unexpectedly"), StorageUnavailableError),
        (psycopg.errors.AdminShutdown("terminating connection"), StorageUnavailableError),
        (psycopg.errors.DeadlockDetected("deadlock"), StorageError),
        (exc.TimeoutError("QueuePool limit reached"), StorageUnavailableError),
    ],
)
def test_translation(error: Exception, kind: type[StorageError]) -> None:
    ours = translate_error(error)
    assert type(ours) is kind
    assert ours.temporary
    assert ours.status == ("4.3.1" if kind is StorageFullError else "4.3.0")
    assert is_storage_fault(error)


def test_our_own_errors_and_bugs_stay_what_they_are() -> None:
    lost = LeaseLostError("x")
    assert translate_error(lost) is lost
    assert not is_storage_fault(lost)
    assert not is_storage_fault(ValueError("a bug"))
