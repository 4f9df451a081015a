"""The PIN that opens the software token: a secret file of keyd's user, at least 16 characters, made by us as a rule."""

from __future__ import annotations

import os
from pathlib import Path

from relay.core.errors import KeyStoreError
from relay.core.wire.pae import encode_b64
from relay.keystore.files import UnusableFileError, make_directory, read_secret, write_atomically

MIN_LENGTH = 16
MAX_LENGTH = 1024


def create_pin_file(path: Path) -> bytes:
    """Write a new random PIN of 256 bits and return it. Raises KeyStoreError when the file is there already."""
    if path.exists() or path.is_symlink():
        raise KeyStoreError(f"{path}: exists already and is not overwritten")
    pin = encode_b64(os.urandom(32)).encode("ascii")
    make_directory(path.parent)
    write_atomically(path, pin + b"\n")
    return pin


def read_pin_file(path: Path) -> bytes:
    """Return the PIN without the line end. Raises KeyStoreError for a file that others can read or a short PIN."""
    pin = read_secret(path).rstrip(b"\r\n")
    if not MIN_LENGTH <= len(pin) <= MAX_LENGTH or b"\n" in pin or b"\0" in pin:
        raise UnusableFileError(f"{path}: must hold one line of {MIN_LENGTH} to {MAX_LENGTH} characters")
    return pin
