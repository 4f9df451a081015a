"""What every room of the portal needs in one process: settings, store, clock, and keys that come from the pepper.

Opened once in each process, after it was forked. The pepper is read from a file of the portal's user; it is in no
database and in no back-up (sealed-mailbox 2).
"""

from __future__ import annotations

import hashlib
import hmac
import stat
from dataclasses import dataclass
from pathlib import Path

from portal.settings import Settings
from portal.store.base import Store, open_store
from relay.core.clock import Clock, SystemClock
from relay.core.errors import ConfigurationError

PEPPER_OCTETS = 32


@dataclass(slots=True)
class Portal:
    """One process's view of the portal. Safe to share between threads."""

    settings: Settings
    store: Store
    clock: Clock
    device_key: bytes
    """Authenticates the cookie of a known device."""

    @property
    def portal_id(self) -> str:
        """The id that stands in every sealed object."""
        return self.settings.portal_id

    def close(self) -> None:
        """Close both databases."""
        self.store.close()


def read_pepper(path: Path) -> bytes:
    """Return the 32 octets. Raises ConfigurationError when the file is missing, of a wrong length or open to others."""
    try:
        mode = path.stat().st_mode
        pepper = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            "paths.pepper", f"{path} cannot be read ({error.strerror})", "Copy it from another node, or run init"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError("paths.pepper", f"{path} is open to others", "Set its mode to 0600")
    if len(pepper) != PEPPER_OCTETS:
        raise ConfigurationError("paths.pepper", f"{path} has not 32 octets", "Copy it from another node")
    return pepper


def open_portal(settings: Settings, clock: Clock | None = None) -> Portal:
    """Open the store. Raises ConfigurationError, StorageError."""
    clock = clock or SystemClock(settings.clock_offset_file)
    pepper = read_pepper(settings.pepper_file)
    device_key = hmac.digest(pepper, b"letterlock/known-device", hashlib.sha256)
    return Portal(settings, open_store(settings.database, pepper, clock), clock, device_key)
