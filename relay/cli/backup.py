"""`letterlock backup` and `letterlock restore`: what belongs together, in one file.

In it: settings, secrets, the token with its sealed keys, a consistent copy of the database, wherever the settings say
that they lie. Not in it, on purpose: the epoch keys of the spool. So mail that was deleted here cannot come back from
a back-up once its epoch is destroyed, and mail that was waiting can be opened after a restore only where the epochs
folder of the same token is still there.

A restore touches nothing outside of its new folder: relay.cli.relocate writes the settings so, and they are read and
checked here before anything is done by them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from relay.cli.exits import EX_CANTCREAT, EX_DATAERR, EX_NOINPUT, CommandError
from relay.cli.installation import SETTINGS_FILE
from relay.cli.options import read_settings
from relay.cli.relocate import Place, find_places, paths_outside, rewrite_settings, sqlite_file
from relay.settings import Settings

_MARKS = ("letterlock-backup-2", "letterlock-backup-1")
"""The first is written; the second had relative settings only, and nothing from outside of their folder."""
_FILES = "files"
_DATABASE = "database.sqlite"
_RESTORED_DATABASE = ".database.restored"
_PUBLIC_BITS = 0o644
_DATABASE_BITS = 0o660


def add(nouns: Any) -> None:
    """Add the commands."""
    backup = nouns.add_parser("backup", help="write settings, secrets, token and database into one file (mode 0600)")
    backup.add_argument("file", type=Path)
    backup.set_defaults(run=run_backup)
    restore = nouns.add_parser("restore", help="unpack a back-up into a new folder; touches nothing outside of it")
    restore.add_argument("file", type=Path)
    restore.add_argument("directory", type=Path)
    restore.add_argument("--epochs", type=Path, help="the keys/epochs folder of the old installation, if it is left")
    restore.set_defaults(run=run_restore)


# --- back-up ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file of the back-up and its name below the folder that a restore makes."""

    source: Path
    name: PurePosixPath


def run_backup(options: argparse.Namespace) -> int:
    """Write the file; the gateway may run meanwhile."""
    settings = read_settings(options)
    text = settings.path.read_text("utf-8")
    places = find_places(settings, text)
    wanted = _list_files(settings, places)
    database = sqlite_file(settings.database_url)
    _refuse_gaps([one.source for one in wanted] + ([database] if database else []))
    moved = {place.key: place.written or "" for place in places.values() if place.is_moved}
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"{options.file} cannot be written ({error.strerror})", EX_CANTCREAT) from error
    try:
        # Followed to what they mean: a link to a secret would be no secret.
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w", dereference=True) as archive:
            _add_bytes(archive, _MARKS[0], json.dumps({"moved": moved}).encode("ascii"))
            if database is not None:
                # Before keyd's log: what the database knows of it must be in it.
                _add_database(archive, database, settings.state_dir)
            _add_bytes(archive, f"{_FILES}/{SETTINGS_FILE}", rewrite_settings(text, places.values()).encode("utf-8"))
            for one in wanted:
                archive.add(one.source, arcname=f"{_FILES}/{one.name}", recursive=False)
            archive.close()
            raw.flush()
            os.fsync(raw.fileno())
    except BaseException as error:
        # Half a back-up is worse than none.
        options.file.unlink(missing_ok=True)
        if isinstance(error, (OSError, sqlite3.Error, tarfile.TarError)):
            raise CommandError(f"{options.file}: nothing was written ({error})", EX_CANTCREAT) from error
        raise
    sys.stdout.write(f"Written: {options.file}. It holds the token and its PIN: keep it as safe as the host.\n")
    if database is None:
        sys.stdout.write("The database is PostgreSQL: back it up at the same time with pg_dump or its own tools.\n")
    sys.stdout.write("The spool's epoch keys are not in it, so deleted mail stays deleted.\n")
    return 0


