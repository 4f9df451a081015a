"""Forms of server mode: whatever comes, in whatever pieces, is read the same or refused; names stay names."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header

from portal.security.errors import ApiError
from portal.simple.sending import Answer, clean_name
from portal.simple.views import name_download
from relay.core.wire.sealed import Part

BOUNDARY = b"b0undary"


class _Pieces(io.RawIOBase):
    """A body that comes in pieces of these lengths, over and over."""

    def __init__(self, octets: bytes, lengths: list[int]) -> None:
        self._left = octets
        self._lengths = lengths
        self._next = 0

    def read(self, size: int = -1, /) -> bytes:
        length = min(self._lengths[self._next % len(self._lengths)], size)
        self._next += 1
        found, self._left = self._left[:length], self._left[length:]
        return found


@dataclass
class _Writer:
    octets: bytearray = field(default_factory=bytearray)

    def write(self, octets: bytes) -> None:
        self.octets += octets

    def finish(self) -> int:
        return len(self.octets)


class _Kept:
    """What an answer keeps, without a portal."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.files: list[Any] = []
        self.writers: list[tuple[str, _Writer]] = []

    def take_file(self, name: str) -> _Writer:
        self.files.append(Part(len(self.files) + 1, "file", name, "", 0))
        self.writers.append((name, _Writer()))
        return self.writers[-1][1]

    def count(self, octets: int) -> None:
        del octets


def read(octets: bytes, lengths: list[int], token: str = "right") -> _Kept:
    kept = _Kept()

    def check(value: str) -> None:
        if value != token:
            raise ApiError(403, "origin")

    Answer.read(cast("Answer", kept), cast("Any", _Pieces(octets, lengths)), BOUNDARY, check)
    return kept


def part(head: str, octets: bytes) -> bytes:
    return b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + octets + b"\r\n"


LENGTHS = st.lists(st.integers(1, 70_000), min_size=1, max_size=4)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=200)


@example("no line end of its own", [b"x" * 30], [1])
@given(TEXTS, st.lists(st.binary(max_size=3000), max_size=4), LENGTHS)
def test_pieces_do_not_matter(text: str, files: list[bytes], lengths: list[int]) -> None:
    files = [octets for octets in files if BOUNDARY not in octets]
    whole = part('name="token"', b"right") + part('name="text"', text.encode())
    whole += b"".join(part(f'name="files"; filename="{n}.bin"', octets) for n, octets in enumerate(files))
    kept = read(whole + b"--" + BOUNDARY + b"--\r\n", lengths)
    assert kept.fields == {"text": text}
    assert [(name, bytes(writer.octets)) for name, writer in kept.writers] == [
        (f"{n}.bin", octets) for n, octets in enumerate(files)
    ]
    assert [one.size for one in kept.files] == [len(octets) for octets in files]


@given(st.binary(max_size=2000), LENGTHS, st.booleans())
def test_anything_else_is_refused(octets: bytes, lengths: list[int], has_start: bool) -> None:
    start = part('name="token"', b"right") + b"--" + BOUNDARY if has_start else b""
    kept = None
    try:
        kept = read(start + octets, lengths)
    except (ApiError, HTTPException) as error:
        status = error.status if isinstance(error, ApiError) else error.code
        assert status in (400, 403, 413)
    # Taken: it has the end of a form.
    assert kept is None or b"--" in octets


@given(TEXTS, st.binary(max_size=100))
def test_no_file_is_taken_before_the_token(token: str, octets: bytes) -> None:
    for first in (part('name="files"; filename="a"', octets), part('name="token"', token.encode() + b"x")):
        with pytest.raises(ApiError, match=r"40[03] "):
            read(first + part('name="token"', b"right") + b"--" + BOUNDARY + b"--\r\n", [70_000])


@given(st.text(max_size=300))
def test_a_name_stays_a_name(untrusted: str) -> None:
    name = clean_name(untrusted)
    assert 0 < len(name) <= 200
    assert not set(name) & set("/\\\r\n\0")
    header = name_download(untrusted)
    assert header.isascii()
    assert "\n" not in header
    kind, options = parse_options_header(header)
    assert kind == "attachment"
    assert options["filename"] == name
