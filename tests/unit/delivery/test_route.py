"""The mailer table: the most exact line wins, and an address without a line waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.documents.routes import RoutesDocument, TlsPolicy
from relay.core.errors import ConfigurationError
from relay.delivery.errors import RouteError
from relay.delivery.route import Credentials, Hop, MailerTable, is_loopback


def table(*lines: tuple[str, str], **more: object) -> MailerTable:
    routes = [{"pattern": pattern, "hop": "outside", "host": host, **more} for pattern, host in lines]
    return MailerTable(RoutesDocument.from_json({"routes": routes}))


TABLE = table(
    ("anna@partner.example", "address.example"),
    ("partner.example", "domain.example"),
    ("*.partner.example", "below.example"),
    ("*.deep.partner.example", "deep.example"),
    ("müller.example", "idn.example"),
)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("anna@partner.example", "address"),
        ("ANNA@PARTNER.EXAMPLE", "address"),
        ("bea@partner.example", "domain"),
        ("bea@x.partner.example", "below"),
        ("bea@x.y.partner.example", "below"),
        ("bea@x.deep.partner.example", "deep"),
        ("bea@xn--mller-kva.example", "idn"),
        ("bea@Müller.example", "idn"),
    ],
)
def test_most_exact_line_wins(address, host):
    assert TABLE.resolve(address).host == f"{host}.example"


@pytest.mark.parametrize("address", ["a@notpartner.example", "a@example", "a@[127.0.0.1]", "nonsense", ""])
def test_no_line_means_waiting(address):
    with pytest.raises(RouteError) as caught:
        TABLE.resolve(address)
    assert caught.value.temporary


@given(st.text(max_size=40))
def test_anything_is_routed_or_waits(text):
    try:
        assert table(("*", "all.example")).resolve(text).host == "all.example"
    except RouteError:
        return


def test_values_of_the_document_reach_the_hop():
    hop = table(("*", "mx.example"), port=2525, tls="encrypt", size_limit=100_000).resolve("a@b.example")
    assert (hop.name, hop.port, hop.tls, hop.size_limit) == ("outside", 2525, TlsPolicy.ENCRYPT, 100_000)
    assert hop.key == "outside:mx.example:2525"


def test_hops_each_once():
    assert len(table(("a.example", "x.example"), ("b.example", "x.example")).hops) == 1


def test_login_comes_from_the_secret_and_a_bad_line_stops_only_its_own_mail():
    lines = [
        {"pattern": "good.example", "hop": "outside", "host": "mx.example", "tls": "verify"},
        {"pattern": "clear.example", "hop": "outside", "host": "mx.example", "tls": "encrypt"},
        {"pattern": "missing.example", "hop": "outside", "host": "mx.example", "tls": "verify"},
    ]
    for line, secret in zip(lines, ("relay", "relay", "other"), strict=True):
        line["auth"] = {"user": "gate", "secret": secret}

    def read_secret(name: str) -> str:
        if name != "relay":
            raise ConfigurationError("routes.auth", "no such secret", "Make it.")
        return "word"

    routes = MailerTable(RoutesDocument.from_json({"routes": lines}), read_secret)
    assert routes.resolve("a@good.example").credentials == Credentials("gate", "word")
    for domain in ("clear.example", "missing.example"):
        with pytest.raises(RouteError, match="cannot be used"):
            routes.resolve(f"a@{domain}")


@pytest.mark.parametrize(
    "values",
    [
        {"name": "elsewhere"},
        {"host": ""},
        {"port": 0},
        {"port": 70000},
        {"max_connections": 0},
        {"credentials": Credentials("a", "b"), "tls": TlsPolicy.MAY},
    ],
)
def test_bad_hops_name_the_key(values):
    with pytest.raises(ConfigurationError, match=r"^routes\."):
        Hop(**{"name": "outside", "host": "mx.example", "port": 25, **values})


def test_loopback():
    assert [is_loopback(h) for h in ("localhost", "127.0.0.9", "::1", "192.0.2.1", "mx.example")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_name_and_trust_file_of_a_route_reach_its_hop():
    line = {"pattern": "*", "hop": "inside", "host": "192.0.2.30", "tls": "verify", "tls_name": "mail.bank.example"}
    document = RoutesDocument.from_json({"routes": [line | {"ca": "mail-ca.pem"}]})
    assert RoutesDocument.from_json(document.to_json()) == document
    hop = MailerTable(document, find_ca=lambda name: Path("/etc/x") / name).resolve("a@bank.example")
    assert (hop.tls_name, hop.ca_file) == ("mail.bank.example", Path("/etc/x/mail-ca.pem"))
    with pytest.raises(RouteError):
        MailerTable(document).resolve("a@bank.example")
    plain = RoutesDocument.from_json({"routes": [line | {"tls_name": ""}]})
    hop = MailerTable(plain).resolve("a@bank.example")
    assert (hop.tls_name, hop.ca_file) == (None, None)
