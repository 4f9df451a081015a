"""Many clients that misbehave at random: whatever got its 250 is stored whole, and nothing stays open.

The seed is in the name of the failing test; set LETTERLOCK_SEED to run another.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import re
import socket
from pathlib import Path

import pytest

from relay.core.envelope import Envelope, SessionInfo
from relay.core.errors import StorageError, StorageFullError
from tests.contract.memory_intake import MemoryIntake, MemoryMessage
from tests.integration.smtpd.smtp_harness import Running, Talker, in_loop, limited, make_certificate, running, until

SEED = int(os.environ.get("LETTERLOCK_SEED", "20261120"))


class ShakyIntake(MemoryIntake):
    """Slow at random, failing at random, at any of its three calls."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice = dice

    def open(self, session: SessionInfo, envelope: Envelope) -> MemoryMessage:
        if self.dice.random() < 0.03:
            raise StorageError("open")
        return ShakyMessage(self, session, envelope)


class ShakyMessage(MemoryMessage):
    async def _shake(self, what: str) -> None:
        dice = self._intake.dice  # type: ignore[attr-defined]
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.02)
        if dice.random() < 0.03:
            raise StorageFullError(what)

    async def write(self, data: bytes) -> None:
        await self._shake("write")
        await super().write(data)

    async def commit(self) -> None:
        await self._shake("commit")
        await super().commit()


def make_body(dice: random.Random) -> bytes:
    lines = [dice.choice([b".", b"..", b"", b"x" * dice.randrange(3000), b".dot"]) for _ in range(dice.randrange(60))]
    body = b"Subject: x\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)
    return b"X-Hash: " + hashlib.sha256(body).hexdigest().encode() + b"\r\n" + body


def is_whole(content: bytes) -> bool:
    found = re.search(rb"\r\nX-Hash: ([0-9a-f]{64})\r\n", content)
    return found is not None and hashlib.sha256(content[found.end() :]).hexdigest().encode() == found[1]


async def send_torn(client: Talker, octets: bytes, dice: random.Random) -> None:
    while octets:
        count = dice.choice([1, 7, 100, 5000, len(octets)])
        client.writer.write(octets[:count])
        octets = octets[count:]
        if dice.random() < 0.2:
            await asyncio.sleep(0)
    await client.writer.drain()


async def one_message(client: Talker, dice: random.Random, acknowledged: list[str]) -> None:
    body = make_body(dice)
    if (await client.say("MAIL FROM:<a@bank.example>", "RCPT TO:<b@partner.example>")).code != 250:
        return
    if dice.random() < 0.4:
        at = dice.randrange(len(body))
        wire = b"BDAT %d\r\n" % at + body[:at] + b"BDAT %d LAST\r\n" % (len(body) - at) + body[at:]
        expected = 2
    else:
        if (await client.say("DATA")).code != 354:
            await client.say("RSET")
            return
        wire = body.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        expected = 1
    ending = dice.random()
    if ending < 0.12:
        await send_torn(client, wire[: dice.randrange(len(wire))], dice)
        client.reset()
        raise ConnectionResetError
    await send_torn(client, wire, dice)
    if ending < 0.2:
        client.reset()
        raise ConnectionResetError
    closes_half = ending < 0.3 and client.writer.can_write_eof()
    if closes_half:
        client.writer.write_eof()
    for _ in range(expected):
        reply = await client.reply()
        if reply.code == 250 and "queued as" in reply.lines[0]:
            acknowledged.append(reply.lines[0].rpartition(" ")[2])
    if closes_half:
        raise ConnectionResetError


async def one_client(run: Running, seed: int, acknowledged: list[str]) -> None:
    dice = random.Random(seed)
    for _ in range(3):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            client = await run.connect()
            if dice.random() < 0.3:
                await client.start_tls()
                await client.ehlo()
            for _ in range(dice.randrange(1, 5)):
                await one_message(client, dice, acknowledged)
            if dice.random() < 0.5:
                await client.say("QUIT")
            client.writer.close()


async def storm(folder: Path, seed: int, clients: int) -> None:
    intake = ShakyIntake(random.Random(seed))
    acknowledged: list[str] = []
    limits = limited(write_octets=4096, connections=5000, connections_per_client=5000)
    async with running(intake, limits=limits, starttls=make_certificate(folder)) as run:
        await asyncio.gather(*(one_client(run, seed * 1000 + number, acknowledged) for number in range(clients)))
        for talker in run.talkers:
            talker.writer.close()
        await until(lambda: run.server.stats().connections_open == 0)
        stats = run.server.stats()
    assert stats.messages_open == 0
    assert len(acknowledged) > clients
    assert len(acknowledged) == len(set(acknowledged))
    assert set(acknowledged) <= set(intake.messages)
    assert stats.messages_accepted == len(intake.messages)
    assert all(is_whole(stored.content) for stored in intake.messages.values())
    assert not set(intake.aborted) & set(intake.messages)
    assert stats.messages_aborted > 0
    assert stats.messages_failed > 0


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
@in_loop
async def test_what_was_acknowledged_is_stored_whole(tmp_path: Path, seed: int) -> None:
    await storm(tmp_path, seed, clients=25)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEED, SEED + 30))
@in_loop
async def test_what_was_acknowledged_is_stored_whole_for_long(tmp_path: Path, seed: int) -> None:
    await storm(tmp_path, seed, clients=60)


def test_the_kernel_resets_as_the_tests_think() -> None:
    """SO_LINGER of zero seconds is what makes `reset` a reset."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.close()
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
