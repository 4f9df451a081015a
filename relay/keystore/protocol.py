"""What travels between keyd and its clients: frames of a JSON head and raw octets.

    u32be length of what follows || u32be length of the head || head (JSON) || octets of all calls, one after the other

A request is an operation with one or more calls, a reply has one result a call, under the request's number. Both ends
have the same fields, so one value serves all operations. Sizes are capped before anything is kept; what does not fit
the schema raises KeyStoreError and ends the connection. No I/O here, and nothing is logged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relay.core.errors import GrantRefusedError, KeyDestroyedError, KeyStoreError
from relay.core.wire.sealed import CODES, MailboxDataError
from relay.keystore.grants import MAX_WORD, Operation
from relay.keystore.requests import MAX_BATCH

MAX_FRAME = 512 * 1024
MAX_HEAD = 384 * 1024
VERSION = 1

_ERRORS: dict[str, type[KeyStoreError]] = {
    "destroyed": KeyDestroyedError,
    "refused": GrantRefusedError,
    "unavailable": KeyStoreError,
}
_MAILBOX_ERROR = "mailbox"
"""What was handed in does not hold; `key_id` is the code of sealed-mailbox 17."""


@dataclass(frozen=True, slots=True)
class Call:
    """One use that is asked for; unused fields stay empty. Octets stay out of the repr."""

    purpose: str = ""
    subject: str = ""
    actor: str = ""
    message_id: str = ""
    """A message, or a box."""
    epoch: str = ""
    key_id: str = ""
    """Key of a small value, or a portal."""
    mechanism: str = ""
    number: int = 0
    """Suite of a mail key, format of a blob, serial of a card, or a generation."""
    context: bytes = field(default=b"", repr=False)
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one call. `error` is empty or a word of the table of errors."""

    error: str = ""
    text: str = ""
    epoch: str = ""
    key_id: str = ""
    mechanism: str = ""
    number: int = 0
    data: bytes = field(default=b"", repr=False)

    def raise_error(self) -> None:
        """Raise the error that this result stands for, if it does."""
        if self.error == _MAILBOX_ERROR:
            raise MailboxDataError(self.key_id if self.key_id in CODES else "format", self.text)
        if self.error:
            raise self.to_error()

    def to_error(self) -> KeyStoreError:
        """Return the error that this result stands for; an unknown word is a temporary one."""
        return _ERRORS.get(self.error, KeyStoreError)(self.text)

    @classmethod
    def of_error(cls, error: KeyStoreError | MailboxDataError) -> Result:
        """Say an error of ours; its words name no secret."""
        if isinstance(error, MailboxDataError):
            return cls(error=_MAILBOX_ERROR, text=error.words[:MAX_WORD], key_id=error.code)
        word = "unavailable"
        if isinstance(error, KeyDestroyedError):
            word = "destroyed"
        elif isinstance(error, GrantRefusedError):
            word = "refused"
        return cls(error=word, text=str(error)[:MAX_WORD])


@dataclass(frozen=True, slots=True)
class Request:
    """One operation on one or more values."""

    number: int
    operation: Operation
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """The results of a request's calls, in order."""

    number: int
    results: tuple[Result, ...]


_CALL_WORDS = ("purpose", "subject", "actor", "message_id", "epoch", "key_id", "mechanism")
_CALL_OCTETS = ("context", "data")
_RESULT_WORDS = ("error", "text", "epoch", "key_id", "mechanism")
_RESULT_OCTETS = ("data",)
_Item = TypeVar("_Item", Call, Result)


def encode_request(request: Request) -> bytes:
    """Return the frame. Raises KeyStoreError when it is too large."""
    return _encode(request.number, str(request.operation), request.calls, _CALL_WORDS, _CALL_OCTETS)


def encode_reply(reply: Reply) -> bytes:
    """Return the frame. Raises KeyStoreError when it is too large."""
    return _encode(reply.number, "", reply.results, _RESULT_WORDS, _RESULT_OCTETS)


def decode_request(untrusted_frame: bytes) -> Request:
    """Parse a frame without its leading length. Raises KeyStoreError."""
    number, word, calls = _decode(untrusted_frame, Call, _CALL_WORDS, _CALL_OCTETS)
    try:
        operation = Operation(word)
    except ValueError as error:
        raise KeyStoreError("frame: unknown operation") from error
    return Request(number, operation, calls)


