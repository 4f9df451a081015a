"""The portal's chain of events: JSON lines, each authenticated under a key that is destroyed as it is used.

Line n names the SHA-256 of the line before and ends with HMAC(key n, the rest of it); key n+1 = HMAC(key n, a constant)
takes the place of key n in its file. The first key is shown once and kept inside alone. Whoever takes over the host
finds the next key only: what he adds is his, but no line from before can be changed, taken out or cut off the end
unnoticed by somebody with the first key. One chain for web and one for link, since they may be two users. It names
boxes by id, never an address of a network or a person. It is not the master copy: new passwords, answers, locks and
openings by server mode stand in the inside's own chain as soon as the relay has fetched them; sign-ins stand here.
Obeys portal.md 3.8.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from relay.core.clock import Clock
from relay.core.errors import ConfigurationError
from relay.core.wire.errors import EncodingError
from relay.core.wire.pae import decode_b64, encode_b64, encode_pae
from relay.core.wire.sealed.jsontext import format_time
from relay.log import Log

CHAINS = ("web", "link")
KEY_OCTETS = 32
_NEXT = b"letterlock/audit/next"
_MAC = b',"mac":"'
_LOG = Log("portal.audit")


class AuditError(Exception):
    """A chain is not what it was: says which line, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the next line needs: its number, its key, and the SHA-256 of the line before."""

    n: int
    key: bytes
    previous: bytes

    def encode(self) -> bytes:
        return f"{self.n:020d} {encode_b64(self.key)} {encode_b64(self.previous)}\n".encode()

    def after(self, line: bytes) -> _State:
        return _State(self.n + 1, hmac.digest(self.key, _NEXT, hashlib.sha256), hashlib.sha256(line).digest())

    def seal(self, body: bytes) -> bytes:
        mac = hmac.digest(self.key, body, hashlib.sha256)
        return body[:-1] + _MAC + encode_b64(mac).encode() + b'"}\n'


def _read_state(octets: bytes) -> _State:
    n, key, previous = octets.decode("ascii").split()
    return _State(int(n), decode_b64(key), decode_b64(previous))


def _first_state(first_key: bytes, chain: str) -> _State:
    key = hmac.digest(first_key, encode_pae("letterlock/audit", chain), hashlib.sha256)
    return _State(1, key, bytes(32))


def audit_folder(state_dir: Path) -> Path:
    """Return where the chains lie."""
    return state_dir / "audit"


def begin_chains(state_dir: Path) -> bytes:
    """Make the keys of both chains; return the first key, which is stored nowhere. Raises ConfigurationError."""
    folder = audit_folder(state_dir)
    folder.mkdir(exist_ok=True)
    # Where web is another user of the group it writes into its two files, and makes, moves or opens no other.
    is_shared = bool(state_dir.stat().st_mode & stat.S_IWGRP)
    folder.chmod(0o750 if is_shared else 0o700)
    first_key = os.urandom(KEY_OCTETS)
    for chain in CHAINS:
        path = folder / f"{chain}.key"
        if path.exists() or path.with_suffix(".jsonl").exists():
            raise ConfigurationError(
                "audit", f"{path} is there already", "Move the folder away, whole, to begin new chains"
            )
    for chain in CHAINS:
        for path, octets in (
            (folder / f"{chain}.key", _first_state(first_key, chain).encode()),
            (folder / f"{chain}.jsonl", b""),
        ):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.fchmod(descriptor, 0o660 if is_shared and chain == "web" else 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
    return first_key


class AuditChain:
    """Appends to one chain. Safe to share between threads and processes; without a key file it does nothing."""

    def __init__(self, state_dir: Path, chain: str, clock: Clock) -> None:
        self._key_file = audit_folder(state_dir) / f"{chain}.key"
        self._log_file = self._key_file.with_suffix(".jsonl")
        self._clock = clock

    def note(self, event: str, **fields: str | int) -> None:
        """Append an event. A full disk or a broken chain stops nobody from reading mail; the log says so."""
        try:
            with self._key_file.open("r+b", buffering=0) as key_file, self._log_file.open("r+b", buffering=0) as log:
                fcntl.flock(key_file, fcntl.LOCK_EX)
                state = _catch_up(_read_state(key_file.read(512)), log.fileno())
                head = {"n": state.n, "time": format_time(self._clock.now_ms()), "event": event, **fields}
                body = json.dumps(head | {"previous": encode_b64(state.previous)}, separators=(",", ":"))
                line = state.seal(body.encode())
                if log.write(line) != len(line):
                    # The next one cuts it off and takes its number.
                    raise OSError(errno.ENOSPC, "only a part of the line was written")
                os.fsync(log.fileno())
                # In place: the old key must not stay in a file that nobody names any more.
                os.pwrite(key_file.fileno(), state.after(line).encode(), 0)
                os.fsync(key_file.fileno())
        except FileNotFoundError:
            return
        except (OSError, ValueError, EncodingError):
            _LOG.exception("audit-failed", chain=self._key_file.stem)


def _catch_up(state: _State, descriptor: int) -> _State:
    """Return the state for the next line: after a crash the last one may be torn, or there and its key not moved on."""
    size, line = _find_end(descriptor)
    os.ftruncate(descriptor, size)
    os.lseek(descriptor, 0, os.SEEK_END)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        if line and json.loads(line)["n"] == state.n:
            return state.after(line)
    return state


def _find_end(descriptor: int) -> tuple[int, bytes]:
    """Return how many octets of a chain are whole lines, and the last of these."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - 4096)
    tail = os.pread(descriptor, size - start, start)
    whole = tail.rfind(b"\n") + 1
    return start + whole, tail[tail.rfind(b"\n", 0, max(0, whole - 1)) + 1 : whole]


