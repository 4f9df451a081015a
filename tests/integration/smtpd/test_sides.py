"""Who may hand what to whom, on each side; DNS checks with a DNS that says what the test says."""

from __future__ import annotations

import ipaddress

import pytest

from relay.core.envelope import Side
from relay.core.errors import ConfigurationError
from relay.smtpd.config import ListenerConfig, SmtpdConfig
from relay.smtpd.names import Finding
from tests.integration.smtpd.smtp_harness import HOSTNAME, FixedNames, in_loop, running

ELSEWHERE = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("alice@bank.example", 250, "2.1.5"),
        ("ALICE@BANK.EXAMPLE", 250, "2.1.5"),
        ("alice@xn--mller-kva.example", 250, "2.1.5"),
        ("postmaster", 250, "2.1.5"),
        ("Postmaster@bank.example", 250, "2.1.5"),
        (f"postmaster@{HOSTNAME}", 250, "2.1.5"),
        (f"alice@{HOSTNAME}", 550, "5.7.1"),
        ("bob@partner.example", 550, "5.7.1"),
        ("bob@sub.bank.example", 550, "5.7.1"),
        ("bob@bank.example.partner.example", 550, "5.7.1"),
        ("postmaster@partner.example", 550, "5.7.1"),
        ("bob%partner.example@relay.example", 550, "5.7.1"),
        ('"bob@partner.example"@evil.example', 550, "5.7.1"),
        ("bob@[127.0.0.1]", 550, "5.7.1"),
        ("bob", 501, "5.1.3"),
    ],
)
@in_loop
async def test_outside_takes_mail_for_own_domains_only(path: str, code: int, status: str) -> None:
    async with running(side=Side.OUTSIDE, own_domains=frozenset({"Bank.Example", "müller.example"})) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<bob@partner.example>", f"RCPT TO:<{path}>")
        assert (reply.code, reply.status) == (code, status)


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("alice@bank.example", 250, "2.1.5"),
        ("Alice@BANK.example", 250, "2.1.5"),
        ("alice@xn--mller-kva.example", 550, "5.1.1"),
        ("ben@bank.example", 550, "5.1.1"),
        ("alice.x@bank.example", 550, "5.1.1"),
        ("postmaster", 250, "2.1.5"),
        ("POSTMASTER@bank.example", 250, "2.1.5"),
        ("alice@partner.example", 550, "5.7.1"),
    ],
)
@in_loop
async def test_outside_takes_mail_for_existing_recipients_only(path: str, code: int, status: str) -> None:
    own = frozenset({"bank.example", "müller.example"})
    async with running(side=Side.OUTSIDE, own_domains=own, is_recipient={"alice@bank.example"}.__contains__) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<bob@partner.example>", f"RCPT TO:<{path}>")
        assert (reply.code, reply.status) == (code, status)


@in_loop
async def test_inside_may_write_to_whom_the_list_does_not_know() -> None:
    async with running(is_recipient=lambda _address: False) as run:
        client = await run.connect()
        assert (await client.say("MAIL FROM:<alice@bank.example>", "RCPT TO:<new@bank.example>")).code == 250


@in_loop
async def test_inside_relays_to_anywhere() -> None:
    async with running() as run:
        client = await run.connect()
        reply = await client.say(
            "MAIL FROM:<alice@bank.example>", "RCPT TO:<x@anywhere.example>", "RCPT TO:<b@[192.0.2.1]>"
        )
        assert reply.code == 250


@pytest.mark.parametrize("side", [Side.INSIDE, Side.OUTSIDE])
@in_loop
async def test_a_client_from_another_network_gets_nothing_but_a_way_out(side: Side) -> None:
    async with running(side=side, networks=ELSEWHERE) as run:
        client = await run.connect(greet=False)
        reply = await client.reply()
        assert (reply.code, reply.status) == (554, "5.7.1")
        for command in ("EHLO x", "MAIL FROM:<a@x>", "DATA", "BDAT 10 LAST"):
            assert (await client.say(command)).code == 503
        assert (await client.say("QUIT")).code == 221
        assert run.intake.messages == {}


@pytest.mark.parametrize(
    "values",
    [
        {"side": Side.INSIDE},
        {"side": Side.INSIDE, "networks": ()},
        {"side": Side.SUBMISSION},
        {"side": Side.OUTSIDE, "require_tls": True},
        {"side": Side.OUTSIDE, "require_auth": True},
        {"side": Side.SUBMISSION, "host": "192.0.2.1", "loopback_demo": True},
        {"side": Side.SUBMISSION, "host": "0.0.0.0", "loopback_demo": True},
        {"side": Side.OUTSIDE, "rules": ("deny all",)},
    ],
)
def test_unsafe_listeners_cannot_be_configured(values: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"^listeners\.x\.\w+: .+\. .+"):
        ListenerConfig(**{"name": "x", "host": "127.0.0.1", "port": 25, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("hostname", ["", "mx bank", "m\u00fcller.example", "mx\r\nX: y"])
def test_a_host_name_that_would_break_replies_is_refused(hostname: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^hostname"):
        SmtpdConfig(hostname, ())


def test_an_own_domain_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^own_domains"):
        SmtpdConfig("mx.bank.example", (), frozenset({"a\u2003b.example"}))


@pytest.mark.parametrize(
    ("finding", "code", "status"),
    [
        (Finding.GOOD, 250, "2.1.0"),
        (Finding.MISSING, 550, "5.7.25"),
        (Finding.UNKNOWN, 450, "4.7.25"),
    ],
)
@in_loop
async def test_client_dns_where_switched_on(finding: Finding, code: int, status: str) -> None:
    names = FixedNames(client=finding)
    async with running(side=Side.OUTSIDE, names=names, verify_client_dns=True) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<bob@partner.example>")
        assert (reply.code, reply.status) == (code, status)
        assert names.asked == ["127.0.0.1"]
    async with running(side=Side.OUTSIDE, names=names) as run:
        client = await run.connect()
        assert (await client.say("MAIL FROM:<bob@partner.example>")).code == 250


@pytest.mark.parametrize(
    ("finding", "code", "status"),
    [
        (Finding.GOOD, 250, "2.1.5"),
        (Finding.MISSING, 550, "5.1.2"),
        (Finding.NULL_MX, 556, "5.1.10"),
        (Finding.UNKNOWN, 450, "4.4.3"),
    ],
)
@in_loop
async def test_recipient_dns_where_switched_on(finding: Finding, code: int, status: str) -> None:
    names = FixedNames(domains={"xn--mller-kva.example": finding})
    async with running(names=names, verify_recipient_dns=True) as run:
        client = await run.connect()
        reply = await client.say("MAIL FROM:<a@bank.example> SMTPUTF8", "RCPT TO:<bob@Müller.example>")
        assert (reply.code, reply.status) == (code, status)
        # Own domains and literals are not looked up.
        assert (await client.say("RCPT TO:<bob@bank.example>")).code == 250
        assert (await client.say("RCPT TO:<bob@[192.0.2.1]>")).code == 250
        assert names.asked == ["xn--mller-kva.example"]
