"""Where an SQLite database lies: refuse network file systems, lock writers out by file, look at the free space.

The lock is flock(2), which the kernel drops when its holder dies. Two files are used: whoever waits for the lock holds
the turn, so that a busy writer that comes again at once queues behind those who waited.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from relay.core.errors import ConfigurationError

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gfs2"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "ocfs2", "davfs", "fuse.davfs2"}
)


def file_system_type(directory: Path, mountinfo: str) -> str:
    """Return the type of the file system that holds `directory`, by the text of /proc/self/mountinfo; "" if unknown."""
    best, kind = -1, ""
    target = str(directory)
    for line in mountinfo.splitlines():
        fields, separator, rest = line.partition(" - ")
        columns = fields.split(" ")
        if not separator or len(columns) < 5:
            continue
        mount = columns[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = target == mount or target.startswith(mount.rstrip("/") + "/")
        # Of two mounts on one point the later one is seen.
        if inside and len(mount) >= best:
            best, kind = len(mount), rest.split(" ")[0]
    return kind


def refuse_network_file_system(directory: Path) -> None:
    """Raise ConfigurationError when the directory lies on a network file system."""
    try:
        mountinfo = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return
    kind = file_system_type(directory.resolve(), mountinfo)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigurationError(
            "database.url",
            f"{directory} is on a network file system ({kind}), where SQLite's locks and its WAL cannot be trusted",
            "Put the database on a local disk, or use PostgreSQL",
        )


def free_octets(path: Path) -> int:
    """Return the octets that may still be written beside `path`, without what SQLite's log needs to be written back."""
    values = os.statvfs(path.parent)
    try:
        log = Path(f"{path}-wal").stat().st_size
    except FileNotFoundError:
        log = 0
    return values.f_bavail * values.f_frsize - log


def total_octets(path: Path) -> int:
    """Return the size of the file system that holds `path`."""
    values = os.statvfs(path.parent)
    return values.f_blocks * values.f_frsize


class WriterLock:
    """One writer at a time on an SQLite file, among all threads and processes of the host."""

    def __init__(self, database: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._turn = os.open(f"{database}.turn", flags, 0o660)
        self._lock = os.open(f"{database}.lock", flags, 0o660)
        self._thread = threading.Lock()
        self._holder = 0

    def acquire(self) -> None:
        """Wait for the lock. Raises RuntimeError when this thread holds it already: it would wait for itself."""
        if self._holder == threading.get_ident():
            raise RuntimeError("a writing transaction within a writing transaction")
        self._thread.acquire()
        self._holder = threading.get_ident()
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)
        except BaseException:
            self._holder = 0
            self._thread.release()
            raise

    def release(self) -> None:
        """Let the next one in."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._holder = 0
        self._thread.release()

    def close(self) -> None:
        """Close the files."""
        os.close(self._turn)
        os.close(self._lock)
