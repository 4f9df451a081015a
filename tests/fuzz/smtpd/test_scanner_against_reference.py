"""The fast scanners against slow and obvious ones, over any content and any chunking."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.smtpd.scanner import ChunkChecker, DataScanner, ReceivedCounter


def has_bare(octets: bytes) -> bool:
    """RFC 5321 2.3.8, octet by octet."""
    for at, octet in enumerate(octets):
        if octet == 0x0D and octets[at + 1 : at + 2] != b"\n":
            return True
        if octet == 0x0A and (at == 0 or octets[at - 1] != 0x0D):
            return True
    return False


def receive_slowly(wire: bytes) -> tuple[bytes, bool, bytes] | None:
    """RFC 5321 4.1.1.4 and 4.5.2: lines end in CR LF and nothing else; None while there is no end."""
    content = b""
    at = 0
    while True:
        end = wire.find(b"\r\n", at)
        if end < 0:
            return None
        line = wire[at : end + 2]
        at = end + 2
        if line == b".\r\n":
            return content, has_bare(content), wire[at:]
        content += line[1:] if line.startswith(b".") else line


def cut(wire: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(wire), *(c % (len(wire) + 1) for c in cuts)})
    return [wire[a:b] for a, b in itertools.pairwise(places)]


def receive_fast(wire: bytes, cuts: list[int]) -> tuple[bytes, bool, bytes] | None:
    scanner = DataScanner()
    content = b""
    pieces = cut(wire, cuts)
    for number, piece in enumerate(pieces):
        content += scanner.feed(piece)
        if scanner.is_done:
            return content, scanner.has_bare, scanner.rest + b"".join(pieces[number + 1 :])
    return None


_DANGEROUS = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"..", b"\n.\n", b"QUIT", b"\0", b"\xff"]
    ),
    max_size=30,
).map(b"".join)
_CUTS = st.lists(st.integers(0, 200), max_size=12)


@given(wire=_DANGEROUS, cuts=_CUTS)
@example(wire=b".\r\n", cuts=[])
@example(wire=b".\r\n", cuts=[1, 2])
@example(wire=b"..\r\n.\r\n", cuts=[1, 2, 3, 4, 5])
@example(wire=b"a\r\n.\r\r\n.\r\n", cuts=[4])
@settings(max_examples=600)
def test_any_wire_in_any_chunks_is_read_as_the_rfc_says(wire: bytes, cuts: list[int]) -> None:
    assert receive_fast(wire, cuts) == receive_slowly(wire)


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")), max_size=8),
    cuts=_CUTS,
)
@settings(max_examples=300)
def test_what_a_right_client_stuffs_comes_back_octet_for_octet(lines: list[bytes], cuts: list[int]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    assert receive_fast(stuffed + b".\r\nRSET\r\n", cuts) == (content, False, b"RSET\r\n")


@pytest.mark.parametrize(
    "ending",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\r\n.\r\r\n",
        b"\n\r.\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
    ],
)
def test_no_malformed_ending_ends_the_data(ending: bytes) -> None:
    scanner = DataScanner()
    scanner.feed(b"Subject: x\r\n\r\nbody" + ending + b"MAIL FROM:<x@y>\r\n")
    was_done = scanner.is_done
    content = scanner.feed(b"more\r\n.\r\n")
    assert (was_done, scanner.is_done) == (False, True)
    assert content.endswith(b"more\r\n")


@given(wire=_DANGEROUS, cuts=_CUTS)
@settings(max_examples=400)
def test_bare_octets_are_found_across_bdat_chunks(wire: bytes, cuts: list[int]) -> None:
    checker = ChunkChecker()
    for piece in cut(wire, cuts):
        checker.feed(piece)
    checker.finish()
    assert checker.has_bare == has_bare(wire)


def count_slowly(content: bytes) -> int:
    header = b"\r\n" + content
    end = header.find(b"\r\n\r\n")
    return sum(line.lower().startswith(b"received:") for line in (header if end < 0 else header[:end]).split(b"\r\n"))


@given(
    lines=st.lists(
        st.sampled_from(
            [
                b"Received: from x",
                b"received:",
                b"RECEIVED:y",
                b"X-Received: z",
                b" Received: folded",
                b"",
                b"Subject: Received:",
                b"Receive",
            ]
        ),
        max_size=20,
    ),
    cuts=_CUTS,
)
@settings(max_examples=300)
def test_received_fields_are_counted_in_the_header_alone(lines: list[bytes], cuts: list[int]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    counter = ReceivedCounter()
    for piece in cut(content, cuts):
        counter.feed(piece)
    assert counter.count == count_slowly(content)
