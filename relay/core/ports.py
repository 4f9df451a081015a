"""Ports: what one room needs of another, said without naming the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from relay.core.envelope import Envelope, SessionInfo


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. Every service call takes one and every event row names it."""

    kind: str
    """`process`, `operator`, `user`, `partner`, `peer` or `system`."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


# --- intake -----------------------------------------------------------------------------------------------------------


class IncomingMessage(Protocol):
    """One message on its way into the spool. Nothing is visible to anybody before `commit` returned."""

    @property
    def message_id(self) -> str:
        """The new message's id, known from the start for the Received header and the 250 reply."""
        ...

    async def write(self, data: bytes) -> None:
        """Append octets. Raises StorageError or StorageFullError; the caller then aborts and answers 451 or 452."""
        ...

    async def commit(self) -> None:
        """Make message, chunks and one row per recipient visible in ONE durable commit; only then 250 may be said.

        Raises StorageError. An uncertain commit counts as not done. The caller shields it against cancellation.
        """
        ...

    async def abort(self) -> None:
        """Drop what was written. Never raises."""
        ...


class Intake(Protocol):
    """Where smtpd puts messages."""

    def has_room(self, octets: int) -> bool:
        """Tell whether the reserve allows another message of this size (0 when not announced). Cheap, never blocks."""
        ...

    def open(self, session: SessionInfo, envelope: Envelope) -> IncomingMessage:
        """Begin a message. Raises StorageError."""
        ...


# --- keys -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedBlob:
    """A sealed value with what is needed to know how to open it. Stored column by column."""

    key_id: str
    mechanism: str
    format: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SpoolPublicKey:
    """The public half of an epoch's spool key. Suite numbers are those of sealed-mailbox 4."""

    epoch: str
    suite: int
    public: bytes


@dataclass(frozen=True, slots=True)
class WrappedMailKey:
    """A message key sealed with HPKE to one epoch's spool key; `suite` and `data` as core.wire.mailkey says."""

    epoch: str
    suite: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission for one use of a key, logged by keyd before the token is called.

    `purpose` is one word of keyd's table (`protect`, `deliver`, `trace`, ...); `subject` is the id of the stored thing
    that allows it: a message, copy, decision or pair.
    """

    purpose: str
    subject: str
    actor: str


class KeyStore(Protocol):
    """Keys are used, never fetched. Implemented by the software token, by PKCS#11, and by the client of keyd.

    All calls raise KeyStoreError (temporary), GrantRefusedError or KeyDestroyedError.
    """

    def seal(self, context: bytes, plaintext: bytes) -> SealedBlob:
        """Seal a small value (up to 64 KiB); `context` is bound and needed again to open."""
        ...

    def open(self, context: bytes, blob: SealedBlob, grant: Grant) -> bytes:
        """Open a sealed value."""
        ...

    def spool_public_key(self) -> SpoolPublicKey:
        """Return the newest epoch's public key."""
        ...

    def open_mail_key(self, message_id: str, wrapped: WrappedMailKey, grant: Grant) -> bytes:
        """Return a message's 32-octet content key."""
        ...

    def rewrap_mail_key(self, message_id: str, wrapped: WrappedMailKey, grant: Grant) -> WrappedMailKey:
        """Seal a message's key to the newest epoch."""
        ...

    def begin_epoch(self, actor: Actor) -> SpoolPublicKey:
        """Make a new epoch key and return its public half."""
        ...

    def destroy_epoch(self, epoch: str, actor: Actor) -> None:
        """Destroy an epoch's private key: every message key still wrapped under it is gone, in back-ups too."""
        ...

    def test(self) -> None:
        """Seal and open a probe. Raises KeyStoreError when the store is not usable."""
        ...


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, for the append-only log. `detail` holds no secret, subject, file name or mail text."""

    kind: str
    actor: Actor
    tenant: str
    message_id: str | None = None
    copy_id: str | None = None
    detail: Mapping[str, str | int | bool | list[str] | None] = field(default_factory=dict)


# --- content ----------------------------------------------------------------------------------------------------------


class ContentSource(Protocol):
    """Stored content that can be read again and again."""

    def open(self) -> BinaryIO:
        """Return a new seekable binary stream over the octets."""
        ...

    @property
    def size(self) -> int:
        """Number of octets."""
        ...
