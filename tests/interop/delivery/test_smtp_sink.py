"""Postfix's smtp-sink as the next hop, with the faults that it can play: a counterpart that shares no code with us."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.core.documents.routes import TlsPolicy
from relay.delivery.deliver import DeliveryRun
from relay.delivery.outcome import Deferred, Delivered, Failed, Outcome
from relay.delivery.route import Hop
from tests.integration.delivery.conftest import OneHop, make_cache, make_parcel

EIGHT_BIT = b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"


@pytest.fixture
def send(tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.fail("smtp-sink is missing. Run: apt-get install -y postfix", pytrace=False)
    started: list[subprocess.Popen[bytes]] = []

    def run(*options: str, data: bytes = b"Subject: x\r\n\r\nhello\r\n", times: int = 1) -> Outcome:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        command = [program, *user, *options, f"127.0.0.1:{port}", "16"]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        _wait_for(port)
        table, cache = OneHop(Hop("outside", "127.0.0.1", port, TlsPolicy.NONE)), make_cache()
        delivery = DeliveryRun(lambda: table, cache)
        outcomes = [delivery.deliver(make_parcel(data=data))["copy0"] for _ in range(times)]
        cache.close_all()
        assert len({type(outcome) for outcome in outcomes}) == 1
        return outcomes[-1]

    yield run
    for process in started:
        process.kill()
        process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("smtp-sink did not start")


@pytest.mark.parametrize("options", [(), ("-p",), ("-e",), ("-8",), ("-p", "-8", "-E")])
def test_delivers_whatever_is_offered(send, options):
    assert isinstance(send(*options, times=5), Delivered)


@pytest.mark.parametrize("options", [("-8",), ("-e",)])
def test_eight_bit_content_needs_8bitmime(send, options):
    outcome = send(*options, data=EIGHT_BIT)
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.6.3"


@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "."])
@pytest.mark.parametrize("extra", [(), ("-p",)])
def test_hard_and_soft_errors(send, verb, extra):
    assert isinstance(send(*extra, "-f", verb), Failed)
    assert isinstance(send(*extra, "-r", verb), Deferred)


@pytest.mark.parametrize("verb", ["connect", "helo", "ehlo", "mail", "rcpt", "data", "."])
@pytest.mark.parametrize("how", ["-q", "-Q"])
def test_disconnects_without_and_with_421(send, verb, how):
    outcome = send(how, verb) if verb not in ("helo",) else send("-e", how, verb)
    assert isinstance(outcome, Deferred)
    assert outcome.is_doubtful == (how == "-q" and verb == ".")
