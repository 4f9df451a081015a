"""A whole connection without a network: whatever is sent, in whatever pieces, the replies are well formed, nothing is
stored that was not a right message, and no fault is ours."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.clock import ManualClock
from relay.core.envelope import Side
from relay.smtpd.channel import Channel
from relay.smtpd.config import LimitsConfig, ListenerConfig, SmtpdConfig
from relay.smtpd.logins import NoLogins
from relay.smtpd.names import Finding
from relay.smtpd.service import Endpoint, Service, make_endpoint, make_service
from tests.contract.memory_intake import MemoryIntake


class NoNames:
    async def check_client(self, client_ip: str) -> Finding:
        return Finding.GOOD

    async def check_domain(self, domain: str) -> Finding:
        return Finding.GOOD


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.protocol: Channel | None = None
        self._is_closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.7", 1234), "sockname": ("192.0.2.1", 25)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._is_closing

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            assert self.protocol is not None
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


def make(intake: MemoryIntake) -> tuple[Service, Endpoint]:
    listener = ListenerConfig("fuzz", "127.0.0.1", 0, Side.OUTSIDE)
    config = SmtpdConfig(
        "mx.bank.example",
        (listener,),
        frozenset({"bank.example"}),
        LimitsConfig(message_octets=2000, overrun_octets=2000, errors_per_connection=1000, write_octets=64),
    )
    return make_service(config, intake, NoLogins(), ManualClock()), make_endpoint(config, listener, NoNames())


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


async def converse(groups: list[list[bytes]]) -> tuple[bytes, MemoryIntake, Service]:
    """Send each group in its pieces, waiting for the server to go idle after each group; then close."""
    intake = MemoryIntake()
    service, endpoint = make(intake)
    channel, wire = Channel(service, endpoint), Wire()
    wire.protocol = channel
    channel.connection_made(wire)
    await settle()
    for group in groups:
        for piece in group:
            if not wire.is_closing():
                channel.data_received(piece)
            await asyncio.sleep(0)
        await settle()
    if not wire.is_closing():
        channel.eof_received()
    assert channel._handler_coroutine is not None
    await channel._handler_coroutine
    await settle()
    return bytes(wire.written), intake, service


def cut(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(octets), *(c % (len(octets) + 1) for c in cuts)})
    return [octets[a:b] for a, b in itertools.pairwise(places)]


def check(written: bytes, intake: MemoryIntake, service: Service) -> None:
    assert re.fullmatch(rb"(?:[2345]\d\d[ -][\x20-\x7e]*\r\n)+", written)
    assert service.stats.faults == 0
    assert service.stats.messages_open == 0
    assert service.stats.connections_open == 0
    assert written.count(b" OK queued as ") == len(intake.messages)
    for stored in intake.messages.values():
        content = stored.content
        assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
        assert stored.envelope.recipients
        assert all(r.forward_path.lower().endswith("bank.example") for r in stored.envelope.recipients)


_COMMANDS = st.sampled_from(
    [
        b"EHLO x\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<a@x>\r\n",
        b"MAIL FROM:<>\r\n",
        b"MAIL FROM:<a@x> SIZE=3000\r\n",
        b"RCPT TO:<b@bank.example>\r\n",
        b"RCPT TO:<postmaster>\r\n",
        b"RCPT TO:<b@elsewhere.example>\r\n",
        b"DATA\r\n",
        b"Subject: x\r\n\r\nbody\r\n.\r\n",
        b"bare\nlf\r\n.\r\n",
        b".\r\n",
        b"\r\n.\n",
        b"BDAT 5\r\nab\r\nc",
        b"BDAT 3 LAST\r\n\r\nx",
        b"BDAT 3\r\nx\ny",
        b"BDAT 0 LAST\r\n",
        b"BDAT x\r\n",
        b"BDAT 2500\r\n" + b"y" * 2500,
        b"z" * 3000 + b"\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"QUIT\r\n",
        b"\xff\xfe\r\n",
        b"\0\r\n",
        b"\n",
        b"\r",
        b"\r\n",
    ]
)
_START = [b"EHLO x\r\n", b"MAIL FROM:<a@x>\r\nRCPT TO:<b@bank.example>\r\n"]
_CUTS = st.lists(st.integers(0, 4000), max_size=6)


@given(
    pieces=st.lists(st.one_of(_COMMANDS, st.binary(max_size=20)), max_size=14),
    started=st.booleans(),
    cuts=_CUTS,
    together=st.booleans(),
)
@settings(max_examples=250, deadline=None)
def test_anything_in_any_pieces(pieces: list[bytes], started: bool, cuts: list[int], together: bool) -> None:
    wires = (_START if started else []) + ([b"".join(pieces)] if together else pieces)
    written, intake, service = asyncio.run(converse([cut(wire, cuts) for wire in wires]))
    check(written, intake, service)


@given(pieces=st.lists(_COMMANDS, max_size=10), cuts=_CUTS)
@settings(max_examples=150, deadline=None)
def test_how_the_network_cuts_a_command_changes_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    wires = [*_START, *pieces]
    whole = asyncio.run(converse([[wire] for wire in wires]))
    torn = asyncio.run(converse([cut(wire, cuts) for wire in wires]))

    def without_ids(written: bytes) -> bytes:
        return re.sub(rb"queued as \S+", b"queued", written)

    assert without_ids(torn[0]) == without_ids(whole[0])
    assert [m.content.partition(b"+0000\r\n")[2] for m in torn[1].messages.values()] == [
        m.content.partition(b"+0000\r\n")[2] for m in whole[1].messages.values()
    ]
