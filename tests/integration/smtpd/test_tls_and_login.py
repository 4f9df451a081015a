"""STARTTLS with injection, AUTH with its throttle, and what a login may do."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from pathlib import Path

import pytest

from relay.core.envelope import Side
from relay.core.errors import ConfigurationError, StorageError
from relay.smtpd.config import ListenerConfig
from relay.smtpd.server import make_tls_context
from tests.integration.smtpd.smtp_harness import (
    FixedLogins,
    Talker,
    in_loop,
    limited,
    make_certificate,
    running,
    until,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


PLAIN = f"AUTH PLAIN {b64(chr(0) + 'erp' + chr(0) + 'right horse')}"
WRONG = f"AUTH PLAIN {b64(chr(0) + 'erp' + chr(0) + 'wrong horse')}"

# --- STARTTLS ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_message_under_tls(certificate: tuple[Path, Path]) -> None:
    async with running(starttls=certificate) as run:
        client = await run.connect()
        assert "STARTTLS" in (await client.ehlo()).lines
        await client.start_tls()
        # RFC 3207 4.2: what was said before is forgotten.
        assert (await client.say("MAIL FROM:<a@x>")).code == 503
        assert "STARTTLS" not in (await client.ehlo()).lines
        assert (await client.say("STARTTLS")).code == 503
        await client.begin()
        big = (b"x" * 998 + b"\r\n") * 2000
        await client.send(big + b".\r\n")
        assert (await client.reply()).code == 250
        stored = run.intake.only
        assert stored.session.tls is not None
        assert stored.session.tls.startswith("TLSv1.3 TLS_")
        assert b"with ESMTPS id" in stored.content
        assert f"({stored.session.tls})".encode() in stored.content
        assert stored.content.endswith(big)
        assert (await client.say("QUIT")).code == 221
        assert await client.at_eof()


@in_loop
async def test_commands_behind_starttls_are_not_run_under_tls(certificate: tuple[Path, Path]) -> None:
    async with running(starttls=certificate) as run:
        client = await run.connect()
        await client.send(b"STARTTLS\r\nEHLO injected\r\nMAIL FROM:<evil@x>\r\n")
        reply = await client.reply()
        assert (reply.code, reply.status) == (554, "5.5.0")
        assert await client.at_eof()


@in_loop
async def test_a_transaction_begun_in_clear_is_gone_after_starttls(certificate: tuple[Path, Path]) -> None:
    async with running(starttls=certificate) as run:
        client = await run.connect()
        await client.say("MAIL FROM:<evil@x>", "RCPT TO:<b@y>")
        await client.start_tls()
        await client.ehlo()
        assert (await client.say("DATA")).code == 503
        assert (await client.say("RCPT TO:<b@y>")).code == 503


@in_loop
async def test_tls_first_where_it_is_required(certificate: tuple[Path, Path]) -> None:
    async with running(starttls=certificate, require_tls=True) as run:
        client = await run.connect()
        for command in ("MAIL FROM:<a@x>", "HELO x", "VRFY x", "RSET", "BDAT 0 LAST"):
            reply = await client.say(command)
            assert (reply.code, reply.status) == (530, "5.7.0"), command
        assert (await client.say("NOOP")).code == 250
        await client.start_tls()
        await client.ehlo()
        await client.begin()
        assert (await client.say("x\r\n.")).code == 250


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x05garbage" * 20, b""])
@in_loop
async def test_a_failed_handshake_ends_the_connection_only(certificate: tuple[Path, Path], octets: bytes) -> None:
    async with running(starttls=certificate) as run:
        client = await run.connect()
        assert (await client.say("STARTTLS")).code == 220
        await client.send(octets)
        client.writer.write_eof()
        await until(lambda: run.server.stats().connections_open == 0)
        other = await run.connect()
        await other.begin()
        assert (await other.say("x\r\n.")).code == 250
        assert run.server.stats().faults == 0


@in_loop
async def test_old_tls_is_refused(certificate: tuple[Path, Path]) -> None:
    context = make_tls_context(ListenerConfig("x", "127.0.0.1", 0, Side.OUTSIDE, starttls=certificate))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_wrong_certificate_is_named_at_start(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for pair in ((wrong, certificate[1]), (tmp_path / "missing.pem", certificate[1])):
        with pytest.raises(ConfigurationError, match=r"listeners\.x\.starttls"):
            make_tls_context(ListenerConfig("x", "127.0.0.1", 0, Side.OUTSIDE, starttls=pair))


# --- AUTH -------------------------------------------------------------------------------------------------------------


async def log_in(client: Talker) -> None:
    reply = await client.say(PLAIN)
    assert (reply.code, reply.status) == (235, "2.7.0")


@in_loop
async def test_a_login_submits_under_tls(certificate: tuple[Path, Path]) -> None:
    async with running(side=Side.SUBMISSION, starttls=certificate, logins=FixedLogins()) as run:
        client = await run.connect()
        assert not any("AUTH" in line for line in (await client.ehlo()).lines)
        assert (await client.say(PLAIN)).code == 538
        assert (await client.say("MAIL FROM:<alice@bank.example>")).code == 530
        await client.start_tls()
        assert "AUTH PLAIN LOGIN" in (await client.ehlo()).lines
        assert (await client.say("MAIL FROM:<alice@bank.example>")).status == "5.7.0"
        await log_in(client)
        assert (await client.say(PLAIN)).code == 503
        await client.begin()
        assert (await client.say("x\r\n.")).code == 250
        stored = run.intake.only
        assert stored.session.login == "erp"
        assert stored.session.side is Side.SUBMISSION
        assert b"with ESMTPSA id" in stored.content
        assert b"erp" not in stored.content


@pytest.mark.parametrize(
    "steps",
    [
        [PLAIN],
        ["AUTH PLAIN", b64("\0erp\0right horse")],
        ["auth plain", b64("erp\0erp\0right horse")],
        ["AUTH LOGIN", b64("erp"), b64("right horse")],
        [f"AUTH LOGIN {b64('erp')}", b64("right horse")],
    ],
)
@in_loop
async def test_ways_to_log_in(steps: list[str]) -> None:
    async with running(side=Side.SUBMISSION, loopback_demo=True, logins=FixedLogins()) as run:
        client = await run.connect()
        for step in steps[:-1]:
            assert (await client.say(step)).code == 334
        assert (await client.say(steps[-1])).code == 235


@pytest.mark.parametrize(
    ("steps", "code", "status"),
    [
        ([WRONG], 535, "5.7.8"),
        ([f"AUTH PLAIN {b64(chr(0) + 'nobody' + chr(0) + 'x')}"], 535, "5.7.8"),
        ([f"AUTH PLAIN {b64('admin' + chr(0) + 'erp' + chr(0) + 'right horse')}"], 535, "5.7.8"),
        ([f"AUTH PLAIN {b64(chr(0) + 'erp' + chr(0))}"], 535, "5.7.8"),
        ([f"AUTH PLAIN {b64(chr(0) + 'erp' + chr(0) + 'x' * 1025)}"], 535, "5.7.8"),
        (["AUTH PLAIN ="], 501, "5.5.2"),
        (["AUTH PLAIN !!!"], 501, "5.5.2"),
        ([f"AUTH PLAIN {b64('a' + chr(0) + 'b')}"], 501, "5.5.2"),
        ([f"AUTH PLAIN {b64(b'x' + bytes([0]) + bytes([255]) + bytes([0]) + b'y')}"], 501, "5.5.2"),
        (["AUTH PLAIN", "*"], 501, "5.7.0"),
        (["AUTH LOGIN", "*"], 501, "5.7.0"),
        (["AUTH LOGIN", b64("erp"), "not base64"], 501, "5.5.2"),
        (["AUTH LOGIN", "\u00fc"], 501, "5.5.2"),
        (["AUTH"], 501, "5.5.4"),
        (["AUTH CRAM-MD5"], 504, "5.5.4"),
        (["AUTH PLAIN a b"], 501, "5.5.2"),
        (["MAIL FROM:<>", PLAIN], 530, "5.7.0"),
    ],
)
@in_loop
async def test_ways_not_to_log_in(steps: list[str], code: int, status: str) -> None:
    async with running(side=Side.SUBMISSION, loopback_demo=True, logins=FixedLogins()) as run:
        client = await run.connect()
        reply = await client.say(*steps) if code != 530 else await client.say(steps[0])
        assert (reply.code, reply.status) == (code, status)
        assert (await client.say("MAIL FROM:<alice@bank.example>")).code == 530
        await log_in(client)


@in_loop
async def test_a_login_may_use_its_own_addresses_only() -> None:
    logins = FixedLogins(addresses=frozenset({"alice@bank.example", "d\u00f6rte@bank.example"}))
    async with running(side=Side.SUBMISSION, loopback_demo=True, logins=logins) as run:
        client = await run.connect()
        await log_in(client)
        for path in ("bob@bank.example", "alice@bank.example.evil.example", "alice+x@bank.example", "postmaster@x"):
            reply = await client.say(f"MAIL FROM:<{path}>")
            assert (reply.code, reply.status) == (553, "5.7.1"), path
        for path in ("alice@bank.example", "Alice@BANK.example", '"alice"@bank.example', ""):
            assert (await client.say(f"MAIL FROM:<{path}>")).code == 250, path
            await client.say("RSET")
        assert (await client.say("MAIL FROM:<do\u0308rte@bank.example> SMTPUTF8")).code == 250
        # A login relays to anywhere.
        assert (await client.say("RCPT TO:<anyone@partner.example>")).code == 250


@in_loop
async def test_failed_logins_are_throttled_and_the_password_is_not_even_looked_at() -> None:
    logins = FixedLogins()
    limits = limited(auth_failures_per_client=3)
    async with running(side=Side.SUBMISSION, loopback_demo=True, logins=logins, limits=limits) as run:
        client = await run.connect()
        assert [(await client.say(WRONG)).code for _ in range(3)] == [535] * 3
        other = await run.connect()
        reply = await other.say(PLAIN)
        assert (reply.code, reply.status) == (454, "4.7.0")
        assert logins.calls == 3
        assert run.server.stats().logins_refused == 4


@in_loop
async def test_a_broken_login_check_is_temporary() -> None:
    for error in (StorageError("secret"), RuntimeError("secret")):
        logins = FixedLogins(fail=error)
        async with running(side=Side.SUBMISSION, loopback_demo=True, logins=logins) as run:
            client = await run.connect()
            reply = await client.say(PLAIN)
            assert (reply.code, reply.status) == (454, "4.7.0")
            assert "secret" not in str(reply)
            logins.fail = None
            await log_in(client)


@in_loop
async def test_no_password_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logins = FixedLogins()
    async with running(side=Side.SUBMISSION, loopback_demo=True, logins=logins) as run:
        client = await run.connect()
        await client.say(WRONG)
        await client.say("AUTH LOGIN", b64("erp"), b64("wrong horse"))
        logins.fail = ValueError("wrong horse")
        await client.say(WRONG)
        logins.fail = None
        await log_in(client)
        await asyncio.sleep(0)
    shown = "".join(f"{record.getMessage()} {record.__dict__.get('fields')}" for record in caplog.records)
    assert "login-refused" in shown
    for secret in ("horse", b64("wrong horse"), b64("\0erp\0wrong horse")):
        assert secret not in shown
