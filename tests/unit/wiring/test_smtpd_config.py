"""The intake's configuration as it follows from the documents."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from relay.core.documents.domains import DomainsDocument, OwnDomain
from relay.core.documents.limits import LimitsDocument, ListenerLimits
from relay.core.documents.listeners import Listener, ListenersDocument
from relay.core.documents.shipped import shipped_organisation
from relay.core.envelope import Side
from relay.smtpd.config import SmtpdConfig
from relay.wiring.intake import make_smtpd_config

HOST: Any = SimpleNamespace(tls=None, host=SimpleNamespace(hostname="gateway.bank.example"))


def config() -> SmtpdConfig:
    inside = ListenerLimits(
        message_octets=100_000_000, recipients=5000, connections=30, connections_per_client=7,
        messages_per_client_per_minute=900, command_seconds=10, chunk_seconds=11, commit_seconds=12,
    )  # fmt: skip
    outside = ListenerLimits(message_octets=1_000_000, recipients=100, connections=20, connections_per_client=3)
    listeners = (
        Listener("inside", Side.INSIDE, "127.0.0.1", 2525, ("127.0.0.0/8",), limits=inside),
        Listener("outside", Side.OUTSIDE, "127.0.0.1", 2526, limits=outside),
    )
    organisation = replace(
        shipped_organisation("bank.example", "Example Bank"),
        listeners=ListenersDocument(listeners),
        domains=DomainsDocument(
            (OwnDomain("bank.example", recipients=("anna@*", "*.office@bank.example")), OwnDomain("all.example"))
        ),
        limits=LimitsDocument(received_fields=33),
    )
    return make_smtpd_config(HOST, organisation)


def test_each_listener_has_its_own_limits() -> None:
    made = config()
    inside, outside = (one.limits for one in made.listeners)
    assert inside is not None
    assert outside is not None
    assert (inside.message_octets, inside.recipients, inside.connections) == (100_000_000, 5000, 30)
    assert (inside.connections_per_client, inside.messages_per_client_minute) == (7, 900)
    assert (inside.command_timeout, inside.chunk_timeout, inside.commit_timeout) == (10, 11, 12)
    assert (outside.message_octets, outside.recipients, outside.connections_per_client) == (1_000_000, 100, 3)
    assert inside.received_fields == outside.received_fields == 33


def test_the_process_has_room_for_all_listeners() -> None:
    limits = config().limits
    assert limits.message_octets == 100_000_000
    assert limits.connections == 50


def test_who_exists_follows_the_domains_document() -> None:
    is_recipient = config().is_recipient
    assert is_recipient is not None
    assert is_recipient("anna@bank.example")
    assert is_recipient("ben.office@bank.example")
    assert is_recipient("anybody@all.example")
    assert not is_recipient("ben@bank.example")
    assert not is_recipient("anna@partner.example")
