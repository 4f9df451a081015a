"""Whole dialogues over real sockets: order of commands, extensions, trace field, transaction state."""

from __future__ import annotations

import re

import pytest

from relay.core.envelope import BodyType, Recipient
from tests.integration.smtpd.smtp_harness import HOSTNAME, LOOPBACK, in_loop, limited, running


@in_loop
async def test_a_message_goes_through_octet_for_octet_behind_our_trace_field() -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin()
        body = b"Subject: x\r\nFrom: a\r\n\r\n..two dots\r\n.\t\r\nlast \xe4\xff\r\n"
        stuffed = b"Subject: x\r\nFrom: a\r\n\r\n...two dots\r\n..\t\r\nlast \xe4\xff\r\n.\r\n"
        await client.send(stuffed)
        reply = await client.reply()
        assert reply.code == 250
        stored = run.intake.only
        head, client_octets = stored.content.split(b"+0000\r\n", 1)
        assert client_octets == body
        assert reply.lines == [f"2.0.0 OK queued as {next(iter(run.intake.messages))}"]
        lines = (head + b"+0000").decode().split("\r\n\t")
        assert lines[0] == "Received: from client.bank.example ([127.0.0.1])"
        assert lines[1] == f"by {HOSTNAME}"
        assert lines[2] == f"with ESMTP id {next(iter(run.intake.messages))}"
        assert lines[3] == "for <bob@partner.example>;"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", lines[4])
        assert stored.session.client_ip == "127.0.0.1"
        assert stored.session.local_port == run.port
        assert stored.session.helo == "client.bank.example"
        assert (await client.say("QUIT")).code == 221


@in_loop
async def test_ehlo_comes_in_one_piece_and_names_the_extensions() -> None:
    async with running(limits=limited(recipients=7, messages_per_connection=9, message_octets=1000)) as run:
        client = await run.connect(greet=False)
        await client.reply()
        await client.send(b"EHLO x\r\n")
        packet = await client.reader.read(65536)
        assert packet.endswith(b"\r\n")
        lines = [line[4:].decode() for line in packet.split(b"\r\n")[:-1]]
        assert lines == [
            HOSTNAME,
            "PIPELINING",
            "SIZE 1000",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "DSN",
            "LIMITS MAILMAX=9 RCPTMAX=7",
            "HELP",
        ]


