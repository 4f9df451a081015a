"""The DATA stream: dot-stuffing in blocks (RFC 5321 4.5.2) with a check that every line ends in CRLF (2.3.8).

Bare CR or LF is never handed on, because the next hop might take it for the end of data. Memory is one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from relay.delivery.errors import ContentFaultError

BLOCK = 256 * 1024
"""Octets read at a time."""


def stuff_blocks(stream: BinaryIO, size: int, first: bytes) -> Iterator[bytes]:
    """Yield what goes over the wire, the last piece with the end of data in it.

    `first` is the block already read from `stream`, `size` the octets that the content must have in all. Raises
    ContentFaultError before the end of data is given out when the content is short, long or breaks the line rules.
    """
    at_start, total, held = True, 0, b""
    block, pending = first, b""
    while block:
        total += len(block)
        following = stream.read(BLOCK)
        data = held + block
        held = b""
        if following and data.endswith(b"\r"):
            data, held = data[:-1], b"\r"
        _check_lines(data)
        if pending:
            yield pending
        pending = _stuff(data, at_start)
        at_start = data.endswith(b"\n") if data else at_start
        block = following
    if total != size:
        raise ContentFaultError("stored content has not the size that is on record")
    # RFC 5321 4.1.1.4: a message without CRLF at its end gets one before the dot.
    yield pending + (b".\r\n" if at_start else b"\r\n.\r\n")


def _stuff(data: bytes, at_start: bool) -> bytes:
    stuffed = data.replace(b"\n.", b"\n..")
    return b"." + stuffed if at_start and stuffed.startswith(b".") else stuffed


def _check_lines(data: bytes) -> None:
    pairs = data.count(b"\r\n")
    if data.count(b"\n") != pairs or data.count(b"\r") != pairs:
        raise ContentFaultError("stored content holds a bare CR or LF")
