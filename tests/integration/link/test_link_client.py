"""The link's client against TLS servers, good and bad: pins, deadlines, sizes, broken connections."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.core.errors import ConfigurationError
from relay.link.client import PortalLink, Timeouts
from relay.link.config import LinkSettings
from relay.link.errors import (
    LinkBusyError,
    LinkConflictError,
    LinkDownError,
    LinkPinError,
    LinkRefusedError,
    LinkUnknownError,
)
from relay.link.wire import MalformedAnswerError

PORTAL = "ENJHhdjed6rBfPOxg9HE-w"
Answer = Callable[[ssl.SSLSocket, bytes], bool]
"""Answers one request; False closes the connection."""


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


@dataclass
class Peer:
    """A server of one connection at a time."""

    folder: Path
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    answer: Answer = lambda _sock, _request: False
    links: list[PortalLink] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.certificate, key = make_pair(self.folder, "portal")
        self.relay, self.relay_key = make_pair(self.folder, "relay")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(self.relay)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def settings(self, **changes: Path) -> LinkSettings:
        files = {"certificate": self.relay, "key": self.relay_key, "peer_certificate": self.certificate} | changes
        return LinkSettings(PORTAL, f"https://127.0.0.1:{self.port}", **files)

    def link(
        self, timeouts: Timeouts | None = None, *, files: dict[str, Path] | None = None, **more: Any
    ) -> PortalLink:
        made = PortalLink(self.settings(**(files or {})), timeouts or Timeouts(connect=5.0, answer=2.0), **more)
        self.links.append(made)
        return made

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self._context.wrap_socket(plain, server_side=True) as sock:
                    while (request := self._read(sock)) and self.answer(sock, request):
                        pass
            except OSError:
                continue

    def _read(self, sock: ssl.SSLSocket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += sock.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return data

    def close(self) -> None:
        # A thread that waits in accept keeps the port open until it is woken.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self.links:
            link.close()
        self._thread.join(10)


def say(status: str, body: bytes, *, keep: bool = True) -> Answer:
    def answer(sock: ssl.SSLSocket, _request: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body))
        return keep

    return answer


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path)
    yield made
    made.close()


def test_calls_share_a_connection_and_carry_a_digest(peer: Peer) -> None:
    peer.answer = say("201 Created", b"{}")
    link = peer.link(puller="node1")
    link.put_join("A" * 43, "2027-01-04T08:00:00Z")
    link.put_join("B" * 43, "2027-01-04T08:00:00Z")
    link.close()
    assert peer.connections == 1
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /link/v1/joins/" + b"A" * 43 + b" HTTP/1.1\r\n")
    assert body == b'{"expires":"2027-01-04T08:00:00Z"}'
    # printf %s BODY | openssl dgst -sha256 -binary | base64
    assert b"Content-Digest: sha-256=:Bd1OaQzYjD4sc31aAOO74CcqtmtS8uT2ISn9lvMDnM8=:" in head
    assert b"X-Letterlock-Puller: node1" in head


def test_nothing_is_sent_to_a_peer_with_another_certificate(peer: Peer, tmp_path: Path) -> None:
    peer.answer = say("200 OK", b'{"mark":1}')
    folder = tmp_path / "other"
    folder.mkdir()
    other, _ = make_pair(folder, "portal")
    link = peer.link(files={"peer_certificate": other})
    with pytest.raises(LinkPinError):
        link.get_mark()
    assert peer.requests == []
    # Two pins during a change.
    both = tmp_path / "both.pem"
    both.write_bytes(other.read_bytes() + peer.certificate.read_bytes())
    changing = peer.link(files={"peer_certificate": both})
    assert changing.get_mark().number == 1


def test_the_peer_refuses_a_relay_that_it_does_not_know(peer: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "thief"
    folder.mkdir()
    certificate, key = make_pair(folder, "thief")
    link = peer.link(files={"certificate": certificate, "key": key})
    with pytest.raises(LinkDownError):
        link.get_mark()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("404 Not Found", b'{"error":"unknown"}', LinkUnknownError),
        ("409 Conflict", b'{"error":"changed"}', LinkConflictError),
        ("400 Bad Request", b'{"error":"bad-request"}', LinkRefusedError),
        ("401 Unauthorized", b"", LinkRefusedError),
        ("503 Unavailable", b"<html>", LinkBusyError),
        ("429 Too Many", b"{}", LinkBusyError),
        ("200 OK", b"<html>", MalformedAnswerError),
        ("200 OK", b"[1]", MalformedAnswerError),
        ("200 OK", b"[" * 100_000, MalformedAnswerError),
        ("200 OK", b'{"mark":"1"}', MalformedAnswerError),
        ("302 Found", b"{}", LinkRefusedError),
    ],
)
def test_answers_become_errors_and_all_are_temporary(
    peer: Peer, status: str, body: bytes, error: type[Exception]
) -> None:
    peer.answer = say(status, body)
    with pytest.raises(error) as caught:
        peer.link().get_mark()
    assert caught.value.temporary  # type: ignore[attr-defined]


def test_an_answer_that_never_ends_is_given_up(peer: Peer) -> None:
    def drip(sock: ssl.SSLSocket, _request: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            sock.sendall(b"1\r\n{\r\n")
            time.sleep(0.05)
        return False

    peer.answer = drip
    began = time.monotonic()
    with pytest.raises(LinkDownError):
        peer.link().get_mark()
    assert time.monotonic() - began < 8


def test_an_answer_larger_than_agreed_is_not_read(peer: Peer) -> None:
    peer.answer = say("200 OK", bytes(2 * 2**20))
    with pytest.raises(MalformedAnswerError):
        peer.link().get_chunk("A" * 22, "B" * 22, 0, 0)


def test_an_answer_that_is_cut_off_is_no_answer(peer: Peer) -> None:
    def cut(sock: ssl.SSLSocket, _request: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        return False

    peer.answer = cut
    with pytest.raises(LinkDownError):
        peer.link().get_chunk("A" * 22, "B" * 22, 0, 0)


def test_a_connection_that_broke_is_replaced_once_and_said(peer: Peer) -> None:
    breaks = []
    peer.answer = say("200 OK", b'{"mark":1}', keep=False)
    link = peer.link(on_break=lambda: breaks.append(1))
    assert link.get_mark().number == 1
    assert breaks == []
    assert link.get_mark().number == 1
    assert breaks == [1]
    assert peer.connections == 2


def test_closing_ends_a_call_that_waits(peer: Peer) -> None:
    waiting = threading.Event()

    def wait(_sock: ssl.SSLSocket, _request: bytes) -> bool:
        waiting.set()
        time.sleep(5)
        return False

    peer.answer = wait
    link = peer.link(Timeouts(connect=5.0, answer=60.0))
    ended: list[BaseException] = []

    def poll() -> None:
        try:
            link.poll_outbox(25, 10)
        except LinkDownError as error:
            ended.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    assert waiting.wait(10)
    link.close()
    thread.join(10)
    assert len(ended) == 1
    with pytest.raises(LinkDownError):
        link.get_mark()


def test_a_portal_that_is_not_there_is_a_link_that_is_down(peer: Peer) -> None:
    link = peer.link()
    peer.links.clear()
    peer.close()
    with pytest.raises(LinkDownError):
        link.get_mark()


def test_files_that_cannot_be_used_are_named(peer: Peer, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ConfigurationError, match=r"portal\.link_peer"):
        PortalLink(peer.settings(peer_certificate=empty))
    with pytest.raises(ConfigurationError, match=r"portal\.link_certificate"):
        PortalLink(peer.settings(key=empty))
