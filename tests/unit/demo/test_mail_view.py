"""Reading caught mail never fails, whatever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.demo.mailview import read_mail

LINES = st.lists(
    st.sampled_from(
        [
            b"Content-Type: multipart/mixed; boundary=x",
            b"Content-Type: text/html; charset=nonsense",
            b"Content-Type: message/rfc822",
            b"Content-Transfer-Encoding: base64",
            b"Content-Disposition: attachment; filename*=utf-8''%ff%00a",
            b'Content-Disposition: attachment; filename="=?utf-8?b?/////w==?="',
            b"From: =?x?q?a?= <a@b",
            b"To: a@b, <>, ;:",
            b"Subject: =?utf-8?b?4pi?= \xff\xfe",
            b"Content-ID: <a>",
            b"",
            b"--x",
            b"--x--",
            b"%PDF-1.7",
            b"====",
        ]
    )
    | st.binary(max_size=30),
    max_size=25,
)


@given(LINES)
def test_any_octets_give_a_view(lines):
    octets = b"\r\n".join(lines)
    view = read_mail(octets, "inside")
    assert view.size == len(octets)
    for part in view.parts:
        assert "/" not in part.name
        assert part.name.isprintable()
    for _, value in view.fields:
        assert value.isprintable() or value == ""