def _list_files(settings: Settings, places: Mapping[str, Place]) -> list[_Wanted]:
    from relay.keystore.software import token_backup_files

    base = settings.path.parent
    keys, state = places["keys.directory"], places["paths.state"]
    single = ("keys.pin_file", "keys.public_file", "tls.", "portal.", "database.password_file")
    wanted = [_Wanted(place.path, place.name) for key, place in places.items() if key.startswith(single)]
    wanted += [
        _Wanted(path, keys.name / path.relative_to(keys.path)) for path in token_backup_files(settings.keys.directory)
    ]
    audit = settings.state_dir / "keyd-audit"
    wanted += [_Wanted(path, state.name / path.relative_to(state.path)) for path in _below(audit)]
    # What the routes name: passwords of next hops beside the PIN, certificates beside our own.
    for folder in (base / "secrets", base / "tls"):
        wanted += [_Wanted(path, PurePosixPath(path.relative_to(base))) for path in _below(folder)]
    return list({one.name: one for one in wanted}.values())


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _refuse_gaps(files: list[Path]) -> None:
    gaps = [f"{path} ({reason})" for path in files if (reason := _why_unreadable(path))]
    if gaps:
        raise CommandError(f"nothing was written, since this belongs into it: {', '.join(gaps)}", EX_NOINPUT)


def _why_unreadable(path: Path) -> str:
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or "cannot be read"


def _add_database(archive: tarfile.TarFile, source: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        copy = Path(temporary) / _DATABASE
        # SQLite's online copy: one consistent moment, while others write. `rw` makes no file where none is.
        with (
            contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)) as live,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            live.backup(target)
        copy.chmod(source.stat().st_mode & _DATABASE_BITS)
        archive.add(copy, arcname=_DATABASE)


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o600
    archive.addfile(info, io.BytesIO(data))


# --- restore ----------------------------------------------------------------------------------------------------------


def run_restore(options: argparse.Namespace) -> int:
    """Unpack into a new folder, bring back what can be brought back, and say what cannot."""
    directory: Path = options.directory.absolute()
    try:
        if directory.exists() and any(directory.iterdir()):
            raise CommandError(f"{directory} is not empty, and nothing is overwritten", EX_CANTCREAT)
    except OSError as error:
        raise CommandError(
            f"{directory}: {error.strerror}. Name a folder that is not there yet, or an empty one", EX_CANTCREAT
        ) from error
    if options.epochs is not None and not options.epochs.is_dir():
        raise CommandError(f"{options.epochs} is no folder", EX_NOINPUT)
    with _emptied_on_failure(directory):
        moved = _unpack(options.file, directory)
        settings = _read_restored(directory)
        _settle(settings, directory, options.epochs)
    _tell(settings, options.directory, moved, has_epochs=options.epochs is not None)
    return 0


