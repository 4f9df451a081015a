"""What comes in from the portal, before anything of it was verified, and what it is answered.

Everything in an entry is the DMZ's word: relay.mailbox.incoming verifies it. Shapes and sizes were checked by whoever
read it off the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Result(StrEnum):
    """What became of an entry."""

    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PartCount:
    """A part's number and how many chunks it has."""

    i: int
    chunks: int


@dataclass(frozen=True, slots=True)
class ItemEntry:
    """A sealed item of a box's outbox."""

    box: str
    seq: int
    id: str
    gen: int
    card: int
    sealed: bytes = field(repr=False)
    parts: tuple[PartCount, ...]


@dataclass(frozen=True, slots=True)
class RekeyEntry:
    """A new generation made by a browser."""

    box: str
    seq: int
    id: str
    gen: int
    capsule: bytes = field(repr=False)
    sig: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinEntry:
    """A registration. It belongs to no box yet."""

    seq: int
    id: str
    card: int
    sealed: bytes = field(repr=False)
    box: None = None


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """An entry whose outer shape is wrong but whose place is known: refused, so that it blocks nothing."""

    box: str | None
    seq: int
    id: str


Entry = ItemEntry | RekeyEntry | JoinEntry | BrokenEntry
