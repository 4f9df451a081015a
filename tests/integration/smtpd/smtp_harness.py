"""A server in the test's own loop, and a client that says exactly what it is told, octet by octet."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relay.core.clock import ManualClock
from relay.core.envelope import Side
from relay.smtpd.config import LimitsConfig, ListenerConfig, SmtpdConfig
from relay.smtpd.logins import Login, Logins, NoLogins
from relay.smtpd.names import Finding
from relay.smtpd.server import Server
from tests.contract.memory_intake import MemoryIntake

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
HOSTNAME = "mx.bank.example"


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def guarded() -> None:
            async with asyncio.timeout(60):
                await test(*args, **kwargs)

        asyncio.run(guarded())

    return run


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task does; the test's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 - any condition at all
        await asyncio.sleep(0.005)


@dataclass
class Reply:
    code: int
    lines: list[str]

    @property
    def status(self) -> str:
        return self.lines[-1].split(" ", 1)[0]

    def __str__(self) -> str:
        return f"{self.code} {' | '.join(self.lines)}"


class Talker:
    """A client without an opinion of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def reply(self) -> Reply:
        """Return the next whole reply. A closed connection is code 0."""
        lines: list[str] = []
        while True:
            line = await self.reader.readline()
            if not line:
                return Reply(0, lines or ["closed"])
            assert line.endswith(b"\r\n")
            lines.append(line[4:-2].decode())
            if line[3:4] == b" ":
                return Reply(int(line[:3]), lines)

    async def say(self, *commands: str | bytes) -> Reply:
        """Send commands one after the other, each after the reply to the last; return the last reply."""
        reply = Reply(0, ["nothing said"])
        for command in commands:
            octets = command.encode() if isinstance(command, str) else command
            await self.send(octets + b"\r\n")
            reply = await self.reply()
        return reply

    async def ehlo(self) -> Reply:
        return await self.say("EHLO client.bank.example")

    async def begin(self, to: str = "bob@partner.example") -> Reply:
        """Go up to the 354."""
        reply = await self.say("MAIL FROM:<alice@bank.example>", f"RCPT TO:<{to}>", "DATA")
        assert reply.code == 354, reply
        return reply

    async def start_tls(self) -> None:
        reply = await self.say("STARTTLS")
        assert reply.code == 220, reply
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        await self.writer.start_tls(context)
        # Python 3.11's StreamWriter forgets to tell the reader of its new transport.
        self.reader._transport = self.writer.transport  # type: ignore[attr-defined]

    async def at_eof(self) -> bool:
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Hang up with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@dataclass
class Running:
    server: Server
    intake: MemoryIntake
    port: int
    clock: ManualClock
    talkers: list[Talker] = field(default_factory=list)

    async def connect(self, *, greet: bool = True, host: str = "127.0.0.1") -> Talker:
        reader, writer = await asyncio.open_connection(host, self.port)
        talker = Talker(reader, writer)
        self.talkers.append(talker)
        if greet:
            assert (await talker.reply()).code == 220
            assert (await talker.ehlo()).code == 250
        return talker


@dataclass
class FixedNames:
    """DNS that says what the test says."""

    client: Finding = Finding.GOOD
    domains: dict[str, Finding] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def check_client(self, client_ip: str) -> Finding:
        self.asked.append(client_ip)
        return self.client

    async def check_domain(self, domain: str) -> Finding:
        self.asked.append(domain)
        return self.domains.get(domain, Finding.GOOD)


@dataclass
class FixedLogins:
    """One login; `fail` makes the check itself break."""

    name: str = "erp"
    password: str = "right horse"
    addresses: frozenset[str] = frozenset({"alice@bank.example"})
    fail: Exception | None = None
    calls: int = 0

    def verify(self, name: str, password: str) -> Login | None:
        self.calls += 1
        if self.fail is not None:
            raise self.fail
        return Login(self.name, self.addresses) if (name, password) == (self.name, self.password) else None


FAST = LimitsConfig(auth_failure_delay=0.0, stop_grace=5.0)


@contextlib.asynccontextmanager
async def running(
    intake: MemoryIntake | None = None,
    *,
    side: Side = Side.INSIDE,
    limits: LimitsConfig | None = None,
    logins: Logins | None = None,
    names: FixedNames | None = None,
    own_domains: frozenset[str] = frozenset({"bank.example"}),
    host: str = "127.0.0.1",
    postmaster: str = "",
    is_recipient: Callable[[str], bool] | None = None,
    **listener: Any,
) -> AsyncIterator[Running]:
    """Serve one listener on a free port and stop it at the end."""
    if side is Side.INSIDE:
        listener.setdefault("networks", LOOPBACK)
    config = SmtpdConfig(
        HOSTNAME,
        (ListenerConfig("test", host, 0, side, **listener),),
        own_domains,
        limits or FAST,
        postmaster,
        is_recipient,
    )
    clock = ManualClock()
    intake = intake or MemoryIntake()
    server = Server(config, intake, logins or NoLogins(), clock=clock, names=names or FixedNames())
    await server.start()
    run = Running(server, intake, server.addresses[0][1], clock)
    try:
        yield run
    finally:
        for talker in run.talkers:
            talker.writer.close()
        await server.stop()
        # Not wait_closed: in Python 3.11 it waits for ever for some that were reset under TLS.
        for talker in run.talkers:
            # Python before 3.11.4 has lost its TLS protocol by then and says so with AttributeError.
            with contextlib.suppress(AttributeError):
                talker.writer.transport.abort()
        await asyncio.sleep(0.01)


def limited(**values: Any) -> LimitsConfig:
    return replace(FAST, **values)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key; return both paths."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTNAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOSTNAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "cert.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path