@contextlib.contextmanager
def _emptied_on_failure(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for path in directory.iterdir() if directory.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CommandError(f"{directory} cannot be written ({error})", EX_CANTCREAT) from error
        raise


def _unpack(file: Path, directory: Path) -> dict[str, str]:
    """Return the settings that are not where they were, with what they said."""
    try:
        with file.open("rb") as raw, tarfile.open(fileobj=raw) as archive:
            members = archive.getmembers()
            if not members or members[0].name not in _MARKS:
                raise CommandError(f"{file} is not a back-up of Letterlock", EX_DATAERR)
            for member in members[1:]:
                _extract(archive, member, directory)
            return _read_moved(archive, members[0])
    except tarfile.TarError as error:
        raise CommandError(f"{file} is damaged or not a back-up", EX_DATAERR) from error
    except OSError as error:
        raise CommandError(f"{file} cannot be read ({error.strerror})", EX_NOINPUT) from error


def _read_moved(archive: tarfile.TarFile, mark: tarfile.TarInfo) -> dict[str, str]:
    source = archive.extractfile(mark)
    untrusted_octets = source.read(1 << 16) if source is not None else b""
    if not untrusted_octets:
        return {}
    try:
        moved = json.loads(untrusted_octets)["moved"]
        return {str(key): str(said) for key, said in moved.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise tarfile.ReadError("the mark is damaged") from error


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    """Unpack a plain file below `directory` and refuse anything else. Raises tarfile.TarError, OSError.

    Our own check, because tarfile's filters came with Python 3.11.4 and Debian 12 has 3.11.2.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise tarfile.ReadError(f"{path.name}: not a plain file of a back-up")
    if member.isdir():
        return
    if member.name == _DATABASE:
        target, bits = directory / _RESTORED_DATABASE, _DATABASE_BITS
    elif path.parts[0] == _FILES and len(path.parts) > 1:
        target, bits = directory.joinpath(*path.parts[1:]), _PUBLIC_BITS
    else:
        raise tarfile.ReadError(f"{path.name}: not a file of a back-up")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source: IO[bytes] | None = archive.extractfile(member)
    assert source is not None
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with source, os.fdopen(descriptor, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
        # As it was, whatever the umask is here, and never writable for everybody.
        os.fchmod(out.fileno(), member.mode & bits | 0o600)


def _read_restored(directory: Path) -> Settings:
    from relay.settings import load_settings

    path = directory / SETTINGS_FILE
    if not path.is_file():
        raise CommandError("the back-up holds no settings", EX_DATAERR)
    settings = load_settings(path.resolve())
    outside = paths_outside(settings, path.read_text("utf-8"))
    if outside:
        raise CommandError(
            f"the back-up's settings name places outside of {directory}, where something may be living: "
            f"{', '.join(outside)}. Nothing was restored. Make a back-up with this version, where they are relative",
            EX_CANTCREAT,
        )
    return settings


def _settle(settings: Settings, directory: Path, epochs: Path | None) -> None:
    from relay.core.ports import Actor
    from relay.keystore.pin import read_pin_file
    from relay.keystore.software import SoftwareToken
    from relay.wiring import make_clock

    for folder in (settings.state_dir, settings.run_dir):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.keys.public_file.parent.mkdir(parents=True, exist_ok=True)
    if settings.keys.public_file.parent != directory:
        # Others read the public key; the folder above keeps them out until the operator opens it.
        settings.keys.public_file.parent.chmod(0o755)
    database, target = directory / _RESTORED_DATABASE, sqlite_file(settings.database_url)
    if target is not None:
        if not database.exists():
            raise CommandError("the back-up holds no database, and its settings name SQLite", EX_DATAERR)
        if target.exists():
            raise CommandError("the back-up holds two databases", EX_DATAERR)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.rename(target)
    database.unlink(missing_ok=True)
    if epochs is not None:
        shutil.copytree(epochs, settings.keys.directory / "epochs", dirs_exist_ok=True)
    with SoftwareToken.load(
        settings.keys.directory, read_pin_file(settings.keys.pin_file), make_clock(settings), settings.keys.public_file
    ) as token:
        token.begin_epoch(Actor("operator", "restore"))


def _tell(settings: Settings, directory: Path, moved: Mapping[str, str], *, has_epochs: bool) -> None:
    sys.stdout.write(f"Restored into {directory}. Start it with: letterlock --config {directory} serve\n")
    for key, said in moved.items():
        was = f" (it was {said})" if said else ""
        sys.stdout.write(f"{key} is relative to the new folder now{was}; put it right before you use it for good.\n")
    if sqlite_file(settings.database_url) is None:
        sys.stdout.write(
            "The database is PostgreSQL and was not touched: database.url still names the one of the back-up. To "
            "restore a dump, name another one there first. Never let two installations use one.\n"
        )
    sys.stdout.write("Passwords, partners, policy and the log are as they were. ")
    if not has_epochs:
        sys.stdout.write(
            "Mail that waited when the back-up was made cannot be opened: its keys are in no back-up.\n"
            "List it with `letterlock queue list` and ask the senders to send again.\n"
        )
    else:
        sys.stdout.write(
            "Mail that waited when the back-up was made goes on now; what had left since then leaves a second time.\n"
        )
