"""The mark: a number that shows whether the portal was restored from a back-up (sealed-mailbox 15).

The number is raised inside before the first write of a burst and given to the portal after its last one. So whatever
state of the portal a back-up holds, either it holds all that we wrote or it holds a lower mark than we do. A call that
failed leaves the mark raised and not given: then it is compared by walking the inventory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relay.core.wire.sealed import format_time
from relay.link.client import PortalLink
from relay.link.errors import LinkBusyError, LinkConflictError, LinkDownError
from relay.store.base import Database
from relay.store.repositories.mailbox_pushes import raise_mark, read_mark


class Marks:
    """Safe for threads. One a process."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self._lock = threading.Lock()
        self._writing = 0
        self._is_raised = False
        self._has_failed = False
        self._given: int | None = None
        """The number that the portal has acknowledged to this process; None before the first comparison."""
        self.sent_days: int | None = None
        """How long readers see what they handed over, as the portal said with its mark."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wrap every call that changes something there. Raises StorageError before it is made."""
        with self._lock:
            if not self._is_raised:
                with self._database.transaction() as tx:
                    raise_mark(tx, self._tenant)
                self._is_raised = True
            self._writing += 1
        try:
            yield
        except LinkBusyError:
            # It is still there and what was written before lies there; this one is written again.
            raise
        except LinkDownError:
            # Whether it got through is not known, nor why it did not: the portal may be another one now.
            self._has_failed = True
            raise
        finally:
            with self._lock:
                self._writing -= 1

    def note_trouble(self) -> None:
        """A connection broke. What was written since the last mark was given may be lost: the portal may be another."""
        with self._lock:
            self._has_failed = self._has_failed or self._is_raised or self._writing > 0

    @property
    def is_due(self) -> bool:
        """Tell whether a burst of writes has ended and its mark should be given now."""
        return self._is_raised and not self._writing

    def is_restored(self, held: int | None) -> bool:
        """Tell whether a portal that holds this mark lacks something that we wrote, or may lack it."""
        with self._lock:
            if held is None or self._has_failed:
                return True
            if self._given is None:
                # A new process: what the one before gave is not known, only what it raised. A higher one means that our
                # own database is the older one.
                with self._database.reading() as tx:
                    return held != read_mark(tx, self._tenant)[0]
            return held < self._given

    @property
    def has_failed(self) -> bool:
        """Tell whether a call failed since a comparison began, so that what was written may be lost."""
        return self._has_failed

    def note_reconciled(self) -> None:
        """What was missing is looked for from now on."""
        with self._lock:
            self._has_failed = False

    def give(self, link: PortalLink, held: int | None, *, is_reconciled: bool) -> bool:
        """Give the portal a mark, unless a write is on its way; return whether it was given.

        `held`: the one that it showed. Raises LinkError.
        """
        with self._lock:
            if self._writing:
                return False
            with self._database.transaction() as tx:
                # Above the one there, should our own database be the older one.
                number = raise_mark(tx, self._tenant, above=held or 0)
                time = format_time(tx.now_ms())
            # What begins from here on raises it again.
            self._is_raised = False
        try:
            link.put_mark(number, time, is_reconciled=is_reconciled)
        except LinkConflictError:
            # Another node of ours was faster with a higher one, which says the same.
            return True
        except LinkBusyError:
            raise
        except LinkDownError:
            self._has_failed = True
            raise
        with self._lock:
            self._given = max(number, self._given or 0)
        return True
