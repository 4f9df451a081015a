"""Back-up of both SQLite databases while the portal runs, row keys apart and never older than seven days.

Row keys in an old back-up would open what was deleted since (sealed-mailbox 2). The pepper, the link's key and the
settings are not part of it: they change never or by hand, and the pepper must not lie beside the database. Both copies
are written or none, and nothing that is there is written over.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from portal.settings import Settings
from relay.core.clock import DAY, SECOND, to_datetime
from relay.core.errors import ConfigurationError, StorageError

KEEP_KEYS_MS = 7 * DAY
_PREFIX = "sqlite:///"


def make_backup(settings: Settings, folder: Path, now_ms: int) -> list[Path]:
    """Write `portal-TIME.db` and `row-keys/row-keys-TIME.db`; delete row keys older than seven days. Returns the files.

    The database is copied first: each of its rows then finds its key in the second copy, or was deleted between.
    Raises ConfigurationError for PostgreSQL, which has its own tools, StorageError when a copy cannot be made.
    """
    urls = (settings.database.url, settings.database.keys_url)
    if not all(url.startswith(_PREFIX) for url in urls):
        raise ConfigurationError(
            "database.url",
            "is PostgreSQL, which has its own back-up",
            "Use pg_dump or a base backup; keep dumps of the row keys' schema at most 7 days",
        )
    for url, key in zip(urls, ("database.url", "database.keys_url"), strict=True):
        if not Path(url.removeprefix(_PREFIX)).is_file():
            raise ConfigurationError(
                key,
                f"there is no file {url.removeprefix(_PREFIX)}",
                "It is made when the portal runs for the first time",
            )
    stamp = to_datetime(now_ms).strftime("%Y%m%dT%H%M%SZ")
    keys_folder = folder / "row-keys"
    targets = [folder / f"portal-{stamp}.db", keys_folder / f"row-keys-{stamp}.db"]
    written: list[Path] = []
    try:
        keys_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for url, target in zip(urls, targets, strict=True):
            _copy(Path(url.removeprefix(_PREFIX)), target)
            written.append(target)
    except (OSError, sqlite3.Error) as error:
        # One without the other restores nothing, and looks as if it did.
        for target in written:
            target.unlink(missing_ok=True)
        raise StorageError(f"{folder}: no back-up was written ({error})") from error
    for old in keys_folder.glob("row-keys-*.db"):
        if old.stat().st_mtime * SECOND < time.time() * SECOND - KEEP_KEYS_MS:
            old.unlink()
    return targets


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_suffix(".new")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    try:
        # `rw` makes no file where none is.
        live_url = f"{source.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(live_url, uri=True)) as live, closing(sqlite3.connect(temporary)) as copy:
            # In one step: copied piece by piece it would begin again at each write, and on a busy portal never end.
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        descriptor = os.open(temporary, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        if target.exists():
            raise FileExistsError(errno.EEXIST, "is there already; wait a second", str(target))
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
