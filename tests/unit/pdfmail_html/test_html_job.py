"""What travels into the child, and which cause comes back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdfmail.errors import RenderCause
from pdfmail.html.confined import find_cause
from pdfmail.html.job import JOB_IMAGE_OCTETS, RenderLimits, decode_job, decode_shown, encode_job, encode_shown
from pdfmail.model import HtmlBody, InlineImage

_ANY_TEXT = st.text(st.characters(blacklist_categories=()))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        HtmlBody,
        html=st.none() | _ANY_TEXT,
        text=st.none() | _ANY_TEXT,
        images=st.lists(st.builds(InlineImage, _ANY_TEXT, st.text(), st.binary())).map(tuple),
        language=st.text(),
        max_pages=st.integers(1, 1000),
    )
)
def test_a_job_arrives_as_it_was_sent(body: HtmlBody) -> None:
    assert decode_job(encode_job(body)) == body


def test_pictures_beyond_the_room_stay_behind() -> None:
    large = InlineImage("large", "image/png", bytes(JOB_IMAGE_OCTETS))
    small = InlineImage("small", "image/png", b"x")
    assert decode_job(encode_job(HtmlBody(html="", images=(small, large)))).images == (small,)


@given(st.sets(st.integers(0, 300)), st.integers(0, 20))
def test_the_line_of_pictures_arrives_as_positions_in_the_body(shown: set[int], gap: int) -> None:
    kept = [place * (gap + 1) for place in range(301)]
    line = encode_shown(shown)
    assert line.endswith(b"\n")
    assert decode_shown(line[:-1], kept) == {kept[place] for place in shown}


@pytest.mark.parametrize("line", [b"", b"-1", b"0x1", b"FF", b" 1", b"1_0", b"1\n", b"123", b"%PDF-"])
def test_any_other_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="line of pictures"):
        decode_shown(line, [0, 1, 2])


def test_a_picture_that_did_not_travel_is_never_shown() -> None:
    assert decode_shown(b"7", [4]) == {4}


@pytest.mark.parametrize(
    ("word", "verdict", "cause"),
    [
        (b"", "wall", RenderCause.TIME),
        (b"", "output", RenderCause.MEMORY),
        (b"", "signal 24 12.000", RenderCause.TIME),
        (b"", "signal 9 12.010", RenderCause.TIME),
        (b"", "signal 9 1.000", RenderCause.MEMORY),
        (b"", "signal 11 1.000", RenderCause.CRASH),
        (b"", "signal 6 1.000", RenderCause.CRASH),
        (b"ok", "signal 11 1.000", RenderCause.CRASH),
        (b"pages", "exit 0 1.000", RenderCause.PAGES),
        (b"memory", "exit 0 1.000", RenderCause.MEMORY),
        (b"input", "exit 0 1.000", RenderCause.INPUT),
        (b"crash", "exit 0 1.000", RenderCause.CRASH),
        (b"ok", "exit 0 1.000", RenderCause.CRASH),
        (b"Dear customer", "exit 0 1.000", RenderCause.CRASH),
        (b"\xff", "exit 1 1.000", RenderCause.CRASH),
    ],
)
def test_the_cause_is_one_of_five_words(word: bytes, verdict: str, cause: RenderCause) -> None:
    assert find_cause(word, verdict, RenderLimits()) is cause