def verify_chain(chain: str, lines: Iterable[bytes], first_key: bytes | None, present: bytes | None) -> int:
    """Check a chain from its first line on; return how many lines there are. Raises AuditError.

    Without the first key only the chain of hashes is checked, which an intruder can make anew. `present` is what the
    key file held, at the same moment or before: the first key must have become it at one of the lines, else lines are
    missing at the end. Lines behind it are authenticated like all; who cuts lines off has no key from before them.
    """
    state = _first_state(first_key or bytes(KEY_OCTETS), chain)
    held = None
    if first_key is not None and present is not None:
        try:
            held = _read_state(present)
        except (ValueError, EncodingError) as error:
            raise AuditError(f"{chain}: its key file cannot be read") from error
    was_held = held is None or (held.n, held.key) == (state.n, state.key)
    count = 0
    for line in lines:
        body, found, _ = line.rpartition(_MAC)
        body += b"}"
        try:
            head = json.loads(body)
            is_next = head["n"] == state.n and head["previous"] == encode_b64(state.previous)
        except (ValueError, KeyError, TypeError):
            is_next = False
        if not found or not is_next:
            raise AuditError(f"{chain}: line {count + 1} does not follow the one before")
        if first_key is not None and not hmac.compare_digest(state.seal(body), line):
            raise AuditError(f"{chain}: line {count + 1} was changed, or the key is another chain's")
        state = state.after(line)
        count += 1
        was_held = was_held or (held is not None and (held.n, held.key) == (state.n, state.key))
    if not was_held:
        raise AuditError(f"{chain}: lines are missing at the end, or the key was replaced")
    return count


def read_first_key(path: Path) -> bytes:
    """Return the first key from a file, or from standard input for `-`. Raises ConfigurationError."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("ascii")
        key = decode_b64(text.split()[-1])
    except (OSError, ValueError, IndexError, EncodingError) as error:
        raise ConfigurationError("--key-file", f"{path} holds no key", "Write what `audit begin` showed") from error
    if len(key) != KEY_OCTETS:
        raise ConfigurationError("--key-file", f"{path} holds no key", "Write what `audit begin` showed")
    return key


def verify_files(folder: Path, first_key: bytes | None) -> dict[str, int]:
    """Check both chains in a folder; return their lengths. Raises AuditError, ConfigurationError."""
    found = {}
    for chain in CHAINS:
        key_file = folder / f"{chain}.key"
        try:
            with key_file.open("rb") as held, key_file.with_suffix(".jsonl").open("rb") as log:
                # Held for these two alone: sign-ins wait for it. What is a whole line is never written again.
                fcntl.flock(held, fcntl.LOCK_SH)
                present, size = held.read(512), _find_end(log.fileno())[0]
                fcntl.flock(held, fcntl.LOCK_UN)
                found[chain] = verify_chain(chain, _read_lines(log, size), first_key, present)
        except OSError as error:
            raise ConfigurationError(
                "audit", f"{key_file} cannot be read ({error.strerror})", "Run `letterlock-portal audit begin` once"
            ) from error
    return found


def _read_lines(log: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (line := log.readline(size)):
        size -= len(line)
        yield line
