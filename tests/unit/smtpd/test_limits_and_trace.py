"""Counters per client, the pace of content, the trace field: without sockets, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import re
from email.parser import BytesParser
from email.policy import SMTP as SMTP_POLICY
from email.utils import parsedate_to_datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.envelope import Envelope, Recipient, SessionInfo, Side
from relay.smtpd.limits import ConnectionCounter, WindowCounter, client_key
from relay.smtpd.reception import _Pace
from relay.smtpd.trace import protocol_keyword, received_field

# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_what_counts_as_one_client(one: str, other: str, is_same: bool) -> None:
    assert (client_key(one) == client_key(other)) is is_same


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_connections_are_counted_as_by_a_list(steps: list[tuple[str, bool]]) -> None:
    counter = ConnectionCounter(5, 2)
    is_open: list[str] = []
    for client, opens in steps:
        if opens:
            assert counter.is_full() == (len(is_open) >= 5)
            assert counter.is_full_for(client) == (is_open.count(client) >= 2)
            counter.add(client)
            is_open.append(client)
        elif client in is_open:
            counter.remove(client)
            is_open.remove(client)
    assert counter.total == len(is_open)


def test_a_window_counts_and_fades() -> None:
    window = WindowCounter(60.0)
    for _ in range(10):
        window.add("a", 605.0)
    assert window.count("a", 605.0) == 10
    assert window.count("b", 605.0) == 0
    assert window.count("a", 659.9) == 10
    assert 4.5 < window.count("a", 690.0) < 5.5
    assert window.count("a", 721.0) == 0
    window.add("a", 721.0)
    assert window.count("a", 721.0) == 1
    window.forget("a")
    assert window.count("a", 721.0) == 0


@given(st.lists(st.floats(0, 500, allow_nan=False), max_size=80).map(sorted))
def test_a_window_never_forgets_what_lies_in_the_current_bucket_nor_counts_more_than_two(times: list[float]) -> None:
    window = WindowCounter(60.0)
    for at in times:
        window.add("a", at)
    if times:
        now = times[-1]
        bucket = int(now / 60.0)
        sure = sum(int(t / 60.0) == bucket for t in times)
        most = sum(int(t / 60.0) >= bucket - 1 for t in times)
        assert sure <= window.count("a", now) <= most


def test_a_window_remembers_so_many_names_and_no_more() -> None:
    window = WindowCounter(60.0, most_names=3)
    for name in "abcd":
        window.add(name, 1.0)
    assert window.count("a", 1.0) == 0
    assert window.count("d", 1.0) == 1


# --- pace -------------------------------------------------------------------------------------------------------------


class FakeChannel:
    """Gives octets as the test says; `now` moves by the seconds that each takes to come."""

    def __init__(self, arrivals: list[tuple[float, int]]) -> None:
        self.now = 0.0
        self.deadlines: list[float] = []
        self._arrivals = arrivals
        self._deadline = 0.0
        self.input = self

    def set_deadline(self, seconds: float | None) -> None:
        assert seconds is not None
        self._deadline = self.now + seconds
        self.deadlines.append(seconds)

    def hold_deadline(self) -> float:
        return self._deadline - self.now

    async def next_octets(self, most: int) -> bytes:
        seconds, count = self._arrivals.pop(0)
        if self.now + seconds > self._deadline:
            raise ConnectionResetError
        self.now += seconds
        return b"x" * count


def receive(arrivals: list[tuple[float, int]], between: float = 0.0) -> FakeChannel:
    channel = FakeChannel(arrivals)
    pace = _Pace(cast("Any", channel), 1000, 10.0)

    async def run() -> None:
        while channel._arrivals:
            await pace.next_octets(-1)
            channel.now += between

    asyncio.run(run())
    return channel


def test_progress_moves_the_deadline() -> None:
    assert receive([(9.0, 1000)] * 5).now == 45.0
    assert receive([(4.0, 500)] * 20).now == 80.0


def test_a_drip_does_not() -> None:
    with pytest.raises(ConnectionResetError):
        receive([(1.0, 1)] * 12)
    with pytest.raises(ConnectionResetError):
        receive([(6.0, 500)] * 2)


def test_our_own_time_is_not_the_peers() -> None:
    assert receive([(3.0, 100)] * 3, between=100.0).now == 309.0


def test_an_end_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionResetError):
        receive([(0.0, 0)])


# --- the trace field --------------------------------------------------------------------------------------------------


def session(**values: Any) -> SessionInfo:
    base: dict[str, Any] = {"listener": "x", "side": Side.OUTSIDE, "client_ip": "192.0.2.7", "helo": "c.example"}
    return SessionInfo(**{**base, **values})


def envelope(*paths: str, smtputf8: bool = False) -> Envelope:
    return Envelope("a@x", tuple(Recipient(path) for path in paths), smtputf8=smtputf8)


def make(session_: SessionInfo, envelope_: Envelope, *, extended: bool = True) -> bytes:
    return received_field(
        session_, envelope_, hostname="mx.bank.example", message_id="ID", now_ms=1_800_000_000_123, extended=extended
    )


@pytest.mark.parametrize(
    ("tls", "login", "smtputf8", "extended", "keyword"),
    [
        (None, None, False, False, "SMTP"),
        (None, None, False, True, "ESMTP"),
        ("TLSv1.3", None, False, True, "ESMTPS"),
        (None, "erp", False, True, "ESMTPA"),
        ("TLSv1.3", "erp", False, True, "ESMTPSA"),
        (None, None, True, True, "UTF8SMTP"),
        ("TLSv1.3", "erp", True, True, "UTF8SMTPSA"),
    ],
)
def test_protocol_keywords(tls: str | None, login: str | None, smtputf8: bool, extended: bool, keyword: str) -> None:
    assert (
        protocol_keyword(session(tls=tls, login=login), envelope("b@y", smtputf8=smtputf8), extended=extended)
        == keyword
    )


def test_the_field_is_one_folded_field_with_the_clocks_time() -> None:
    octets = make(session(tls="TLSv1.3 TLS_AES_128_GCM_SHA256", login="erp"), envelope("b@y"))
    message = BytesParser(policy=SMTP_POLICY).parsebytes(octets + b"\r\n")
    assert message.keys() == ["Received"]
    value = str(message["Received"]).replace("\t", " ")
    assert value.startswith("from c.example ([192.0.2.7]) by mx.bank.example (TLSv1.3 TLS_AES_128_GCM_SHA256)")
    assert "erp" not in value
    assert parsedate_to_datetime(value.rpartition(";")[2].strip()).timestamp() == 1_800_000_000


@pytest.mark.parametrize(
    ("client", "literal"),
    [("192.0.2.7", "[192.0.2.7]"), ("2001:db8::1", "[IPv6:2001:db8::1]"), ("fe80::1%eth0", "[IPv6:fe80::1]")],
)
def test_address_literals(client: str, literal: str) -> None:
    assert f"({literal})".encode() in make(session(client_ip=client), envelope("b@y"))


def test_for_is_told_of_one_recipient_alone_and_of_none_that_needs_utf8_without_it() -> None:
    assert b"for <b@y>;" in make(session(), envelope("b@y"))
    assert b"for " not in make(session(), envelope("b@y", "c@y"))
    assert b"for " not in make(session(), envelope("ü@y"))
    assert "for <ü@y>;".encode() in make(session(), envelope("ü@y", smtputf8=True))


@given(
    local=st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\'), max_size=40)
)
def test_no_recipient_breaks_the_field(local: str) -> None:
    octets = make(session(), envelope(f'"{local}"@y.example'))
    lines = octets.split(b"\r\n")
    assert lines[-1] == b""
    assert all(line.startswith(b"\t") for line in lines[1:-1])
    assert not re.search(rb"[\r\n]", octets.replace(b"\r\n", b""))
    assert all(len(line) <= 998 for line in lines)
