"""Each defect that was seen in aiosmtpd 1.4.6 as it comes (design: relay 1.3), shown to be gone."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from relay.core.errors import StorageError, StorageFullError
from tests.contract.memory_intake import MemoryIntake
from tests.integration.smtpd.smtp_harness import in_loop, limited, running, until

# --- 1: an exception became a permanent 500 and told internals --------------------------------------------------------


@pytest.mark.parametrize("place", ["fail_open", "fail_write", "fail_commit"])
@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 452, "4.3.1"),
        (StorageFullError("below the reserve"), 452, "4.3.1"),
        (OSError(errno.EROFS, "Read-only file system"), 451, "4.3.0"),
        (OSError(errno.EIO, "Input/output error"), 451, "4.3.0"),
        (StorageError("secret detail"), 451, "4.3.0"),
        (ValueError("secret detail"), 451, "4.3.0"),
    ],
)
@in_loop
async def test_1_a_fault_of_ours_is_temporary_and_tells_nothing(
    place: str, error: Exception, code: int, status: str
) -> None:
    intake = MemoryIntake()
    setattr(intake, place, error)
    async with running(intake) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<a@x>", "RCPT TO:<b@y>", "DATA")
        if place != "fail_open":
            assert reply.code == 354
            reply = await client.say("Subject: x\r\n\r\nx\r\n.")
        assert (reply.code, reply.status) == (code, status)
        assert not any(word in str(reply) for word in ("secret", "space left", "Read-only", "Error:", "OSError"))
        assert run.intake.messages == {}
        assert place == "fail_open" or len(run.intake.aborted) == 1
        assert run.server.stats().faults == 1
        # The connection stays, and once the trouble is over mail goes through.
        setattr(intake, place, None)
        await client.say("RSET")
        await client.begin()
        assert (await client.say("x\r\n.")).code == 250


@in_loop
async def test_1_disk_full_in_the_middle_of_a_large_message() -> None:
    intake = MemoryIntake()
    async with running(intake) as run:
        client = await run.connect()
        await client.begin()
        await client.send(b"x" * 998 + b"\r\n")
        for _ in range(3):
            await client.send((b"x" * 998 + b"\r\n") * 300)
        await until(lambda: bool(intake.writes))
        intake.fail_write = OSError(errno.ENOSPC, "full")
        await client.send((b"x" * 998 + b"\r\n") * 1000)
        reply = await client.say(".")
        assert (reply.code, reply.status) == (452, "4.3.1")
        assert len(intake.aborted) == 1
        assert (await client.say("NOOP")).code == 250


@in_loop
async def test_1_an_error_in_a_login_or_room_check_is_temporary() -> None:
    class Broken(MemoryIntake):
        def has_room(self, octets: int) -> bool:
            raise RuntimeError("secret detail")

    async with running(Broken()) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<a@x>")
        assert (reply.code, reply.status) == (451, "4.3.0")
        assert "secret" not in str(reply)


# --- 2: the timer was not reset by progress ---------------------------------------------------------------------------


@in_loop
async def test_2_a_sender_that_makes_progress_is_not_cut_off() -> None:
    async with running(limits=limited(chunk_timeout=1.0, chunk_octets=100, command_timeout=1.0)) as run:
        client = await run.connect()
        await client.begin()
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began < 1.5:
            await client.send(b"y" * 98 + b"\r\n")
            await client.send(b"y" * 98 + b"\r\n")
            await asyncio.sleep(0.05)
        assert (await client.say(".")).code == 250


@in_loop
async def test_2_a_sender_that_makes_none_is() -> None:
    async with running(limits=limited(chunk_timeout=0.3, chunk_octets=1000)) as run:
        client = await run.connect()
        await client.begin()

        async def drip() -> None:
            while True:
                await client.send(b"z")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(drip())
        reply = await client.reply()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (reply.code, reply.status) == (421, "4.4.2")
        await until(lambda: bool(run.intake.aborted))
        assert run.server.stats().messages_aborted == 1


@in_loop
async def test_2_a_slow_spool_is_not_the_senders_fault() -> None:
    intake = MemoryIntake(commit_gate=asyncio.Event())
    assert intake.commit_gate is not None
    async with running(intake, limits=limited(chunk_timeout=1.0, command_timeout=1.0)) as run:
        client = await run.connect()
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        await intake.commit_begun.wait()
        await asyncio.sleep(1.3)
        intake.commit_gate.set()
        assert (await client.reply()).code == 250


@in_loop
async def test_2_a_commit_without_end_is_answered_in_time() -> None:
    intake = MemoryIntake(commit_gate=asyncio.Event())
    assert intake.commit_gate is not None
    async with running(intake, limits=limited(commit_timeout=0.2)) as run:
        client = await run.connect()
        await client.begin()
        reply = await client.say("x\r\n.")
        assert (reply.code, reply.status) == (451, "4.3.0")
        assert run.server.stats().commits_late == 1
        # It is neither cancelled nor dropped: should it come true, the retry is a duplicate and nothing is lost.
        intake.commit_gate.set()
        await until(lambda: bool(intake.messages))
        assert intake.aborted == []


# --- 3: losing the connection cancelled a spool write; a half-close got no reply --------------------------------------


@in_loop
async def test_3_a_peer_that_vanishes_during_the_commit_does_not_stop_it() -> None:
    intake = MemoryIntake(commit_gate=asyncio.Event())
    assert intake.commit_gate is not None
    async with running(intake) as run:
        client = await run.connect()
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        await intake.commit_begun.wait()
        client.reset()
        await until(lambda: not run.server._service.channels)
        intake.commit_gate.set()
        await until(lambda: bool(intake.messages))
        assert intake.aborted == []
        assert intake.only.content.endswith(b"x\r\n")


@in_loop
async def test_3_not_even_a_cancelled_handler_drops_a_message_that_is_being_committed() -> None:
    intake = MemoryIntake(commit_gate=asyncio.Event())
    assert intake.commit_gate is not None
    async with running(intake) as run:
        client = await run.connect()
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        await intake.commit_begun.wait()
        (channel,) = run.server._service.channels
        assert channel._handler_coroutine is not None
        channel._handler_coroutine.cancel()
        await until(lambda: run.server.stats().connections_open == 0)
        intake.commit_gate.set()
        await until(lambda: bool(intake.messages))
        assert intake.aborted == []


@in_loop
async def test_3_a_half_close_after_the_dot_still_gets_its_reply() -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        client.writer.write_eof()
        assert (await client.reply()).code == 250
        assert await client.at_eof()
        assert len(run.intake.messages) == 1


@in_loop
async def test_3_a_whole_dialogue_sent_at_once_and_half_closed_is_answered() -> None:
    async with running() as run:
        client = await run.connect()
        await client.send(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 3 LAST\r\nx\r\nQUIT\r\n")
        client.writer.write_eof()
        assert [(await client.reply()).code for _ in range(4)] == [250, 250, 250, 221]
        assert len(run.intake.messages) == 1


@pytest.mark.parametrize("how", ["eof", "reset"])
@in_loop
async def test_3_half_a_message_is_dropped(how: str) -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin()
        await client.send(b"Subject: x\r\n\r\n" + b"half\r\n" * 50_000)
        if how == "eof":
            client.writer.write_eof()
        else:
            client.reset()
        await until(lambda: bool(run.intake.aborted))
        assert run.intake.messages == {}
        assert run.intake.commits_begun == 0


# --- 4: addresses were repaired ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        b'<a"b"c@x>',
        b"<a b@x>",
        b"<a(x)@x>",
        b"<a\r@x>",
        b"<a\0@x>",
        b"<a\x01@x>",
        b"<a@x>y>",
        b"<a@x",
        b"a@x",
        b"<\xff@x>",
        b"<a@[IPv6:::1%>x]>",
        b"<@r:a@x>",
    ],
)
@pytest.mark.parametrize("command", [b"MAIL FROM:", b"RCPT TO:"])
@in_loop
async def test_4_a_malformed_address_is_refused_not_repaired(command: bytes, path: bytes) -> None:
    async with running() as run:
        client = await run.connect()
        if command.startswith(b"RCPT"):
            await client.say("MAIL FROM:<a@x>")
        reply = await client.say(command + path)
        assert 500 <= reply.code <= 553
        assert (await client.say("DATA")).code in (503, 554)


@in_loop
async def test_4_an_encoded_word_is_an_ordinary_local_part() -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin("=?utf-8?q?evil=40evil.test=3e?=@x")
        await client.say("x\r\n.")
        assert run.intake.only.envelope.recipients[0].forward_path == "=?utf-8?q?evil=40evil.test=3e?=@x"


# --- 5: command limits were shared by all connections -----------------------------------------------------------------


@in_loop
async def test_5_a_long_command_is_valid_whoever_else_connects() -> None:
    async with running() as run:
        client = await run.connect()
        address = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}"
        long_mail = f"MAIL FROM:<{address}> SIZE=1000 BODY=8BITMIME RET=FULL ENVID={'e' * 100}"
        assert (await client.say(long_mail)).code == 250
        await client.say("RSET")
        other = await run.connect(greet=False)
        await other.reply()
        assert (await client.say(long_mail)).code == 250
        assert (await client.say(f"RCPT TO:<b@y> ORCPT=rfc822;{'f' * 450}")).code == 250


@in_loop
async def test_5_a_line_beyond_the_limit_is_refused_and_forgotten() -> None:
    async with running() as run:
        client = await run.connect()
        assert (await client.say("NOOP " + "x" * 2040)).code == 250
        assert (await client.say("NOOP " + "x" * 2050)).code == 500
        assert (await client.say("NOOP " + "x" * 20_000)).code == 500
        assert (await client.say("NOOP")).code == 250
        await client.send(b"x" * 100_000)
        reply = await client.reply()
        assert (reply.code, reply.status) == (421, "4.7.0")
        assert await client.at_eof()


# --- 6: lines over 1001 octets were refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("length", [998, 999, 1001, 1200, 65_535, 65_536, 300_000, 2_000_000])
@in_loop
async def test_6_lines_of_any_length_are_taken(length: int) -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin()
        line = b"." + b"x" * (length - 1) + b"\r\n"
        await client.send(b"." + line + b".\r\n")
        assert (await client.reply()).code == 250
        assert run.intake.only.content.endswith(b"+0000\r\n" + line)


# --- 7: bare CR and LF were kept and handed on; a bare LF ended commands ----------------------------------------------

ENDINGS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n",
    "LFCR.LFCR": b"\n\r.\n\r",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "LFLF.LFLF": b"\n\n.\n\n",
}


@pytest.mark.parametrize("name", ENDINGS)
@in_loop
async def test_7_a_malformed_end_of_data_ends_nothing_and_the_message_is_refused(name: str) -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin()
        smuggled = b"MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nSubject: second\r\n\r\nx\r\n"
        await client.send(b"Subject: first\r\n\r\nx" + ENDINGS[name] + smuggled + b".\r\n")
        reply = await client.reply()
        assert (reply.code, reply.status) == (550, "5.6.0")
        assert run.intake.messages == {}
        assert (await client.say("NOOP")).code == 250
        await client.begin()
        assert (await client.say("fine\r\n.")).code == 250
        assert len(run.intake.messages) == 1


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"a\rb\r\n", b"\n", b"a\r\r\n", b"Subject: x\n\nx\r\n"])
@in_loop
async def test_7_a_bare_cr_or_lf_anywhere_is_refused(octets: bytes) -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin()
        reply = await client.say(b"Subject: x\r\n\r\n" + octets + b"\r\n.")
        assert (reply.code, reply.status) == (550, "5.6.0")
        reply = await client.say(
            "MAIL FROM:<a@x>", "RCPT TO:<b@y>", f"BDAT {len(octets) + 1} LAST\r\n".encode() + octets[:-1] + b"x"
        )
        assert run.intake.messages == {}


@in_loop
async def test_7_a_bare_lf_does_not_end_a_command() -> None:
    async with running() as run:
        client = await run.connect()
        await client.send(b"NOOP\nMAIL FROM:<a@x>\nNOOP\r\n")
        assert [(await client.reply()).code for _ in range(3)] == [500, 500, 250]
        assert (await client.say("RCPT TO:<b@y>")).code == 503


# --- 8: memory, caps, packets (see also test_limits) ------------------------------------------------------------------


@in_loop
async def test_8_a_large_message_is_streamed_in_pieces() -> None:
    intake = MemoryIntake()
    async with running(intake) as run:
        client = await run.connect()
        await client.begin()
        for _ in range(20):
            await client.send((b"x" * 1022 + b"\r\n") * 512)
        assert (await client.say(".")).code == 250
        assert len(intake.writes) > 20
        assert max(intake.writes) <= 512 * 1024


@pytest.mark.parametrize("command", [b"EHLO y\r\n", b"DATA\r\n", b"HELO y\r\n"])
@in_loop
async def test_8_talking_ahead_of_a_reply_that_must_be_waited_for_ends_the_connection(command: bytes) -> None:
    async with running() as run:
        client = await run.connect()
        await client.say("MAIL FROM:<a@x>", "RCPT TO:<b@y>")
        await client.send(command + b"Subject: ahead\r\n\r\nx\r\n.\r\n")
        reply = await client.reply()
        assert (reply.code, reply.status) == (554, "5.5.0")
        assert await client.at_eof()
        assert run.intake.messages == {}


@in_loop
async def test_the_frameworks_logger_never_writes_message_lines(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("mail.log").setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="letterlock")
    async with running() as run:
        assert logging.getLogger("mail.log").level == logging.WARNING
        client = await run.connect()
        await client.begin()
        await client.say("Subject: geheim\r\n\r\nvertraulich\r\n.")
    assert "geheim" not in caplog.text
    assert "vertraulich" not in caplog.text
    for record in caplog.records:
        assert "geheim" not in str(record.__dict__)
