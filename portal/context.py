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

from portal.audit import AuditChain
from portal.settings import Settings
from portal.store.base import Store
from portal.store.boxes import load_box, open_capsule_row
from portal.store.models import DUMMY_BOX
from portal.store.schema import open_store
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
    audit: AuditChain

    @property
    def portal_id(self) -> str:
        """The id that stands in every sealed object."""
        return self.settings.portal_id

    def close(self) -> None:
        """Close both databases."""
        self.store.close()


def read_pepper(path: Path) -> bytes:
    """Return the 32 octets. Raises ConfigurationError when the file is missing, of a wrong length or open to others.

    Its group may read it, since web and link can be two users of one group.
    """
    try:
        mode = path.stat().st_mode
        pepper = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            "paths.pepper", f"{path} cannot be read ({error.strerror})", "Copy it from another node, or run init"
        ) from error
    if stat.S_IMODE(mode) & 0o037:
        fix = "Set its mode to 0600, or 0640 where web has a user of its own"
        raise ConfigurationError("paths.pepper", f"{path} is open to others", fix)
    if len(pepper) != PEPPER_OCTETS:
        raise ConfigurationError("paths.pepper", f"{path} has not 32 octets", "Copy it from another node")
    return pepper


def open_portal(settings: Settings, clock: Clock | None = None) -> Portal:
    """Open the store. Raises ConfigurationError, StorageError."""
    clock = clock or SystemClock(settings.clock_offset_file)
    pepper = read_pepper(settings.pepper_file)
    old = read_pepper(settings.old_pepper_file) if settings.old_pepper_file else None
    device_key = hmac.digest(pepper, b"letterlock/known-device", hashlib.sha256)
    store = open_store(settings.database, pepper, clock, old)
    try:
        check_pepper(store, settings.pepper_file)
    except BaseException:
        store.close()
        raise
    audit = AuditChain(settings.state_dir, "web" if settings.party == "web" else "link", clock)
    return Portal(settings, store, clock, device_key, audit)


def check_pepper(store: Store, pepper_file: Path) -> None:
    """Refuse a pepper that this database's rows were not sealed under. Raises ConfigurationError, StorageError.

    Rows would be written that the other node cannot open, and the relay would be told that rows are held which nobody
    can open any more. A row whose key is gone says nothing about the pepper.
    """
    with store.main.read() as connection:
        row = load_box(connection, DUMMY_BOX)
    if row is None or row.capsule is None or not store.rows.find([row.capsule.row_key]):
        return
    if open_capsule_row(store, row) is None:
        raise ConfigurationError(
            "paths.pepper",
            f"{pepper_file} is not the pepper of this database",
            "Copy it from the other node. Where it is lost, begin with empty databases: the relay fills them again",
        )
