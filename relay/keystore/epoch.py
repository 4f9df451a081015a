"""Epochs of the spool key: each a private P-256 key in a file of its own, which no back-up holds.

Destroying the file deletes every mail whose key is still wrapped under it, in back-ups of the database too. The files
are sealed under a key of the token, so that the folder alone opens nothing. A destroyed epoch leaves a tombstone in
`destroyed/`, which is written first: a crash half-way is finished at the next start.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.core.errors import KeyStoreError
from relay.core.ports import SpoolPublicKey
from relay.core.wire.errors import EncodingError
from relay.core.wire.hpke import SUITE_P256, Opener, generate_private
from relay.core.wire.mailkey import MailKeyOpener
from relay.core.wire.pae import decode_b64, encode_b64, encode_pae
from relay.keystore.files import UnusableFileError, destroy_file, make_directory, read_secret, write_atomically

_EPOCH = re.compile(r"e[1-9][0-9]{0,8}-[0-9a-f]{8}", re.ASCII)
_LABEL = "letterlock/epoch-file"
_FORMAT = 1


def is_epoch(untrusted_name: object) -> bool:
    """Tell whether this is an epoch's name, which is also part of a file name."""
    return isinstance(untrusted_name, str) and _EPOCH.fullmatch(untrusted_name) is not None


def serial_of(epoch: str) -> int:
    """Return the number that orders epochs."""
    return int(epoch[1:].partition("-")[0])


def name_epoch(serial: int) -> str:
    """Return a new name; the random end keeps two epochs of one number apart after a restore."""
    return f"e{serial}-{os.urandom(4).hex()}"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch key in use."""

    name: str
    mail_keys: MailKeyOpener

    def public_key(self) -> SpoolPublicKey:
        """Return the public half."""
        opener = self.mail_keys.opener
        return SpoolPublicKey(epoch=self.name, suite=opener.suite, public=opener.public_octets())


class EpochFolder:
    """The files of the epochs of one token. Not thread-safe: the token locks around changes."""

    def __init__(self, directory: Path, destroyed: Path, sealing_key: bytes) -> None:
        self._directory = directory
        self._destroyed = destroyed
        self._key = AESGCM(sealing_key)

    def create(self) -> None:
        """Make the folders, with the mark that back-up programs look for. Raises KeyStoreError."""
        make_directory(self._directory)
        make_directory(self._destroyed)
        write_atomically(self._directory / ".nobackup", b"Epoch keys belong in no back-up.\n")

    def read_destroyed(self) -> frozenset[str]:
        """Return the names of the destroyed epochs. Raises KeyStoreError."""
        try:
            names = [path.stem for path in self._destroyed.glob("e*.json")]
        except OSError as error:
            raise KeyStoreError(f"{self._destroyed}: cannot be read ({error.strerror})") from error
        return frozenset(name for name in names if is_epoch(name))

    def load(self) -> dict[str, Epoch]:
        """Return all epochs whose key is there, finishing destructions that a crash cut short.

        Raises KeyStoreError for a file that does not open: an operator must look, and no mail is judged lost by that.
        """
        destroyed = self.read_destroyed()
        found: dict[str, Epoch] = {}
        for path in sorted(self._directory.glob("e*.key")):
            if not is_epoch(path.stem):
                raise UnusableFileError(f"{path}: is not an epoch key")
            if path.stem in destroyed:
                destroy_file(path)
            else:
                found[path.stem] = self._read(path)
        return found

    def check(self) -> tuple[str, ...]:
        """Read all epochs as `load` does and change nothing; return their names, oldest first. Raises KeyStoreError."""
        destroyed = self.read_destroyed()
        found: list[str] = []
        for path in self._directory.glob("e*.key"):
            if not is_epoch(path.stem):
                raise UnusableFileError(f"{path}: is not an epoch key")
            if path.stem in destroyed:
                continue
            try:
                found.append(self._read(path).name)
            except KeyStoreError:
                # keyd, which runs meanwhile, may have destroyed it after it was listed.
                if path.exists():
                    raise
        return tuple(sorted(found, key=serial_of))

    def _read(self, path: Path) -> Epoch:
        untrusted_octets = read_secret(path)
        try:
            document = json.loads(untrusted_octets)
            name, suite, created = document["epoch"], document["suite"], document["created"]
            if document["v"] != _FORMAT or name != path.stem or suite != SUITE_P256 or type(created) is not int:
                raise EncodingError("unknown version, name or suite")
            sealed = decode_b64(document["sealed"])
            private = self._key.decrypt(sealed[:12], sealed[12:], encode_pae(_LABEL, _FORMAT, name, suite, created))
            return Epoch(name, MailKeyOpener(Opener(suite, private)))
        except (ValueError, KeyError, TypeError, RecursionError, EncodingError, InvalidTag) as error:
            raise UnusableFileError(f"{path}: is damaged or belongs to another token") from error

    def add(self, name: str, created_ms: int) -> Epoch:
        """Make a new key and return it when it is on disk. Raises KeyStoreError."""
        private = generate_private(SUITE_P256)
        nonce = os.urandom(12)
        aad = encode_pae(_LABEL, _FORMAT, name, SUITE_P256, created_ms)
        document = {
            "v": _FORMAT,
            "epoch": name,
            "suite": SUITE_P256,
            "created": created_ms,
            "sealed": encode_b64(nonce + self._key.encrypt(nonce, private, aad)),
        }
        write_atomically(self._directory / f"{name}.key", json.dumps(document).encode("ascii") + b"\n")
        return Epoch(name, MailKeyOpener(Opener(SUITE_P256, private)))

    def bury(self, name: str, actor: str, now_ms: int) -> None:
        """Write the tombstone: the epoch counts as destroyed; `load` erases what is left. Raises KeyStoreError."""
        tombstone = self._destroyed / f"{name}.json"
        if not tombstone.exists():
            document = {"v": _FORMAT, "epoch": name, "destroyed": now_ms, "actor": actor}
            write_atomically(tombstone, json.dumps(document).encode("ascii") + b"\n")

    def erase(self, name: str) -> None:
        """Destroy the key's file. Raises KeyStoreError; calling again finishes it."""
        destroy_file(self._directory / f"{name}.key")
