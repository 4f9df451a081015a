"""What several intake processes are told by the one that starts them, and what it tells of them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.core.envelope import Side
from relay.core.errors import ConfigurationError
from relay.smtpd.config import ListenerConfig, SmtpdConfig
from relay.wiring.intake import Share
from relay.wiring.intake_group import merge_reports

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def config(*listeners: tuple[str, int]) -> SmtpdConfig:
    made = (ListenerConfig(name, "127.0.0.1", port, Side.INSIDE, LOOPBACK) for name, port in listeners)
    return SmtpdConfig("mx.bank.example", tuple(made))


def share_of(sock: socket.socket, name: str = "inside") -> Share:
    return Share(1, ((name, sock.dup().detach()),), 9, 2)


def test_options_read_back() -> None:
    share = Share(1, (("inside", 5), ("out=side", 6)), 9, 2)
    slot, *sockets = share.to_options()
    assert slot == "--slot=1:2:9"
    assert Share.from_options("1:2:9", [text.removeprefix("--socket=") for text in sockets]) == share


@pytest.mark.parametrize("sockets", [[], ["inside"], ["=5"], ["inside="], ["inside=x"]])
def test_bad_options_are_refused(sockets: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        Share.from_options("0:2:9", sockets)


@pytest.mark.parametrize("slot", ["", "1", "1:2", "1:2:x", "1:2:3:4"])
def test_a_bad_slot_is_refused(slot: str) -> None:
    with pytest.raises(ConfigurationError):
        Share.from_options(slot, ["inside=5"])


@pytest.mark.parametrize("port_known", [True, False])
def test_sockets_of_the_same_listeners_are_taken(bound: socket.socket, port_known: bool) -> None:
    port = bound.getsockname()[1]
    (taken,) = share_of(bound).open_sockets(config(("inside", port if port_known else 0)))
    with closing(taken):
        assert taken.getsockname()[1] == port
        assert taken.gettimeout() == 0.0


def test_sockets_of_other_listeners_are_refused(bound: socket.socket) -> None:
    """One listener's rules must never stand at another's port."""
    port = bound.getsockname()[1]
    for changed in (config(("outside", port)), config(("inside", port + 1)), config(("inside", port), ("more", 1))):
        share = share_of(bound)
        with pytest.raises(ConfigurationError):
            share.open_sockets(changed)


def test_counters_add_up_and_the_worst_state_counts() -> None:
    one = {"status": "ok", "messages_accepted": 3, "last_accepted_ms": 7, "stopping": False}
    two = {"status": "ok", "messages_accepted": 4, "last_accepted_ms": 5, "stopping": True}
    silent = {"status": "failing", "error": "no answer"}
    assert merge_reports([one, two]) == {
        "status": "ok",
        "processes": 2,
        "messages_accepted": 7,
        "last_accepted_ms": 7,
        "stopping": True,
    }
    assert merge_reports([one, silent])["status"] == "degraded"
    assert merge_reports([one, {**two, "status": "failing"}])["status"] == "failing"
    assert merge_reports([silent, silent])["status"] == "failing"
