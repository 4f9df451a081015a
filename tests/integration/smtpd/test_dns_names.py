"""DNS checks against a DNS server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from relay.smtpd.names import DnsNames, Finding
from tests.integration.smtpd.smtp_harness import in_loop

ZONE = {
    ("good.example.", "MX"): ["10 mx.good.example."],
    ("onlya.example.", "A"): ["192.0.2.1"],
    ("only6.example.", "AAAA"): ["2001:db8::1"],
    ("null.example.", "MX"): ["0 ."],
    ("7.2.0.192.in-addr.arpa.", "PTR"): ["client.good.example."],
    ("client.good.example.", "A"): ["192.0.2.9", "192.0.2.7"],
    ("8.2.0.192.in-addr.arpa.", "PTR"): ["forged.good.example."],
    ("forged.good.example.", "A"): ["192.0.2.99"],
    ("10.2.0.192.in-addr.arpa.", "PTR"): ["broken.example."],
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", "PTR"): ["six.example."],
    ("six.example.", "AAAA"): ["2001:db8::1"],
}


class NameServer(asyncio.DatagramProtocol):
    """Answers from the zone; names in broken.example fail, names in silent.example get no answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        if name.endswith("silent.example."):
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name.endswith("broken.example."):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in ZONE:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *ZONE[name, kind]))
        elif not any(known == name for known, _ in ZONE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        assert self.transport is not None
        self.transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def names(seconds: float = 5.0) -> AsyncIterator[tuple[DnsNames, NameServer]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", 0))
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    try:
        yield DnsNames(seconds, resolver), server
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("domain", "finding"),
    [
        ("good.example", Finding.GOOD),
        ("onlya.example", Finding.GOOD),
        ("only6.example", Finding.GOOD),
        ("null.example", Finding.NULL_MX),
        ("missing.example", Finding.MISSING),
        ("client.good.example", Finding.GOOD),
        ("broken.example", Finding.UNKNOWN),
    ],
)
@in_loop
async def test_recipient_domains(domain: str, finding: Finding) -> None:
    async with names() as (checker, _):
        assert await checker.check_domain(domain) is finding


@pytest.mark.parametrize(
    ("client", "finding"),
    [
        ("192.0.2.7", Finding.GOOD),
        ("2001:db8::1", Finding.GOOD),
        ("192.0.2.8", Finding.MISSING),
        ("192.0.2.99", Finding.MISSING),
        ("192.0.2.10", Finding.UNKNOWN),
    ],
)
@in_loop
async def test_clients(client: str, finding: Finding) -> None:
    async with names() as (checker, _):
        assert await checker.check_client(client) is finding


@in_loop
async def test_what_is_known_is_not_asked_again_and_what_failed_is() -> None:
    async with names() as (checker, server):
        for _ in range(3):
            await checker.check_domain("good.example")
        assert server.asked == ["good.example. MX"]
        await checker.check_domain("broken.example")
        before = len(server.asked)
        await checker.check_domain("broken.example")
        assert len(server.asked) > before


@in_loop
async def test_a_silent_name_server_delays_and_never_bounces() -> None:
    async with names(seconds=0.2) as (checker, _):
        assert await checker.check_domain("silent.example") is Finding.UNKNOWN
