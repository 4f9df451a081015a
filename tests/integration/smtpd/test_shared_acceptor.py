"""Connections of one listening socket are spread among those that accept on it, and nobody waits for a stuck one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from relay.smtpd.acceptor import LoadBoard, SharedAcceptor, make_board
from tests.integration.smtpd.smtp_harness import in_loop, until


class Counting(asyncio.Protocol):
    """A peer that counts what it has open and tells the board."""

    def __init__(self, board: LoadBoard, opened: list[asyncio.BaseTransport]) -> None:
        self.board = board
        self.opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened.append(transport)
        self.board.tell(len(self.opened))

    def connection_lost(self, error: Exception | None) -> None:
        self.board.tell(len(self.opened))


@pytest.fixture
def boards() -> Iterator[list[LoadBoard]]:
    number = make_board(2)
    made = [LoadBoard(number, 2, slot) for slot in range(2)]
    yield made
    for board in made:
        board.close()
    os.close(number)


def listen() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0), backlog=64)
    sock.setblocking(False)
    return sock


def test_a_board_is_seen_by_the_others(boards: list[LoadBoard]) -> None:
    one, two = boards
    assert not one.has_more_than_others()
    one.tell(2)
    two.tell(1)
    assert one.has_more_than_others()
    assert not two.has_more_than_others()


async def spread(boards: list[LoadBoard], *, accepting: int, connections: int) -> list[int]:
    """Return how many connections each took."""
    sock = listen()
    opened: list[list[asyncio.BaseTransport]] = [[], []]

    def make(slot: int) -> Counting:
        return Counting(boards[slot], opened[slot])

    acceptors = [SharedAcceptor(sock.dup(), functools.partial(make, slot), boards[slot]) for slot in range(accepting)]
    clients = [socket.create_connection(sock.getsockname()) for _ in range(connections)]
    await until(lambda: sum(map(len, opened)) == connections)
    for acceptor in acceptors:
        acceptor.close()
        acceptor.close()
    for client in (*clients, sock):
        client.close()
    for transport in (*opened[0], *opened[1]):
        transport.close()
    await asyncio.sleep(0.01)
    return [len(one) for one in opened]


@in_loop
async def test_connections_that_come_at_once_are_spread(boards: list[LoadBoard]) -> None:
    one, two = await spread(boards, accepting=2, connections=40)
    assert abs(one - two) <= 2


@in_loop
async def test_nobody_waits_for_one_that_accepts_nothing(boards: list[LoadBoard]) -> None:
    assert await spread(boards, accepting=1, connections=40) == [40, 0]


@in_loop
async def test_without_file_numbers_it_goes_on_later(boards: list[LoadBoard]) -> None:
    sock = listen()
    opened: list[asyncio.BaseTransport] = []
    client = socket.socket()
    acceptor = SharedAcceptor(sock.dup(), lambda: Counting(boards[0], opened), boards[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        taken = []
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(sock.fileno()))
        client.connect(sock.getsockname())
        await asyncio.sleep(0.05)
        assert not opened
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: bool(opened))
    acceptor.close()
    client.close()
    sock.close()
    opened[0].close()
    await asyncio.sleep(0.01)
