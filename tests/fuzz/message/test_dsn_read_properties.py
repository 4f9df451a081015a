"""Whatever another server writes as a delivery report, reading it ends, in bounded and clean words."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from relay.core.returns import make_return_address, new_return_token, read_return_token
from relay.message.dsn_read import read_delivery_reports
from relay.message.parse import parse_message

_HEAD = (
    b"From: <>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
)
_PIECES = st.sampled_from(
    [b"Action: failed\r\n", b"Status: 5.1.1\r\n", b"Diagnostic-Code: smtp; 550 no \xff\x00 such\r\n", b"\r\n", b"\n",
     b"Final-Recipient: rfc822; a@b.example\r\n", b" folded\r\n", b"Action: delayed\n", b": x\r\n", b"--b\r\n"]
)  # fmt: skip


@given(st.lists(st.one_of(_PIECES, st.binary(max_size=40)), max_size=60))
def test_any_report_is_read_or_says_nothing(pieces: list[bytes]) -> None:
    message = parse_message(io.BytesIO(_HEAD + b"Reporting-MTA: dns; x\r\n\r\n" + b"".join(pieces) + b"\r\n--b--\r\n"))
    for report in read_delivery_reports(message):
        assert report.action in ("failed", "delayed", "delivered", "relayed", "expanded")
        assert len(report.diagnostic) <= 300
        assert report.diagnostic.isprintable()


@given(st.text(max_size=80))
def test_only_return_addresses_have_a_token(text: str) -> None:
    token = new_return_token()
    address = make_return_address(token, "bank.example")
    assert read_return_token(address) == token
    assert read_return_token(address.upper()) == token
    assert read_return_token(text + "@bank.example") is None or text.lower().startswith("letterlock-return+")
