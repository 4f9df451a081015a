"""keyd's own audit log: JSON lines, each bound to the one before by SHA-256, on disk before the token is called.

    {"v":1,"seq":7,"at":...,"role":...,...,"prev":"<hash of line 6>","hash":"<SHA-256 of PAE(label, the line so far)>"}

Many threads share one write and one fsync. The file may be renamed under us (logrotate) or grow past its size: the next
line goes to a new file and goes on with the chain. Cutting lines off the end is noticed by whoever kept a later `head`.
A write that failed shuts the log, and with it keyd's work, until a restart has read what really is on disk: after a
failed fsync the kernel may have dropped the pages (fsync(2)). No secret, no plaintext, no subject is ever handed in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from relay.core.clock import Clock
from relay.core.errors import KeyStoreError
from relay.core.wire.pae import encode_pae
from relay.keystore.files import UnusableFileError, file_error, make_directory, sync_directory

SEGMENT_SIZE = 16 * 1024 * 1024
FILE_NAME = "keyd.jsonl"
GENESIS = "0" * 64

_LABEL = "letterlock/keyd-audit"
_HASH_PART = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_HASH_PART_LENGTH = 75
_MAX_LINE = 64 * 1024
_LOOKS = 5
_LOOK_SECONDS = 0.02
_PACKED = frozenset({".gz", ".xz", ".bz2", ".zst"})

Entry = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest line: keep it elsewhere, and nobody can cut the log's end unseen."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify_audit` found. `problem` is empty when the chain holds; `seq` is the last good line."""

    seq: int
    hash: str
    problem: str = ""
    place: str = ""


def _hash_line(body: bytes) -> str:
    return hashlib.sha256(encode_pae(_LABEL, body)).hexdigest()


def _end_line(body: bytes) -> tuple[bytes, str]:
    digest = _hash_line(body)
    return body[:-1] + b',"hash":"' + digest.encode("ascii") + b'"}\n', digest


def _check_line(untrusted_line: bytes, seq: int, previous: str) -> tuple[str, str]:
    """Return (hash, problem) of one line without its newline."""
    found = _HASH_PART.fullmatch(untrusted_line[-_HASH_PART_LENGTH:])
    if found is None:
        return "", "a line is cut or not ours"
    body = untrusted_line[:-_HASH_PART_LENGTH] + b"}"
    digest = found.group(1).decode("ascii")
    if _hash_line(body) != digest:
        return "", "a line was changed"
    try:
        fields = json.loads(body)
        if fields["seq"] != seq:
            return "", "a line is missing or doubled"
        if fields["prev"] != previous:
            return "", "a line does not follow the one before it"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", "a line is not ours"
    return digest, ""


def list_segments(directory: Path) -> list[Path]:
    """Return the log's files in order: by the number of each one's first line, whatever the files are called.

    Packed files are left out: unpack them to verify from the beginning. Raises OSError.
    """
    found: list[tuple[int, Path]] = []
    for path in directory.glob(f"{FILE_NAME}*"):
        if path.suffix in _PACKED:
            continue
        with path.open("rb") as file:
            line = file.readline(_MAX_LINE)
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            found.append((int(json.loads(line)["seq"]), path))
            continue
        found.append((2**63, path))  # damaged or empty: last, where it is looked at
    return [path for _, path in sorted(found, key=lambda pair: (pair[0], pair[1].name))]


def verify_audit(segments: Iterable[Path], seq: int = 0, previous: str = GENESIS) -> AuditReport:
    """Check the chain over all files in order, from after line `seq` whose hash was `previous`.

    Raises OSError when a file cannot be read.
    """
    for path in segments:
        with path.open("rb") as file:
            while line := _read_line(file):
                digest, problem = (
                    _check_line(line[:-1], seq + 1, previous) if line.endswith(b"\n") else ("", "the last line is cut")
                )
                if problem:
                    return AuditReport(seq, previous, problem, f"{path.name}, after line {seq}")
                seq, previous = seq + 1, digest
    return AuditReport(seq, previous)


def _read_line(file: BinaryIO) -> bytes:
    """Read a line; of a log in use the last one may be on its way, so one without its end is looked at again."""
    begin = file.tell()
    line = file.readline(_MAX_LINE)
    for _ in range(_LOOKS):
        if not line or line.endswith(b"\n") or len(line) == _MAX_LINE:
            break
        time.sleep(_LOOK_SECONDS)
        file.seek(begin)
        line = file.readline(_MAX_LINE)
    return line


