"""Files of the key store: written atomically and durably, refused when others can read or write them.

A reader after a power cut sees the old file or the new one, whole. Nothing here knows what the octets mean.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from relay.core.errors import KeyStoreError

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
MAX_FILE = 1024 * 1024
_LASTING = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
    }
)


class UnusableFileError(KeyStoreError):
    """What lies there is not what it has to be: an operator must look, and no later try changes it."""


def file_error(path: Path, verb: str, error: OSError) -> KeyStoreError:
    """Return what to raise when a file "cannot be `verb`": UnusableFileError where only an operator can help."""
    kind = UnusableFileError if error.errno in _LASTING else KeyStoreError
    return kind(f"{path}: cannot be {verb} ({error.strerror})")


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, octets: bytes, mode: int = SECRET_MODE) -> None:
    """Replace a file: new octets are on disk before the name moves, and the name is on disk before this returns.

    Raises KeyStoreError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with _kept_or_removed(temporary):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
            try:
                os.fchmod(fd, mode)  # the umask may have taken bits that the readers of a public file need
                _write_all(fd, octets)
                os.fsync(fd)
            finally:
                os.close(fd)
            temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise KeyStoreError(f"{path}: cannot be written ({error.strerror})") from error


@contextlib.contextmanager
def _kept_or_removed(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _write_all(fd: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(fd, view) :]


def read_secret(path: Path) -> bytes:
    """Return a secret file's octets. Raises KeyStoreError when group or others have any right to it."""
    return _read(path, 0o077, f"Run: chmod 600 {path}")


def read_public(path: Path) -> bytes:
    """Return a public file's octets. Raises KeyStoreError when group or others may write it."""
    return _read(path, 0o022, f"Run: chmod 644 {path}")


def _read(path: Path, forbidden: int, fix: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise file_error(path, "read", error) from error
    try:
        # Looked at through the open file, so that nobody can swap it between look and read.
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableFileError(f"{path}: is not a file")
        if stat.S_IMODE(status.st_mode) & forbidden:
            raise UnusableFileError(f"{path}: others have rights to it. {fix}")
        if status.st_uid not in (os.geteuid(), 0) and forbidden == 0o077:
            raise UnusableFileError(f"{path}: belongs to another user. Run this as that user")
        octets = b""
        while len(octets) <= MAX_FILE and (piece := os.read(fd, 65536)):
            octets += piece
    except OSError as error:
        raise KeyStoreError(f"{path}: cannot be read ({error.strerror})") from error
    finally:
        os.close(fd)
    if len(octets) > MAX_FILE:
        raise UnusableFileError(f"{path}: is too large")
    return octets


def destroy_file(path: Path) -> None:
    """Overwrite a file in place, unlink it and make both durable; a missing file is fine. Raises KeyStoreError.

    Overwriting is best effort: a copy-on-write file system or an SSD may keep old blocks, which is why key files are
    sealed under the token's key besides.
    """
    try:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            sync_directory(path.parent)
            return
        try:
            _write_all(fd, os.urandom(max(os.fstat(fd).st_size, 1)))
            os.fsync(fd)
        finally:
            os.close(fd)
        path.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise KeyStoreError(f"{path}: cannot be destroyed ({error.strerror})") from error


def make_directory(directory: Path, mode: int = 0o700) -> None:
    """Make a directory with its parents, durable; an existing one stays as it is. Raises KeyStoreError."""
    try:
        if directory.is_dir():
            return
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=mode)
        directory.chmod(mode)
        sync_directory(directory.parent)
    except OSError as error:
        raise file_error(directory, "made", error) from error
