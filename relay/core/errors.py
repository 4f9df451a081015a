"""Base of all errors of the inside.

An error knows whether it is temporary and which enhanced status code (RFC 3463) it means. An error with no opinion is
temporary: a fault of ours delays mail, it does not bounce it and never sends it in clear.
"""

from __future__ import annotations


class LetterlockError(Exception):
    """Base error. `public` is safe to show to a peer or a user; `args` may hold more for the log, never secrets."""

    temporary: bool = True
    status: str = "4.3.0"
    public: str = "Internal error, try again later"


class ConfigurationError(LetterlockError):
    """A setting is missing or wrong. `key` names it, `fix` says what to do."""

    def __init__(self, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{key}: {problem}. {fix}")
        self.key = key
        self.problem = problem
        self.fix = fix


class AddressError(LetterlockError):
    """An address does not obey RFC 5321 4.1.2 / RFC 6531 3.3."""

    temporary = False
    status = "5.1.3"
    public = "Bad address syntax"


class StorageError(LetterlockError):
    """The database or spool could not do it now."""

    status = "4.3.0"


class StorageFullError(StorageError):
    """Out of space or below the reserve."""

    status = "4.3.1"
    public = "Insufficient system storage"


class LeaseLostError(LetterlockError):
    """Another worker holds this mail now: the fence number has moved on. Nothing was written."""


class KeyStoreError(LetterlockError):
    """keyd or the token could not do it now."""

    status = "4.7.0"


class KeyDestroyedError(KeyStoreError):
    """The key was destroyed on purpose; what it sealed stays shut for ever."""

    temporary = False
    status = "5.7.0"


class GrantRefusedError(KeyStoreError):
    """This caller may not use this key for this purpose."""

    temporary = False
    status = "5.7.1"


class MessageError(LetterlockError):
    """The message itself cannot be handled, now or later."""

    temporary = False
    status = "5.6.0"
    public = "Message content cannot be processed"


class ProtectionError(LetterlockError):
    """A decided protection could not be applied. The mail waits; it is never sent otherwise."""

    status = "4.7.0"
