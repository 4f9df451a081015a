"""Dot-stuffing in blocks equals the obvious line-by-line way, and bare line ends never pass."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.delivery import stuffing
from relay.delivery.errors import ContentFaultError

PIECES = st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b".\r\n", b"bc", b"\r\n.\r\n"]), max_size=60).map(
    b"".join
)
LOOSE = st.lists(st.sampled_from([b".", b"a", b"\r", b"\n", b"\r\n"]), max_size=40).map(b"".join)


class Trickle(io.BytesIO):
    """Gives blocks of the sizes asked for by the test, whatever the reader wants."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self.sizes = iter(sizes)

    def read(self, size: int | None = -1) -> bytes:
        return super().read(next(self.sizes, 7))


def stuff(data: bytes, sizes: list[int]) -> bytes:
    stream = Trickle(data, sizes)
    return b"".join(stuffing.stuff_blocks(stream, len(data), stream.read()))


def reference(data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


@given(PIECES, st.lists(st.integers(1, 9), max_size=40))
def test_equals_the_line_by_line_way(data, sizes):
    assert stuff(data, sizes) == reference(data)


@given(LOOSE, st.lists(st.integers(1, 9), max_size=40))
def test_bare_line_ends_are_refused_wherever_blocks_end(data, sizes):
    rest = data.replace(b"\r\n", b"")
    if b"\r" in rest or b"\n" in rest or data.count(b"\r") != data.count(b"\r\n"):
        with pytest.raises(ContentFaultError):
            stuff(data, sizes)
    else:
        assert stuff(data, sizes) == reference(data)


@pytest.mark.parametrize("claimed", [0, 4, 6])
def test_wrong_size_gives_no_end_of_data(claimed):
    stream = io.BytesIO(b"abc\r\n")
    given_out: list[bytes] = []
    with pytest.raises(ContentFaultError):
        given_out.extend(stuffing.stuff_blocks(stream, claimed, stream.read()))
    assert not b"".join(given_out).endswith(b".\r\n")
