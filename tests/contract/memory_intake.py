"""An Intake in memory that keeps the contract, and can be told to fail, for tests of what stands in front of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from relay.core.envelope import Envelope, SessionInfo
from relay.core.errors import StorageError
from relay.core.ids import new_id


@dataclass(frozen=True)
class Stored:
    """One committed message."""

    session: SessionInfo
    envelope: Envelope
    content: bytes


@dataclass
class MemoryIntake:
    """Keeps committed messages. Each `fail_*` is raised once per call while it is set."""

    room: int | None = None
    messages: dict[str, Stored] = field(default_factory=dict)
    aborted: list[str] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    fail_open: BaseException | None = None
    fail_write: BaseException | None = None
    fail_commit: BaseException | None = None
    commit_gate: asyncio.Event | None = None
    """When set, a commit waits for it."""
    commits_begun: int = 0
    commit_begun: asyncio.Event = field(default_factory=asyncio.Event)

    def has_room(self, octets: int) -> bool:
        return self.room is None or octets < self.room

    def open(self, session: SessionInfo, envelope: Envelope) -> MemoryMessage:
        if self.fail_open is not None:
            raise self.fail_open
        return MemoryMessage(self, session, envelope)

    # --- what the contract asks of a subject ---

    def stored_ids(self) -> set[str]:
        return set(self.messages)

    def stored_content(self, message_id: str) -> bytes:
        return self.messages[message_id].content

    def stored_envelope(self, message_id: str) -> Envelope:
        return self.messages[message_id].envelope

    @property
    def only(self) -> Stored:
        (stored,) = self.messages.values()
        return stored


class MemoryMessage:
    def __init__(self, intake: MemoryIntake, session: SessionInfo, envelope: Envelope) -> None:
        self._intake = intake
        self._session = session
        self._envelope = envelope
        self._pieces: list[bytes] = []
        self._is_over = False
        self._id = new_id()

    @property
    def message_id(self) -> str:
        return self._id

    async def write(self, data: bytes) -> None:
        if self._is_over:
            raise StorageError("written after the end")
        if self._intake.fail_write is not None:
            raise self._intake.fail_write
        self._intake.writes.append(len(data))
        self._pieces.append(data)

    async def commit(self) -> None:
        if self._is_over:
            raise StorageError("committed after the end")
        self._intake.commits_begun += 1
        self._intake.commit_begun.set()
        if self._intake.commit_gate is not None:
            await self._intake.commit_gate.wait()
        if self._intake.fail_commit is not None:
            raise self._intake.fail_commit
        self._is_over = True
        self._intake.messages[self._id] = Stored(self._session, self._envelope, b"".join(self._pieces))

    async def abort(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._intake.aborted.append(self._id)
