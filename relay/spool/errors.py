"""Errors of the queue. All are temporary: mail waits, a person or a retry puts it right."""

from __future__ import annotations

from relay.core.errors import LetterlockError, StorageError


class LifecycleError(LetterlockError):
    """There is no such step between two states (core.lifecycle). Nothing was written."""


class CopyBusyError(LetterlockError):
    """Somebody is working on this copy right now; try again in a moment."""


class ContentMissingError(StorageError):
    """The content is not there: the mail was finished and shredded, or was never committed."""


class ContentDamagedError(StorageError):
    """Stored content does not fit together: a chunk is missing, too short or does not open."""
