"""`letterlock backup` and `letterlock restore`: what belongs together, in one file.

In it: settings, secrets, the token with its sealed keys, a consistent copy of the database. Not in it, on purpose: the
epoch keys of the spool. So mail that was deleted here cannot come back from a back-up once its epoch is destroyed, and
mail that was waiting can be opened after a restore only where the epochs folder of the same token is still there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from relay.cli.exits import EX_CANTCREAT, EX_DATAERR, EX_NOINPUT, CommandError
from relay.cli.options import read_settings
from relay.settings import Settings

_MARK = "letterlock-backup-1"
_DATABASE = "database.sqlite"


def add(nouns: Any) -> None:
    """Add the commands."""
    backup = nouns.add_parser("backup", help="write settings, secrets, token and database into one file (mode 0600)")
    backup.add_argument("file", type=Path)
    backup.set_defaults(run=run_backup)
    restore = nouns.add_parser("restore", help="unpack a back-up into a new folder")
    restore.add_argument("file", type=Path)
    restore.add_argument("directory", type=Path)
    restore.add_argument("--epochs", type=Path, help="the keys/epochs folder of the old installation, if it is left")
    restore.set_defaults(run=run_restore)


def run_backup(options: argparse.Namespace) -> int:
    """Write the file; the gateway may run meanwhile."""
    settings = read_settings(options)
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"{options.file} cannot be written ({error.strerror})", EX_CANTCREAT) from error
    base = settings.path.parent
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w") as archive:
        _add_bytes(archive, _MARK, b"")
        for path in _files(settings):
            archive.add(path, arcname=f"files/{path.relative_to(base)}")
        has_database = _add_database(archive, settings)
        raw.flush()
        os.fsync(raw.fileno())
    sys.stdout.write(f"Written: {options.file}. It holds the token and its PIN: keep it as safe as the host.\n")
    if not has_database:
        sys.stdout.write("The database is PostgreSQL: back it up at the same time with pg_dump or its own tools.\n")
    sys.stdout.write("The spool's epoch keys are not in it, so deleted mail stays deleted.\n")
    return 0


def _files(settings: Settings) -> list[Path]:
    from relay.keystore.software import token_backup_files

    files = [settings.path, settings.keys.pin_file, settings.keys.public_file]
    if settings.tls is not None:
        files += [settings.tls.certificate, settings.tls.key]
    if settings.portal is not None and settings.portal.link is not None:
        # Without them a restored host would have to be paired anew before any mailbox works.
        link = settings.portal.link
        files += [link.certificate, link.key, link.peer_certificate]
    files += token_backup_files(settings.keys.directory)
    # Passwords of next hops and of the database lie beside the PIN.
    files += sorted(path for path in (settings.path.parent / "secrets").glob("*") if path.is_file())
    audit = settings.state_dir / "keyd-audit"
    files += sorted(path for path in audit.glob("*") if path.is_file())
    files = list(dict.fromkeys(files))
    base = settings.path.parent
    outside = [path for path in files if not path.is_relative_to(base)]
    if outside:
        sys.stderr.write(f"letterlock: not in the back-up, since outside of {base}: {', '.join(map(str, outside))}\n")
    return [path for path in files if path.is_relative_to(base) and path.exists()]


def _add_database(archive: tarfile.TarFile, settings: Settings) -> bool:
    if not settings.database_url.startswith("sqlite:///"):
        return False
    source = Path(settings.database_url.removeprefix("sqlite:///"))
    with tempfile.TemporaryDirectory(dir=settings.state_dir) as folder:
        copy = Path(folder) / _DATABASE
        # SQLite's online copy: one consistent moment, while others write.
        with contextlib.closing(sqlite3.connect(source)) as live, contextlib.closing(sqlite3.connect(copy)) as target:
            live.backup(target)
        archive.add(copy, arcname=_DATABASE)
    return True


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o600
    archive.addfile(info, io.BytesIO(data))


def _extract(archive: tarfile.TarFile, directory: Path) -> None:
    """Unpack plain files and folders below `directory` and refuse anything else. Raises tarfile.TarError, OSError.

    Our own check, because tarfile's filters came with Python 3.11.4 and Debian 12 has 3.11.2.
    """
    for member in archive.getmembers():
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise tarfile.ReadError(f"{path.name}: not a plain file of a back-up")
        target = directory / path
        if member.isdir():
            target.mkdir(mode=member.mode & 0o777, parents=True, exist_ok=True)
            continue
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, member.mode & 0o777)
        with source, os.fdopen(descriptor, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)


def run_restore(options: argparse.Namespace) -> int:
    """Unpack into a new folder, bring back what can be brought back, and say what cannot."""
    directory: Path = options.directory
    if directory.exists() and any(directory.iterdir()):
        raise CommandError(f"{directory} is not empty, and nothing is overwritten", EX_CANTCREAT)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with tarfile.open(options.file) as archive:
            if archive.getnames()[:1] != [_MARK]:
                raise CommandError(f"{options.file} is not a back-up of Letterlock", EX_DATAERR)
            _extract(archive, directory)
    except OSError as error:
        raise CommandError(f"{options.file} cannot be read ({error.strerror})", EX_NOINPUT) from error
    except tarfile.TarError as error:
        raise CommandError(f"{options.file} is damaged or not a back-up", EX_DATAERR) from error
    (directory / _MARK).unlink()
    for path in sorted((directory / "files").iterdir()):
        path.rename(directory / path.name)
    (directory / "files").rmdir()
    _settle(directory, options.epochs)
    return 0


def _settle(directory: Path, epochs: Path | None) -> None:
    from relay.core.ports import Actor
    from relay.keystore.pin import read_pin_file
    from relay.keystore.software import SoftwareToken
    from relay.settings import load_settings
    from relay.wiring import make_clock

    settings = load_settings(directory / "letterlock.toml")
    database = directory / _DATABASE
    if database.exists() and settings.database_url.startswith("sqlite:///"):
        target = Path(settings.database_url.removeprefix("sqlite:///"))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.rename(target)
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if epochs is not None:
        shutil.copytree(epochs, settings.keys.directory / "epochs", dirs_exist_ok=True)
    with SoftwareToken.load(
        settings.keys.directory, read_pin_file(settings.keys.pin_file), make_clock(settings), settings.keys.public_file
    ) as token:
        token.begin_epoch(Actor("operator", "restore"))
    sys.stdout.write(
        f"Restored into {directory}. Start it with: letterlock --config {directory} serve\n"
        "Passwords, partners, policy and the log are as they were. "
    )
    if epochs is None:
        sys.stdout.write(
            "Mail that waited when the back-up was made cannot be opened: its keys are in no back-up.\n"
            "List it with `letterlock queue list` and ask the senders to send again.\n"
        )
    else:
        sys.stdout.write(
            "Mail that waited when the back-up was made goes on now; what had left since then leaves a second time.\n"
        )
