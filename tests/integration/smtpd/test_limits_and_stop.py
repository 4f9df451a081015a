"""Size, recipients, connections, rate, time; and the stop."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket

import pytest

from relay.core.envelope import Side
from relay.core.errors import ConfigurationError
from relay.smtpd.config import ListenerConfig, SmtpdConfig
from relay.smtpd.logins import NoLogins
from relay.smtpd.server import Server, bind_listeners, serve
from tests.contract.memory_intake import MemoryIntake
from tests.integration.smtpd.smtp_harness import (
    FAST,
    LOOPBACK,
    FixedNames,
    Talker,
    in_loop,
    limited,
    running,
    until,
)

LINE = b"x" * 98 + b"\r\n"

# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lines", "code"), [(100, 250), (101, 552)])
@in_loop
async def test_the_size_limit_is_of_the_content_after_unstuffing(lines: int, code: int) -> None:
    async with running(limits=limited(message_octets=10_000)) as run:
        client = await run.connect()
        await client.begin()
        stuffed = (b"." + b"." + LINE[1:]) * lines
        await client.send(stuffed + b".\r\n")
        assert (await client.reply()).code == code
        assert len(run.intake.messages) == (1 if code == 250 else 0)
        assert (await client.say("NOOP")).code == 250


@in_loop
async def test_too_large_is_said_after_the_end_and_once_announced_at_once() -> None:
    async with running(limits=limited(message_octets=10_000, overrun_octets=100_000)) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<a@x> SIZE=10001")
        assert (reply.code, reply.status) == (552, "5.3.4")
        await client.begin()
        await client.send(LINE * 1000)
        reply = await client.say(".")
        assert (reply.code, reply.status) == (552, "5.3.4")
        assert run.intake.messages == {}


@in_loop
async def test_a_flood_without_end_is_cut_off() -> None:
    async with running(limits=limited(message_octets=10_000, overrun_octets=100_000)) as run:
        client = await run.connect()
        await client.begin()
        await client.send(LINE * 1200)
        reply = await client.reply()
        assert (reply.code, reply.status) == (421, "4.7.0")
        assert await client.at_eof()
        assert run.intake.messages == {}
        assert len(run.intake.aborted) == 1


@in_loop
async def test_memory_stays_flat_while_a_large_message_comes_in() -> None:
    class Sink(MemoryIntake):
        """Counts and keeps nothing."""

    class Nothing:
        message_id = "AAAAAAAAAAAAAAAAAAAAAA"
        taken = 0

        async def write(self, data: bytes) -> None:
            self.taken += len(data)

        async def commit(self) -> None: ...

        async def abort(self) -> None: ...

    sink, nothing = Sink(), Nothing()
    sink.open = lambda session, envelope: nothing  # type: ignore[method-assign, assignment, return-value]
    async with running(sink, limits=limited(message_octets=100_000_000)) as run:
        client = await run.connect()
        await client.begin()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        piece = LINE * 5000
        for _ in range(100):
            await client.send(piece)
        assert (await client.say(".")).code == 250
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert nothing.taken > 50_000_000
        assert grown < 20_000  # kilobytes, for 50 MB


@in_loop
async def test_no_room_is_said_before_the_content() -> None:
    async with running(MemoryIntake(room=5000)) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<a@x> SIZE=5000")
        assert (reply.code, reply.status) == (452, "4.3.1")
        assert (await client.say("MAIL FROM:<a@x> SIZE=4999")).code == 250


@in_loop
async def test_a_listener_has_limits_of_its_own() -> None:
    own = limited(message_octets=100, recipients=1, connections=1)
    config = SmtpdConfig(
        "mx.bank.example",
        (
            ListenerConfig("inside", "127.0.0.1", 0, Side.INSIDE, networks=LOOPBACK),
            ListenerConfig("outside", "127.0.0.1", 0, Side.OUTSIDE, limits=own),
        ),
        frozenset({"bank.example"}),
        FAST,
    )
    server = Server(config, MemoryIntake(), NoLogins(), names=FixedNames())
    await server.start()
    talkers = []
    for _, port in (*server.addresses, server.addresses[1]):
        talkers.append(Talker(*await asyncio.open_connection("127.0.0.1", port)))
    assert [(await talker.reply()).code for talker in talkers] == [220, 220, 421]
    assert f"SIZE {FAST.message_octets}" in (await talkers[0].ehlo()).lines
    assert "SIZE 100" in (await talkers[1].ehlo()).lines
    assert (await talkers[1].say("MAIL FROM:<b@x> SIZE=101")).code == 552
    assert (await talkers[1].say("MAIL FROM:<b@x>", "RCPT TO:<a@bank.example>", "RCPT TO:<c@bank.example>")).code == 452
    await server.stop()
    for talker in talkers:
        talker.writer.close()
        await talker.writer.wait_closed()


# --- numbers ----------------------------------------------------------------------------------------------------------


@in_loop
async def test_too_many_recipients_are_refused_for_now_and_the_others_kept() -> None:
    async with running(limits=limited(recipients=3)) as run:
        client = await run.connect()
        await client.say("MAIL FROM:<a@x>")
        replies = [await client.say(f"RCPT TO:<b{n}@y>") for n in range(5)]
        assert [r.code for r in replies] == [250, 250, 250, 452, 452]
        assert replies[3].status == "4.5.3"
        assert (await client.say("DATA")).code == 354
        assert (await client.say("x\r\n.")).code == 250
        assert len(run.intake.only.envelope.recipients) == 3


@in_loop
async def test_too_many_messages_in_one_connection() -> None:
    async with running(limits=limited(messages_per_connection=2)) as run:
        client = await run.connect()
        for _ in range(2):
            await client.begin()
            assert (await client.say("x\r\n.")).code == 250
        reply = await client.say("MAIL FROM:<a@x>")
        assert (reply.code, reply.status) == (421, "4.5.3")
        assert await client.at_eof()


@in_loop
async def test_too_many_errors_in_one_connection_and_a_good_message_forgives() -> None:
    async with running(limits=limited(errors_per_connection=5)) as run:
        client = await run.connect()
        for _ in range(4):
            assert (await client.say("WIZ")).code == 500
        await client.begin()
        assert (await client.say("x\r\n.")).code == 250
        for _ in range(4):
            assert (await client.say("WIZ")).code == 500
        assert (await client.say("WIZ")).code == 500
        assert (await client.reply()).code == 421
        assert await client.at_eof()


@in_loop
async def test_connection_caps_in_all_and_per_client() -> None:
    async with running(limits=limited(connections=5, connections_per_client=3)) as run:
        kept = [await run.connect() for _ in range(3)]
        refused = await run.connect(greet=False)
        reply = await refused.reply()
        assert (reply.code, reply.status) == (421, "4.7.0")
        assert await refused.at_eof()
        await kept[0].say("QUIT")
        await until(lambda: run.server.stats().connections_open == 2)
        await run.connect()
        assert run.server.stats().connections_refused == 1
    async with running(limits=limited(connections=2)) as run:
        for _ in range(2):
            await run.connect()
        refused = await run.connect(greet=False)
        assert (await refused.reply()).code == 421


@in_loop
async def test_messages_per_client_and_minute() -> None:
    async with running(limits=limited(messages_per_client_minute=3)) as run:
        client = await run.connect()
        codes = []
        for _ in range(4):
            reply = await client.say("MAIL FROM:<a@x>")
            codes.append((reply.code, reply.status))
            await client.say("RSET")
        assert codes == [(250, "2.1.0")] * 3 + [(450, "4.7.1")]


@in_loop
async def test_a_thousand_idle_connections_do_not_hinder_the_next() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    async with running(limits=limited(connections=1100, connections_per_client=1100)) as run:
        for start in range(0, 1000, 50):
            await asyncio.gather(*(run.connect(greet=start % 100 == 0) for _ in range(50)))
        client = await run.connect()
        await client.begin()
        assert (await client.say("x\r\n.")).code == 250
        await until(lambda: run.server.stats().connections_open == 1001)
    assert run.server.stats().connections_open == 0


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"NOO", b"MAIL FROM:<a@x>\r\nRCPT"])
@in_loop
async def test_a_silent_client_is_hung_up_on(sent: bytes) -> None:
    async with running(limits=limited(command_timeout=0.3)) as run:
        client = await run.connect(greet=False)
        await client.reply()
        await client.send(sent)
        reply = await client.reply()
        if sent.startswith(b"MAIL"):
            assert reply.code == 503
            reply = await client.reply()
        assert (reply.code, reply.status) == (421, "4.4.2")
        assert await client.at_eof()


@in_loop
async def test_a_drip_of_octets_does_not_keep_a_command_alive() -> None:
    async with running(limits=limited(command_timeout=0.3)) as run:
        client = await run.connect(greet=False)
        await client.reply()

        async def drip() -> None:
            while True:
                await client.send(b"N")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(drip())
        assert (await client.reply()).code == 421
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- the stop ---------------------------------------------------------------------------------------------------------


async def finish_message(client: Talker, gate: asyncio.Event) -> int:
    gate.set()
    return (await client.reply()).code


@in_loop
async def test_stop_tells_the_idle_finishes_what_runs_and_opens_nothing_new() -> None:
    intake = MemoryIntake()
    async with running(intake) as run:
        idle = await run.connect()
        between = await run.connect()
        await between.say("MAIL FROM:<a@x>", "RCPT TO:<b@y>")
        receiving = await run.connect()
        await receiving.begin()
        stopping = asyncio.create_task(run.server.stop())
        for client in (idle, between):
            reply = await client.reply()
            assert (reply.code, reply.status) == (421, "4.3.2")
            assert await client.at_eof()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", run.port)
        await receiving.send(LINE * 10)
        assert (await receiving.say(".")).code == 250
        assert (await receiving.reply()).code == 421
        assert await receiving.at_eof()
        await stopping
        assert len(intake.messages) == 1
        assert run.server.stats().stopping


@in_loop
async def test_stop_waits_for_a_commit_and_its_reply_still_goes_out() -> None:
    intake = MemoryIntake(commit_gate=asyncio.Event())
    assert intake.commit_gate is not None
    async with running(intake) as run:
        client = await run.connect()
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        await intake.commit_begun.wait()
        stopping = asyncio.create_task(run.server.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        assert await finish_message(client, intake.commit_gate) == 250
        await stopping
        assert len(intake.messages) == 1


@in_loop
async def test_content_that_does_not_end_within_the_grace_is_given_up_with_421() -> None:
    async with running(limits=limited(stop_grace=0.2)) as run:
        client = await run.connect()
        await client.begin()
        await client.send(LINE * 10)
        await run.server.stop()
        assert (await client.reply()).code == 421
        assert await client.at_eof()
        assert run.intake.messages == {}
        assert len(run.intake.aborted) == 1


@in_loop
async def test_serve_runs_until_the_event_and_tells_when_ready() -> None:
    config = SmtpdConfig(
        "mx.bank.example", (ListenerConfig("a", "127.0.0.1", 0, Side.INSIDE, networks=LOOPBACK),), limits=FAST
    )
    stop, ready = asyncio.Event(), asyncio.Event()
    servers: list[Server] = []

    def note(server: Server) -> None:
        servers.append(server)
        ready.set()

    sockets = bind_listeners(config)
    task = asyncio.create_task(serve(config, MemoryIntake(), NoLogins(), stop, sockets, note, names=FixedNames()))
    await ready.wait()
    assert servers[0].addresses == [sockets[0].getsockname()]
    _, writer = await asyncio.open_connection(*servers[0].addresses[0])
    writer.close()
    await writer.wait_closed()
    stop.set()
    await task


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = SmtpdConfig(
            "mx.bank.example",
            (
                ListenerConfig("free", "127.0.0.1", 0, Side.OUTSIDE),
                ListenerConfig("inside", "127.0.0.1", port, Side.INSIDE, networks=LOOPBACK),
            ),
        )
        with pytest.raises(ConfigurationError) as caught:
            bind_listeners(config)
        assert caught.value.key == "listeners.inside.port"
        assert f"port {port}" in caught.value.problem
        assert "taken" in caught.value.problem
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EADDRINUSE


def test_an_address_of_another_host_is_named() -> None:
    config = SmtpdConfig("mx.bank.example", (ListenerConfig("x", "192.0.2.77", 0, Side.OUTSIDE),))
    with pytest.raises(ConfigurationError, match=r"listeners\.x\.port.*address"):
        bind_listeners(config)
    config = SmtpdConfig("mx.bank.example", (ListenerConfig("x", "no.such.host.invalid", 0, Side.OUTSIDE),))
    with pytest.raises(ConfigurationError, match=r"listeners\.x\.host"):
        bind_listeners(config)


def test_a_second_server_cannot_share_the_port() -> None:
    config = SmtpdConfig("mx.bank.example", (ListenerConfig("x", "127.0.0.1", 0, Side.OUTSIDE),))
    (first,) = bind_listeners(config)
    with first:
        port = first.getsockname()[1]
        again = SmtpdConfig("mx.bank.example", (ListenerConfig("x", "127.0.0.1", port, Side.OUTSIDE),))
        with pytest.raises(ConfigurationError, match="taken"):
            bind_listeners(again)