class AuditLog:
    """The open log of one keyd. `append` may be called from any thread."""

    def __init__(self, directory: Path, clock: Clock, segment_size: int = SEGMENT_SIZE) -> None:
        """Open or begin the log and verify the newest file. Raises KeyStoreError."""
        self._path = directory / FILE_NAME
        self._clock = clock
        self._segment_size = segment_size
        self._turn = threading.Condition()
        self._waiting: list[bytes] = []
        self._written = 0
        self._taken = 0
        self._is_writing = False
        self._broken = False
        make_directory(directory)
        try:
            self._seq, self._hash = self._read_end(directory)
            self._begin = self._seq
            self._fd = self._open()
        except OSError as error:
            raise file_error(directory, "used as audit log", error) from error

    def _read_end(self, directory: Path) -> tuple[int, str]:
        segments = list_segments(directory)
        if not segments:
            return 0, GENESIS
        _cut_torn_line(segments[-1])
        segments = [path for path in segments if path.stat().st_size]
        if not segments:
            return 0, GENESIS
        with segments[-1].open("rb") as file:
            first = file.readline(_MAX_LINE)
        try:
            fields = json.loads(first)
            seq, previous = int(fields["seq"]) - 1, str(fields["prev"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnusableFileError(f"{segments[-1]}: is not an audit log. Move it away and look") from error
        report = verify_audit(segments[-1:], seq, previous)
        if report.problem:
            raise UnusableFileError(f"{report.place}: {report.problem}. Move the audit files away and look")
        return report.seq, report.hash

    def _open(self) -> int:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        sync_directory(self._path.parent)
        return fd

    def head(self) -> AuditHead:
        """Return sequence number and hash of the newest line that is on disk or on its way."""
        with self._turn:
            return AuditHead(self._seq, self._hash)

    def append(self, entries: Sequence[Entry]) -> None:
        """Return when all lines are on disk. Raises KeyStoreError; then nothing may be done that they tell of."""
        if not entries:
            return
        at = self._clock.now_ms()
        with self._turn:
            self._check()
            for entry in entries:
                self._seq += 1
                fields = {"v": 1, "seq": self._seq, "at": at, **entry, "prev": self._hash}
                line, self._hash = _end_line(json.dumps(fields, separators=(",", ":")).encode("ascii"))
                self._waiting.append(line)
            self._taken += len(entries)
            mine = self._taken
            while self._written < mine:
                self._check()
                if self._is_writing:
                    self._turn.wait()
                else:
                    self._write_turn()

    def _check(self) -> None:
        if self._broken:
            raise KeyStoreError("the audit log could not be written. keyd works again after a restart")

    def _write_turn(self) -> None:
        """Write what waits, for all who wait; called and left with the lock held, written without it."""
        lines, self._waiting = self._waiting, []
        upto = self._taken
        self._is_writing = True
        self._turn.release()
        is_done = False
        try:
            self._write(b"".join(lines))
            is_done = True
        except OSError as error:
            raise KeyStoreError(f"the audit log could not be written ({error.strerror})") from error
        finally:
            self._turn.acquire()
            self._is_writing = False
            if is_done:
                self._written = upto
            else:
                self._broken = True
            self._turn.notify_all()

    def _write(self, octets: bytes) -> None:
        self._follow_rotation()
        view = memoryview(octets)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fdatasync(self._fd)

    def _follow_rotation(self) -> None:
        ours = os.fstat(self._fd)
        try:
            named = self._path.stat()
            is_ours = (named.st_ino, named.st_dev) == (ours.st_ino, ours.st_dev)
        except FileNotFoundError:
            is_ours = False
        if is_ours and ours.st_size < self._segment_size:
            return
        if is_ours:
            self._path.rename(self._path.with_name(f"{FILE_NAME}.{self._begin + self._written:012d}"))
        os.close(self._fd)
        self._fd = self._open()

    def close(self) -> None:
        """Wait for a write under way and close the file; later calls of `append` raise KeyStoreError."""
        with self._turn:
            while self._is_writing:
                self._turn.wait()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            self._broken = True


def _cut_torn_line(path: Path) -> None:
    """Drop a last line without its end: a power cut came before its fsync, so what it tells of was never done."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        at = max(0, size - _MAX_LINE)
        file.seek(at)
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(at + tail.rfind(b"\n") + 1)
            os.fsync(file.fileno())
