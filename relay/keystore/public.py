"""The spool's public key as a file: keyd publishes it, smtpd and whoever makes mail reads it.

The file is all that smtpd knows of keys. It is read anew when it was replaced; a missing or broken file is a temporary
error, so that no mail is taken that nobody could open.
"""

from __future__ import annotations

import json
from pathlib import Path

from relay.core.errors import KeyStoreError
from relay.core.ports import SpoolPublicKey
from relay.core.wire.errors import EncodingError
from relay.core.wire.hpke import Recipient
from relay.core.wire.pae import decode_b64, encode_b64
from relay.keystore.epoch import is_epoch
from relay.keystore.files import PUBLIC_MODE, UnusableFileError, make_directory, read_public, write_atomically


def publish_spool_public(path: Path, public: SpoolPublicKey) -> None:
    """Replace the file atomically. Raises KeyStoreError."""
    document = {"v": 1, "epoch": public.epoch, "suite": public.suite, "public": encode_b64(public.public)}
    make_directory(path.parent, 0o755)
    write_atomically(path, json.dumps(document).encode("ascii") + b"\n", PUBLIC_MODE)


def load_spool_public(path: Path) -> SpoolPublicKey:
    """Return the published key, checked. Raises KeyStoreError."""
    untrusted_octets = read_public(path)
    try:
        document = json.loads(untrusted_octets)
        epoch, suite, public = document["epoch"], document["suite"], decode_b64(document["public"])
        if document["v"] != 1 or type(suite) is not int or not is_epoch(epoch):
            raise EncodingError("unknown version, suite or epoch")
        Recipient(suite, public)
    except (ValueError, KeyError, TypeError, RecursionError, EncodingError) as error:
        raise UnusableFileError(f"{path}: is not a spool public key") from error
    return SpoolPublicKey(epoch=epoch, suite=suite, public=public)


class SpoolPublicFile:
    """The published key, followed: `current` looks at the file's identity (one stat) and reads it when it changed.

    The same object comes back as long as the file is the same, so a caller may keep what it derived from it.
    """

    __slots__ = ("_identity", "_key", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int, int] | None = None
        self._key: SpoolPublicKey | None = None

    def current(self) -> SpoolPublicKey:
        """Return the newest published key. Raises KeyStoreError."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise KeyStoreError(f"{self._path}: cannot be read ({error.strerror})") from error
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._key is None or identity != self._identity:
            # The identity is older than what is read: a replacement in between is noticed at the next call.
            self._key = load_spool_public(self._path)
            self._identity = identity
        return self._key

    __call__ = current
