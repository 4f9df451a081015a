"""CHUNKING (RFC 3030): exact octets, announced octets always consumed, errors that do not turn into bounces."""

from __future__ import annotations

import errno

import pytest

from tests.contract.memory_intake import MemoryIntake
from tests.integration.smtpd.smtp_harness import in_loop, limited, running

BEGIN = ("MAIL FROM:<a@x>", "RCPT TO:<b@y>")


def bdat(octets: bytes, *, last: bool = False) -> bytes:
    return f"BDAT {len(octets)}{' LAST' if last else ''}\r\n".encode() + octets


@in_loop
async def test_chunks_make_one_message_octet_for_octet() -> None:
    async with running() as run:
        client = await run.connect()
        await client.say(*BEGIN)
        pieces = [b"Subject: x\r", b"\n\r\n.\r\n..\r\n", b"", b"QUIT\r\n" * 50_000]
        await client.send(b"".join(bdat(piece) for piece in pieces))
        assert [(await client.reply()).lines for _ in pieces] == [[f"2.0.0 {len(p)} octets received"] for p in pieces]
        await client.send(bdat(b"no line end", last=True))
        assert (await client.reply()).code == 250
        assert run.intake.only.content.endswith(b"+0000\r\n" + b"".join(pieces) + b"no line end")
        await client.say(*BEGIN)
        await client.send(bdat(b"second\r\n") + b"BDAT 0 LAST\r\n")
        assert [(await client.reply()).code for _ in range(2)] == [250, 250]
        assert len(run.intake.messages) == 2


@in_loop
async def test_a_whole_transaction_in_one_packet() -> None:
    async with running() as run:
        client = await run.connect()
        await client.send("\r\n".join(BEGIN).encode() + b"\r\n" + bdat(b"x\r\n", last=True) + b"QUIT\r\n")
        assert [(await client.reply()).code for _ in range(4)] == [250, 250, 250, 221]


@pytest.mark.parametrize(
    ("before", "code"),
    [([], 503), (["MAIL FROM:<a@x>"], 503), (["MAIL FROM:<a@x>", "RCPT TO:<bad>"], 554)],
)
@in_loop
async def test_octets_of_a_refused_chunk_are_not_taken_for_commands(before: list[str], code: int) -> None:
    async with running() as run:
        client = await run.connect()
        await client.say("NOOP", *before)
        await client.send(bdat(b"MAIL FROM:<evil@x>\r\nRCPT TO:<b@y>\r\n", last=True) + b"NOOP\r\n")
        assert [(await client.reply()).code for _ in range(2)] == [code, 250]


@in_loop
async def test_a_bad_bdat_closes() -> None:
    async with running() as run:
        client = await run.connect()
        await client.say(*BEGIN)
        await client.send(b"BDAT many\r\nMAIL FROM:<evil@x>\r\n")
        assert (await client.reply()).code == 501
        assert await client.at_eof()


@in_loop
async def test_data_and_other_recipients_do_not_mix_with_chunks() -> None:
    async with running() as run:
        client = await run.connect()
        await client.say(*BEGIN)
        assert (await client.say(bdat(b"x\r\n")[:-2])).code == 250
        for command in ("DATA", "RCPT TO:<c@y>", "MAIL FROM:<a@x>"):
            assert (await client.say(command)).code == 503
        assert (await client.say("NOOP")).code == 250
        assert (await client.say("BDAT 0 LAST")).code == 250
        assert run.intake.only.content.endswith(b"x\r\n")


@in_loop
async def test_rset_drops_the_chunks() -> None:
    async with running() as run:
        client = await run.connect()
        await client.say(*BEGIN)
        await client.say(bdat(b"x\r\n")[:-2])
        assert (await client.say("RSET")).code == 250
        assert len(run.intake.aborted) == 1
        assert (await client.say("BDAT 0 LAST")).code == 503
        await client.say(*BEGIN)
        assert (await client.say("BDAT 0 LAST")).code == 250


@pytest.mark.parametrize("pieces", [[b"a\nb"], [b"a\r", b"b"], [b"a\r"], [b"\n"]])
@in_loop
async def test_bare_cr_or_lf_is_refused_also_across_chunks(pieces: list[bytes]) -> None:
    async with running() as run:
        client = await run.connect()
        await client.say(*BEGIN)
        for piece in pieces:
            await client.send(bdat(piece))
            await client.reply()
        reply = await client.say("BDAT 0 LAST")
        assert (reply.code, reply.status) == (550, "5.6.0")
        assert run.intake.messages == {}
        await client.say(*BEGIN)
        assert (await client.say("BDAT 0 LAST")).code == 250


@pytest.mark.parametrize("place", ["fail_open", "fail_write"])
@in_loop
async def test_a_fault_of_ours_is_said_again_for_each_pipelined_chunk(place: str) -> None:
    intake = MemoryIntake()
    setattr(intake, place, OSError(errno.ENOSPC, "x"))
    async with running(intake, limits=limited(write_octets=10)) as run:
        client = await run.connect()
        await client.say(*BEGIN)
        await client.send(bdat(b"0123456789\r\n") + bdat(b"more\r\n") + bdat(b"", last=True))
        # A 503 among these could be taken for the verdict and bounce the message.
        assert [(await client.reply()).code for _ in range(3)] == [452, 452, 452]
        setattr(intake, place, None)
        await client.say(*BEGIN)
        assert (await client.say("BDAT 0 LAST")).code == 250


@in_loop
async def test_too_large_over_several_chunks() -> None:
    async with running(limits=limited(message_octets=10_000, overrun_octets=5000)) as run:
        client = await run.connect()
        await client.say(*BEGIN)
        await client.send(bdat(b"x" * 9000))
        assert (await client.reply()).code == 250
        await client.send(bdat(b"y" * 1001) + bdat(b"z" * 10, last=True))
        assert [(await client.reply()).status for _ in range(2)] == ["5.3.4", "5.3.4"]
        assert run.intake.messages == {}
        await client.say("BDAT 15001 LAST")
        await client.say(*BEGIN)
        assert await client.at_eof()


@in_loop
async def test_ten_gigabytes_announced_are_not_waited_for() -> None:
    async with running() as run:
        client = await run.connect()
        await client.say(*BEGIN)
        reply = await client.say("BDAT 10000000000 LAST")
        assert (reply.code, reply.status) == (421, "4.7.0")
        assert await client.at_eof()


@in_loop
async def test_the_end_of_a_connection_inside_a_chunk_stores_nothing() -> None:
    async with running() as run:
        client = await run.connect()
        await client.say(*BEGIN)
        await client.send(b"BDAT 100 LAST\r\nonly this")
        client.writer.write_eof()
        assert await client.at_eof()
        assert run.intake.messages == {}
        assert len(run.intake.aborted) == 1
