"""Replies: every way of cutting the octets gives the same replies, and nothing but ProtocolError comes out of noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.errors import ProtocolError
from relay.delivery.reply import MAX_LINE, MAX_LINES, Reply, ReplyParser

TEXT = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=60)


@given(
    st.lists(
        st.tuples(st.integers(200, 559).filter(lambda c: c // 10 % 10 < 6), st.lists(TEXT, min_size=1, max_size=4))
    ),
    st.lists(st.integers(1, 40)),
)
def test_any_cutting_gives_the_same_replies(wanted, cuts):
    wire = b"".join(
        b"".join(f"{code}{'-' if n < len(lines) - 1 else ' '}{line}\r\n".encode() for n, line in enumerate(lines))
        for code, lines in wanted
    )
    parser, found, offset = ReplyParser(), [], 0
    for cut in [*cuts, len(wire)]:
        parser.feed(wire[offset : offset + cut])
        offset += cut
        while reply := parser.next_reply():
            found.append(reply)
    assert found == [Reply(code, tuple(line.strip() for line in lines)) for code, lines in wanted]
    assert not parser.has_leftover


@given(st.binary(max_size=300))
def test_noise_is_a_protocol_error_or_nothing(noise):
    parser = ReplyParser()
    parser.feed(noise)
    try:
        while reply := parser.next_reply():
            assert 200 <= reply.code <= 559
            assert all(c.isprintable() for c in reply.line)
            assert reply.status.count(".") == 2
            assert reply.status[0] == str(reply.code)[0]
    except ProtocolError:
        return


@pytest.mark.parametrize(
    "wire",
    [
        b"250 x\n",
        b"25 x\r\n",
        b"150 x\r\n",
        b"260 x\r\n",
        b"650 x\r\n",
        b"250x\r\n",
        b"250-a\r\n251 b\r\n",
        b"\r\n",
        b"250 " + b"x" * MAX_LINE,
        b"250-x\r\n" * (MAX_LINES + 1),
    ],
)
def test_refuses(wire):
    parser = ReplyParser()
    parser.feed(wire)
    with pytest.raises(ProtocolError):
        parser.next_reply()


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 no", "5.1.1"),
        (550, "no", "5.0.0"),
        (550, "4.1.1 wrong class", "5.0.0"),
        (421, "bye", "4.3.2"),
        (452, "4.5.3", "4.5.3"),
        (250, "2.0.0 Ok", "2.0.0"),
        (250, "queued as 2.0.0", "2.0.0"),
        (550, "5.1.1000 no", "5.0.0"),
        (550, "5.1.1: no", "5.0.0"),
    ],
)
def test_status(code, text, status):
    assert Reply(code, (text,)).status == status


def test_control_characters_are_not_kept():
    parser = ReplyParser()
    parser.feed(b"550 a\x1b[31mb\x00c\xff\r\n")
    reply = parser.next_reply()
    assert reply is not None
    assert reply.line == "550 a?[31mb?c�"
