"""Fetching the portal's pages over real HTTPS: whom it trusts, and what an absent or odd host makes of it."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from relay.cli.certificate import write_self_signed
from relay.core.clock import SystemClock
from relay.link.pages import PagesUnreachableError, open_fetch


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/odd":
            self.wfile.write(b"not HTTP at all\r\n\r\n")
            return
        if self.path == "/dripping":
            with contextlib.suppress(OSError):
                for (
                    octet
                ) in b"HTTP/1.1 200 OK\r\nX-Slow: yes, and each octet comes well within any time-out\r\n\r\nhello":
                    self.wfile.write(bytes([octet]))
                    time.sleep(0.02)
            return
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    write_self_signed(tmp_path, "localhost", SystemClock(), ("portal.pem", "portal.key"), 30)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "portal.pem", tmp_path / "portal.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    server.socket = server_side.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    trust = ssl.create_default_context(cafile=str(tmp_path / "portal.pem"))
    yield f"https://localhost:{server.server_address[1]}", trust
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_takes_what_is_there_and_follows_nothing(portal: tuple[str, ssl.SSLContext]) -> None:
    fetch = open_fetch(*portal)
    answer = fetch("/")
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert fetch("/away").status == 302


def test_a_host_that_nobody_vouches_for_is_not_listened_to(portal: tuple[str, ssl.SSLContext]) -> None:
    with pytest.raises(PagesUnreachableError, match="SSLCertVerificationError"):
        open_fetch(portal[0])("/")


def test_no_host_and_no_http_are_unreachable(portal: tuple[str, ssl.SSLContext]) -> None:
    with pytest.raises(PagesUnreachableError):
        open_fetch(*portal)("/odd")
    with pytest.raises(PagesUnreachableError, match="ConnectionRefused"):
        open_fetch("https://127.0.0.1:1", portal[1])("/")


def test_an_answer_that_drips_has_an_end(portal: tuple[str, ssl.SSLContext]) -> None:
    """Each octet is in time; all of them are not. The whole answer would take longer than it has."""
    with pytest.raises(PagesUnreachableError, match="Time"):
        open_fetch(*portal, seconds=0.5)("/dripping")
