"""Frames between keyd and its clients: read back exactly, and anything else refused in our words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import GrantRefusedError, KeyDestroyedError, KeyStoreError
from relay.keystore.grants import MAX_WORD, Operation
from relay.keystore.protocol import (
    MAX_FRAME,
    Call,
    FrameReader,
    Reply,
    Request,
    Result,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from relay.keystore.requests import MAX_BATCH

WORD = st.text(max_size=20)
NUMBER = st.integers(0, 2**53 - 1)
CALLS = st.builds(
    Call,
    purpose=WORD,
    subject=WORD,
    actor=WORD,
    message_id=WORD,
    epoch=WORD,
    key_id=WORD,
    mechanism=WORD,
    number=NUMBER,
    context=st.binary(max_size=50),
    data=st.binary(max_size=50),
)
RESULTS = st.builds(
    Result, error=WORD, text=WORD, epoch=WORD, key_id=WORD, mechanism=WORD, number=NUMBER, data=st.binary(max_size=50)
)
REQUESTS = st.builds(Request, NUMBER, st.sampled_from(Operation), st.lists(CALLS, min_size=1, max_size=4).map(tuple))
REPLIES = st.builds(Reply, NUMBER, st.lists(RESULTS, min_size=1, max_size=4).map(tuple))


@given(REQUESTS)
def test_requests_are_read_back(request: Request) -> None:
    assert decode_request(encode_request(request)[4:]) == request


@given(REPLIES)
def test_replies_are_read_back(reply: Reply) -> None:
    assert decode_reply(encode_reply(reply)[4:]) == reply


@given(st.lists(REQUESTS, max_size=4), st.data())
@settings(max_examples=50)
def test_a_stream_is_cut_right_whatever_its_pieces(requests: list[Request], data: st.DataObject) -> None:
    stream = b"".join(map(encode_request, requests))
    reader = FrameReader()
    got: list[Request] = []
    while stream:
        length = data.draw(st.integers(1, len(stream)))
        got += map(decode_request, reader.feed(stream[:length]))
        stream = stream[length:]
    assert got == requests


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_octets_are_a_frame_or_refused(octets: bytes) -> None:
    for decode in (decode_request, decode_reply):
        try:
            decode(octets)
        except KeyStoreError:
            continue
        except Exception as error:
            pytest.fail(f"{type(error).__name__}")


@given(REQUESTS, st.data())
@settings(max_examples=300)
def test_a_changed_frame_is_a_frame_or_refused(request: Request, data: st.DataObject) -> None:
    frame = bytearray(encode_request(request)[4:])
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = decode_request(bytes(frame))
    except KeyStoreError:
        return
    assert decode_request(encode_request(changed)[4:]) == changed


HEAD = b'[1,7,"test",[["","","","","","","",0,0,0]]]'


def framed(head: bytes, rest: bytes = b"") -> bytes:
    return len(head).to_bytes(4, "big") + head + rest


def test_the_head_that_the_next_test_spoils_is_good() -> None:
    assert decode_request(framed(HEAD)) == Request(7, Operation.TEST, (Call(),))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0\0\0",
        b"\0\0\0\xff" + HEAD,
        framed(HEAD, b"left over"),
        framed(HEAD.replace(b'"test"', b'"fetch"')),
        framed(HEAD.replace(b"[1,7", b"[2,7")),
        framed(HEAD.replace(b"[1,7", b"[1,true")),
        framed(HEAD.replace(b"[1,7", b"[1,-7")),
        framed(HEAD.replace(b"0,0,0]", b"0,0,5]")),
        framed(HEAD.replace(b"0,0,0]", b"0,0,-1]")),
        framed(HEAD.replace(b"0,0,0]", b"0,0,0.0]")),
        framed(HEAD.replace(b"0,0,0]", b"0,0]")),
        framed(HEAD.replace(b'["",', b"[null,")),
        framed(HEAD.replace(b'["",', b'["' + b"x" * (MAX_WORD + 1) + b'",')),
        framed(b'[1,7,"test",[]]'),
        framed(b'[1,7,"test",{}]'),
        framed(b'{"a":1,"b":2,"c":3,"d":4}'),
        framed(b"[1,2,3]"),
        framed(b"[" * 5000),
        framed(b"\xff\xfe"),
        framed(b'[1,7,"test",[' + b",".join([HEAD[13:-2]] * (MAX_BATCH + 1)) + b"]]"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frame: bytes) -> None:
    with pytest.raises(KeyStoreError, match="frame"):
        decode_request(frame)


def test_sizes_are_capped_before_anything_is_kept() -> None:
    with pytest.raises(KeyStoreError, match="length"):
        FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(KeyStoreError, match="large"):
        encode_request(Request(1, Operation.SEAL, (Call(data=bytes(MAX_FRAME)),)))
    with pytest.raises(KeyStoreError, match="large"):
        encode_request(Request(1, Operation.TEST, (Call(),) * (MAX_BATCH + 1)))


@pytest.mark.parametrize("kind", [KeyStoreError, KeyDestroyedError, GrantRefusedError])
def test_errors_keep_their_kind(kind: type[KeyStoreError]) -> None:
    error = Result.of_error(kind("words")).to_error()
    assert type(error) is kind
    assert str(error) == "words"


def test_an_unknown_error_is_temporary() -> None:
    assert Result(error="new-in-2030").to_error().temporary


def test_octets_stay_out_of_what_is_printed() -> None:
    assert "canary" not in repr(Call(context=b"canary", data=b"canary")) + repr(Result(data=b"canary"))
