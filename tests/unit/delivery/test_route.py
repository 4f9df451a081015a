"""The mailer table: the most exact line wins, and an address without a line waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import ConfigurationError
from relay.delivery.errors import RouteError
from relay.delivery.route import Credentials, Hop, MailerTable, Route, TlsPolicy, is_loopback


def hop(host: str) -> Hop:
    return Hop("outside", host, 25)


TABLE = MailerTable(
    [
        Route("Anna@Partner.example", hop("address")),
        Route("partner.example", hop("domain")),
        Route("*.partner.example", hop("below")),
        Route("*.deep.partner.example", hop("deep")),
        Route("müller.example", hop("idn")),
        Route("partner.example", hop("second line is not used")),
    ]
)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("anna@partner.example", "address"),
        ("ANNA@PARTNER.EXAMPLE", "address"),
        ("bea@partner.example", "domain"),
        ("bea@x.partner.example", "below"),
        ("bea@x.y.partner.example", "below"),
        ("bea@deep.partner.example", "below"),
        ("bea@x.deep.partner.example", "deep"),
        ("bea@xn--mller-kva.example", "idn"),
        ("bea@Müller.example", "idn"),
    ],
)
def test_most_exact_line_wins(address, host):
    assert TABLE.resolve(address).host == host


@pytest.mark.parametrize("address", ["a@notpartner.example", "a@example", "a@[127.0.0.1]", "nonsense", ""])
def test_no_line_means_waiting(address):
    with pytest.raises(RouteError) as caught:
        TABLE.resolve(address)
    assert caught.value.temporary


@given(st.text(max_size=40))
def test_anything_is_routed_or_waits(text):
    try:
        assert MailerTable([Route("*", hop("all"))]).resolve(text).host == "all"
    except RouteError:
        return


def test_hops_each_once():
    assert len(MailerTable([Route("a.example", hop("x")), Route("b.example", hop("x"))]).hops) == 1


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
