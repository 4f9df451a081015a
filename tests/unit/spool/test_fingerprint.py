"""What is hashed of a client's mail, however it arrives."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.wire.chunks import CHUNK_SIZE, seal_content
from relay.spool.buffer import ContentBuffer
from relay.spool.fingerprint import Fingerprint, end_of_trace_field, find_message_id

TRACE = b"Received: from a\r\n\tby b\r\n with c; now\r\n"


@pytest.mark.parametrize(
    ("content", "end"),
    [
        (TRACE + b"Subject: x\r\n\r\n", len(TRACE)),
        (TRACE.lower() + b"x", len(TRACE)),
        (TRACE, len(TRACE)),
        (b"Subject: x\r\n" + TRACE, 0),
        (b"", 0),
        (b"Received: never ends", 0),
        (b"Received: " + b"x" * 9000 + b"\r\n", 0),
    ],
)
def test_our_own_field_ends_where_its_last_line_does(content: bytes, end: int) -> None:
    assert end_of_trace_field(content) == end


@pytest.mark.parametrize(
    ("header", "message_id"),
    [
        (b"Message-ID: <a@b>\r\n\r\nbody", "<a@b>"),
        (b"Subject: x\r\nMESSAGE-id:\r\n <a@b>\r\n\r\n", "<a@b>"),
        (b"Subject: x\r\n\r\nMessage-ID: <in-the-body@b>\r\n", ""),
        (b"X-Message-ID: <a@b>\r\n\r\n", ""),
        (b"Message-ID: \xff\r\n\r\n", "\ufffd"),
        (b"Message-ID:\r\n\r\n", ""),
        (b"", ""),
    ],
)
def test_message_id_is_read_from_the_header(header: bytes, message_id: str) -> None:
    assert find_message_id(header) == message_id


@given(st.binary(max_size=3000))
def test_no_octets_break_it(content: bytes) -> None:
    fingerprint = Fingerprint()
    fingerprint.feed(content)
    start = end_of_trace_field(content)
    assert fingerprint.hexdigest() == hashlib.sha256(content[start:]).hexdigest()


@given(st.lists(st.integers(0, 200_000), max_size=8), st.booleans())
def test_buffer_hashes_and_cuts_the_same_however_it_is_fed(sizes: list[int], trace: bool) -> None:
    pieces = [(TRACE if trace else b"Subject: x\r\n\r\n"), *(bytes([n % 256]) * size for n, size in enumerate(sizes))]
    content = b"".join(pieces)
    fingerprint = Fingerprint()
    buffer = ContentBuffer("M" * 22, "default", bytes(32))
    for piece in pieces:
        buffer.add(piece)
        if not buffer.is_small:
            buffer.seal_full(0, fingerprint.feed)
    fingerprint.feed(buffer.peek())
    rows = [*buffer.take_sealed(), buffer.seal_last(0)]
    assert buffer.size == len(content)
    assert [row[2] for row in rows] == list(range(len(rows)))
    assert len(rows) == max(1, -(-len(content) // CHUNK_SIZE))
    expected = list(seal_content(bytes(32), "M" * 22, 0, [content]))
    assert [len(row[4]) for row in rows] == [len(chunk) for chunk in expected]
    assert fingerprint.hexdigest() == hashlib.sha256(content[len(TRACE) if trace else 0 :]).hexdigest()