@in_loop
async def test_pipelined_commands_are_answered_in_one_packet() -> None:
    async with running() as run:
        client = await run.connect()
        await client.send(
            b"MAIL FROM:<a@bank.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<bad>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n"
        )
        packet = await client.reader.read(65536)
        assert [line[:3] for line in packet.split(b"\r\n")[:-1]] == [b"250", b"250", b"501", b"250", b"354"]
        # RFC 2920 3.1: the end of data may be followed by the next group.
        await client.send(b"x\r\n.\r\nMAIL FROM:<a@bank.example>\r\nRCPT TO:<d@x.example>\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        assert [(await client.reply()).code for _ in range(6)] == [250, 250, 250, 250, 250, 221]
        assert await client.at_eof()
        assert [r.forward_path for r in run.intake.only.envelope.recipients] == ["b@x.example", "c@x.example"]


@in_loop
async def test_dsn_parameters_are_kept_as_written() -> None:
    async with running() as run:
        client = await run.connect()
        reply = await client.say(
            "MAIL FROM:<alice@bank.example> RET=hdrs ENVID=AbC+2B9 BODY=8BITMIME",
            "RCPT TO:<bob@partner.example> NOTIFY=Success,delay ORCPT=rfc822;Bob+2BTag@Partner.example",
            "RCPT TO:<carol@partner.example> NOTIFY=NEVER",
            "RCPT TO:<dan@partner.example>",
            "DATA",
        )
        assert reply.code == 354
        await client.say("Subject: x\r\n\r\nx\r\n.")
        envelope = run.intake.only.envelope
        assert (envelope.dsn_ret, envelope.dsn_envid) == ("HDRS", "AbC+2B9")
        assert envelope.body_type is BodyType.EIGHT_BIT_MIME
        assert envelope.recipients == (
            Recipient("bob@partner.example", frozenset({"SUCCESS", "DELAY"}), "rfc822;Bob+2BTag@Partner.example"),
            Recipient("carol@partner.example", frozenset({"NEVER"})),
            Recipient("dan@partner.example"),
        )
        # Several recipients: the trace field names none of them (RFC 5321 7.6).
        assert b"for <" not in run.intake.only.content


@in_loop
async def test_smtputf8_must_be_asked_for() -> None:
    async with running() as run:
        client = await run.connect()
        assert (await client.say("MAIL FROM:<dörte@bank.example>")).status == "5.6.7"
        assert (await client.say("MAIL FROM:<dörte@bank.example> SMTPUTF8")).code == 250
        assert (await client.say("RCPT TO:<用户@例子.example>", "DATA")).code == 354
        assert (await client.say("Subject: ü\r\n\r\nx\r\n.")).code == 250
        stored = run.intake.only
        assert stored.envelope.smtputf8
        assert stored.envelope.reverse_path == "dörte@bank.example"
        assert "with UTF8SMTP id" in stored.content.decode()
        assert "for <用户@例子.example>" in stored.content.decode()
        await client.say("MAIL FROM:<a@bank.example>")
        assert (await client.say("RCPT TO:<用户@例子.example>")).status == "5.6.7"


@pytest.mark.parametrize(
    ("commands", "code", "status"),
    [
        (["MAIL FROM:<a@x>"], 503, "5.5.1"),
        (["EHLO x", "RCPT TO:<a@x>"], 503, "5.5.1"),
        (["EHLO x", "DATA"], 503, "5.5.1"),
        (["EHLO x", "MAIL FROM:<a@x>", "DATA"], 503, "5.5.1"),
        (["EHLO x", "MAIL FROM:<a@x>", "RCPT TO:<bad>", "DATA"], 554, "5.5.1"),
        (["EHLO x", "MAIL FROM:<a@x>", "MAIL FROM:<a@x>"], 503, "5.5.1"),
        (["EHLO x", "MAIL FROM:<a@x>", "RSET", "RCPT TO:<a@x>"], 503, "5.5.1"),
        (["EHLO x", "MAIL FROM:<a@x>", "EHLO x", "RCPT TO:<a@x>"], 503, "5.5.1"),
        (["HELO x", "MAIL FROM:<a@x> SIZE=1"], 501, "5.5.4"),
        (["EHLO"], 501, "5.5.4"),
        (["EHLO a b"], 501, "5.5.4"),
        (["EHLO x", "DATA now"], 501, "5.5.4"),
        (["EHLO x", "RSET now"], 501, "5.5.4"),
        (["EHLO x", "QUIT now"], 501, "5.5.4"),
        (["EHLO x", "VRFY a"], 252, "2.5.0"),
        (["EHLO x", "VRFY"], 501, "5.5.4"),
        (["EHLO x", "EXPN list"], 502, "5.5.1"),
        (["EHLO x", "STARTTLS"], 454, "4.7.0"),
        (["EHLO x", "AUTH PLAIN AGEAYg=="], 502, "5.5.1"),
        (["HELP"], 214, "2.0.0"),
        (["NOOP x y"], 250, "2.0.0"),
        (["WIZ"], 500, "5.5.1"),
        ([""], 500, "5.5.1"),
        (["EHLO x", "MAIL FROM:<a@x> SIZE=99999999999"], 552, "5.3.4"),
        (["EHLO x", "MAIL FROM:<a@x> X=1"], 555, "5.5.4"),
        (["EHLO x", "mail from:<a@x>"], 250, "2.1.0"),
        (["EHLO x", "MAIL FROM:<>"], 250, "2.1.0"),
        (["EHLO x", "MAIL FROM:<a@x>", "RCPT TO:<b@y>"], 250, "2.1.5"),
    ],
)
@in_loop
async def test_order_and_syntax(commands: list[str], code: int, status: str) -> None:
    async with running() as run:
        client = await run.connect(greet=False)
        await client.reply()
        reply = await client.say(*commands)
        assert (reply.code, reply.status) == (code, status), reply


@in_loop
async def test_helo_gets_a_plain_trace_keyword() -> None:
    async with running() as run:
        client = await run.connect(greet=False)
        await client.reply()
        assert (await client.say("HELO old.bank.example")).lines == [HOSTNAME]
        await client.begin()
        await client.say("x\r\n.")
        assert b"with SMTP id" in run.intake.only.content


@in_loop
async def test_the_same_path_twice_is_one_recipient() -> None:
    async with running() as run:
        client = await run.connect()
        await client.say("MAIL FROM:<a@x>", "RCPT TO:<b@y>", "RCPT TO:<b@y>", "RCPT TO:<B@y>", "DATA")
        await client.say("x\r\n.")
        assert [r.forward_path for r in run.intake.only.envelope.recipients] == ["b@y", "B@y"]


@in_loop
async def test_bare_postmaster_goes_where_it_is_set() -> None:
    async with running(postmaster="it@bank.example") as run:
        client = await run.connect()
        await client.begin("PostMaster")
        await client.say("x\r\n.")
        assert run.intake.only.envelope.recipients[0].forward_path == "it@bank.example"
    async with running() as run:
        client = await run.connect()
        await client.begin("postmaster")
        await client.say("x\r\n.")
        assert run.intake.only.envelope.recipients[0].forward_path == f"postmaster@{HOSTNAME}"


@in_loop
async def test_several_messages_in_one_connection_do_not_mix() -> None:
    async with running() as run:
        client = await run.connect()
        for number in range(5):
            assert (await client.say(f"MAIL FROM:<a{number}@x>", f"RCPT TO:<b{number}@y>", "DATA")).code == 354
            assert (await client.say(f"Subject: {number}\r\n\r\nx\r\n.")).code == 250
        found = [
            (m.envelope.reverse_path, m.envelope.recipients[0].forward_path, m.content.rpartition(b"Subject: ")[2])
            for m in run.intake.messages.values()
        ]
        assert found == [(f"a{n}@x", f"b{n}@y", f"{n}\r\n\r\nx\r\n".encode()) for n in range(5)]


@in_loop
async def test_ipv6_client() -> None:
    async with running(host="::1", networks=LOOPBACK) as run:
        client = await run.connect(host="::1")
        await client.begin()
        await client.say("x\r\n.")
        assert b"([IPv6:::1])" in run.intake.only.content


@in_loop
async def test_counters_tell_what_happened() -> None:
    async with running() as run:
        client = await run.connect()
        await client.begin()
        await client.say("Received: a\r\n\r\nx\r\n.")
        await client.begin()
        await client.say(b"bare \n lf\r\n.")
        await client.say("MAIL FROM:<a@x>", "RCPT TO:<bad>")
        stats = run.server.stats()
        assert (stats.connections_open, stats.connections_total) == (1, 1)
        assert (stats.messages_accepted, stats.messages_refused, stats.messages_open) == (1, 1, 0)
        assert (stats.recipients_accepted, stats.recipients_refused) == (2, 1)
        assert stats.octets_accepted == len(b"Received: a\r\n\r\nx\r\n")
        assert stats.last_accepted_ms == run.clock.now_ms()
        assert stats.faults == 0


@in_loop
async def test_many_received_fields_are_counted_and_not_refused() -> None:
    async with running(limits=limited(received_fields=3)) as run:
        client = await run.connect()
        await client.begin()
        assert (await client.say("Received: x\r\n" * 4 + "\r\nx\r\n.")).code == 250
        assert run.server.stats().suspected_loops == 1