def decode_reply(untrusted_frame: bytes) -> Reply:
    """Parse a frame without its leading length. Raises KeyStoreError."""
    number, _, results = _decode(untrusted_frame, Result, _RESULT_WORDS, _RESULT_OCTETS)
    return Reply(number, results)


def _encode(
    number: int, operation: str, items: Sequence[Call | Result], words: tuple[str, ...], octets: tuple[str, ...]
) -> bytes:
    rows: list[list[str | int]] = []
    parts: list[bytes] = []
    for item in items:
        pieces = [getattr(item, name) for name in octets]
        parts += pieces
        rows.append([*(getattr(item, name) for name in words), item.number, *map(len, pieces)])
    head = json.dumps([VERSION, number, operation, rows], separators=(",", ":")).encode("ascii")
    length = 4 + len(head) + sum(map(len, parts))
    if length > MAX_FRAME or len(head) > MAX_HEAD or not 1 <= len(rows) <= MAX_BATCH:
        raise KeyStoreError("frame: too large")
    return b"".join((length.to_bytes(4, "big"), len(head).to_bytes(4, "big"), head, *parts))


def _decode(
    untrusted_frame: bytes, kind: type[_Item], words: tuple[str, ...], octets: tuple[str, ...]
) -> tuple[int, str, tuple[_Item, ...]]:
    head_end = 4 + int.from_bytes(untrusted_frame[:4], "big")
    if not 4 < head_end <= min(len(untrusted_frame), MAX_HEAD + 4):
        raise KeyStoreError("frame: the head does not fit")
    try:
        version, number, word, rows = json.loads(untrusted_frame[4:head_end])
    except (ValueError, TypeError, RecursionError) as error:
        raise KeyStoreError("frame: the head is not ours") from error
    if version != VERSION or not _is_count(number) or not isinstance(word, str) or not isinstance(rows, list):
        raise KeyStoreError("frame: unknown version or types")
    if not 1 <= len(rows) <= MAX_BATCH:
        raise KeyStoreError("frame: no calls, or too many")
    items: list[_Item] = []
    at = head_end
    for row in rows:
        _check_row(row, len(words), len(octets))
        values: dict[str, Any] = dict(zip(words, row, strict=False))
        values["number"] = row[len(words)]
        for name, length in zip(octets, row[len(words) + 1 :], strict=True):
            values[name] = untrusted_frame[at : at + length]
            at += length
            if at > len(untrusted_frame):
                raise KeyStoreError("frame: octets are missing")
        items.append(kind(**values))
    if at != len(untrusted_frame):
        raise KeyStoreError("frame: octets are left over")
    return number, word, tuple(items)


def _check_row(untrusted_row: object, words: int, counts: int) -> None:
    if not isinstance(untrusted_row, list) or len(untrusted_row) != words + 1 + counts:
        raise KeyStoreError("frame: a call has the wrong fields")
    if not all(isinstance(word, str) and len(word) <= MAX_WORD for word in untrusted_row[:words]):
        raise KeyStoreError("frame: a call has the wrong types")
    if not all(map(_is_count, untrusted_row[words:])):
        raise KeyStoreError("frame: a call has the wrong types")


def _is_count(untrusted_value: object) -> bool:
    return type(untrusted_value) is int and 0 <= untrusted_value < 2**53


class FrameReader:
    """Cuts a stream into frames, whatever pieces it comes in. Holds at most one frame and one piece."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, untrusted_piece: bytes) -> list[bytes]:
        """Return the frames that are complete now, without their lengths. Raises KeyStoreError for one too large."""
        self._waiting += untrusted_piece
        frames: list[bytes] = []
        at = 0
        while len(self._waiting) - at >= 4:
            length = int.from_bytes(self._waiting[at : at + 4], "big")
            if not 4 < length <= MAX_FRAME:
                raise KeyStoreError("frame: impossible length")
            if len(self._waiting) - at - 4 < length:
                break
            frames.append(bytes(self._waiting[at + 4 : at + 4 + length]))
            at += 4 + length
        del self._waiting[:at]
        return frames
