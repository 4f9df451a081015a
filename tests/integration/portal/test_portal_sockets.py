"""The portal as a process: TLS with pinned certificates, the relay's own client, kills, two nodes, logs."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import brotli
import pytest

from portal.installation import Choices
from relay.core.ids import new_id
from relay.core.wire.pae import decode_b64, encode_b64
from relay.core.wire.sealed import format_time
from relay.link.client import MessageHead
from relay.link.errors import LinkError
from relay.link.wire import Ack, End, ItemEntry, RekeyEntry, Result
from tests.contract.portal.site import Box, hash_of_capsule, item
from tests.contract.store.databases import shared_server
from tests.integration.portal.running import (
    ROOT,
    HttpBrowser,
    RunningPortal,
    is_listening,
    make_certificate,
    new_box,
    push_box,
    with_database,
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """One host for most tests, each with a box of its own. The first finds it before the relay has come."""
    made = RunningPortal.make(tmp_path_factory.mktemp("host") / "portal").start()
    yield made
    assert made.stop() == 0
    assert not is_listening(*_read_address(made, "web"))


def _read_address(portal: RunningPortal, name: str) -> tuple[str, int]:
    host, _, port = (portal.settings.state_dir / f"{name}.address").read_text("ascii").strip().rpartition(":")
    return host, int(port)


def push_message(link: Any, box: Box, no: int, chunks: dict[tuple[int, int], bytes]) -> str:
    id_ = new_id()
    counts: dict[int, int] = {}
    for (i, n), data in chunks.items():
        link.put_chunk(box.id, id_, i, n, data)
        counts[i] = max(counts.get(i, 0), n + 1)
    expires = format_time(now_ms() + 86_400_000)
    link.put_message(box.id, id_, MessageHead(no, box.gen, 1, expires, os.urandom(400), list(counts.items())))
    return id_


def test_from_the_relay_to_the_reader_and_back(portal: RunningPortal) -> None:
    link = portal.link()
    first = push_box(link, new_box(portal.settings.portal_id, "first"), "first")
    browser = portal.browser()
    status, body = browser.login(first)
    assert (status, body["error"]) == (503, "reconciling")
    portal.reconcile().close()
    assert link.get_mark().is_waiting is False

    status, body = browser.login(first)
    assert (status, decode_b64(body["capsule"])) == (200, first.capsule)
    box = first.next()
    status, body = browser.api("POST", "rekey", first.rekey_body(box, now_ms()))
    assert (status, body["gen"]) == (200, 2)
    rekey = link.poll_outbox(5, 10)[0]
    assert isinstance(rekey, RekeyEntry)
    assert rekey.capsule == box.capsule
    link.ack([Ack(rekey.box, rekey.id, Result.TAKEN)])

    chunks = {(0, 0): os.urandom(60), (1, 0): os.urandom(1024 * 1024 + 28), (1, 1): os.urandom(99)}
    id_ = push_message(link, box, 1, chunks)
    assert link.held_chunks(box.id, id_) == {0: {0}, 1: {0, 1}}
    status, body = browser.api("GET", "messages")
    assert [one["id"] for one in body["messages"]] == [id_]
    assert {key: browser.call("GET", f"/api/blobs/{id_}/{key[0]}/{key[1]}")[1] for key in chunks} == chunks

    reply, data = new_id(), os.urandom(1024 * 1024 + 28)
    assert browser.call("PUT", f"/api/drafts/{reply}/0/0", data)[0] == 201
    sent = item(box, id=reply, parts=[{"i": 0, "chunks": 1}], re=id_)
    found: list[Any] = []
    poll = threading.Thread(target=lambda: found.extend(link.poll_outbox(30, 10)))
    poll.start()
    assert browser.api("POST", "send", sent) == (201, {"seq": 2})
    poll.join(30)
    assert isinstance(found[0], ItemEntry)
    assert found[0].sealed == decode_b64(sent["sealed"])
    assert link.get_chunk(box.id, reply, 0, 0) == data
    link.ack([Ack(box.id, reply, Result.TAKEN)])
    assert browser.api("GET", "sent")[1]["sent"][0]["state"] == "taken"
    page = link.get_inventory("")
    assert (box.id, 2, {id_}) in [(one.box, one.gen, one.messages) for one in page.boxes]
    assert link.get_box(box.id, 0).sha256 == hash_of_capsule(box.capsule)
    link.end_box(box.id, End.CLOSE)
    assert browser.api("GET", "messages")[0] == 401
    link.close()


def test_pages_and_files_have_their_headers(portal: RunningPortal) -> None:
    browser = portal.browser()
    status, page, headers = browser.call("GET", "/")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe-inline" not in policy
    assert headers["Integrity-Policy"] == "blocked-destinations=(script)"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "camera=()" in headers["Permissions-Policy"]
    script = page.decode().partition('src="/static/')[2].partition('"')[0]
    status, plain, headers = browser.call("GET", f"/static/{script}", accept_encoding="identity")
    assert status == 200
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Content-Encoding"] is None
    for accepted, coding, unpack in (
        ("gzip, deflate, br, zstd", "br", brotli.decompress),
        ("br;q=0, gzip", "gzip", gzip.decompress),
    ):
        status, packed, headers = browser.call("GET", f"/static/{script}", accept_encoding=accepted)
        assert (status, headers["Content-Encoding"], unpack(packed)) == (200, coding, plain)
        assert headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert headers["Vary"] == "Accept-Encoding"
        assert len(packed) < 0.5 * len(plain)
    # What belongs to a reader is never packed.
    assert browser.call("GET", "/", accept_encoding="gzip, br")[2]["Content-Encoding"] is None
    assert browser.call("GET", f"/static/{script}.br")[0] == 404
    frame = browser.call("GET", "/frame")[2]
    assert frame["Content-Security-Policy"].startswith("sandbox allow-scripts")
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    assert browser.call("GET", "/static/../settings.py")[0] == 404
    assert browser.call("GET", "/static/manifest.json")[0] == 404
    assert browser.call("GET", "/simple")[0] == 404
    assert browser.call("GET", "/healthz")[:2] == (200, b"ok\n")


class TestTls:
    def test_only_the_pinned_certificate_gets_in(self, portal: RunningPortal, tmp_path: Path) -> None:
        with pytest.raises(LinkError):
            portal.link(make_certificate(tmp_path, "thief")).get_mark()
        # However the refusal arrives: an alert, a reset, silence.
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            with pytest.raises((OSError, http.client.HTTPException)):
                self.ask_without_certificate(portal, version)
        with pytest.raises((OSError, http.client.HTTPException)):
            self.ask_plain(portal)
        assert portal.link().get_mark().number is not None

    @staticmethod
    def ask_without_certificate(portal: RunningPortal, version: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = version
        connection = http.client.HTTPSConnection(*portal.address("link"), context=context, timeout=10)
        try:
            connection.request("GET", "/link/v1/mark")
            connection.getresponse()
        finally:
            connection.close()

    @staticmethod
    def ask_plain(portal: RunningPortal) -> None:
        connection = http.client.HTTPConnection(*portal.address("link"), timeout=10)
        try:
            connection.request("GET", "/link/v1/mark")
            connection.getresponse()
        finally:
            connection.close()


def test_nothing_sent_is_lost_when_workers_are_killed(portal: RunningPortal) -> None:
    """Workers are killed -9 while a reader sends; who got no answer sends again; each item is there once."""
    link = portal.reconcile()
    box = push_box(link, new_box(portal.settings.portal_id))
    browser = portal.browser()
    assert browser.login(box)[0] == 200
    bodies = [item(box) for _ in range(40)]
    killed = 0
    for number, body in enumerate(bodies):
        if number % 10 == 5:
            killed += kill_workers(portal)
        for _ in range(100):
            try:
                status, _ = browser.api("POST", "send", body)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            assert status in (200, 201)
            break
        else:
            pytest.fail("the portal did not come back")
    assert killed >= 4
    found = []
    while entries := link.poll_outbox(0, 100):
        found += [entry.id for entry in entries if isinstance(entry, ItemEntry)]
        link.ack([Ack(entry.box, entry.id, Result.TAKEN) for entry in entries])
    assert found == [body["id"] for body in bodies]
    link.close()


def kill_workers(portal: RunningPortal) -> int:
    """Kill every process below the web listener's own."""
    assert portal.process is not None
    killed = 0
    for child in _children(portal.process.pid):
        if "web" not in Path(f"/proc/{child}/cmdline").read_text("utf-8").split("\0"):
            continue
        for worker in _children(child):
            os.kill(worker, signal.SIGKILL)
            killed += 1
    return killed


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def test_a_listener_that_dies_is_started_again(portal: RunningPortal) -> None:
    portal.reconcile().close()
    assert portal.process is not None
    for child in _children(portal.process.pid):
        if "link" in Path(f"/proc/{child}/cmdline").read_text("utf-8").split("\0"):
            (portal.settings.state_dir / "link.address").unlink()
            os.kill(child, signal.SIGKILL)
    assert portal.link().get_mark().number is not None


@pytest.mark.postgres
def test_two_nodes_on_one_postgresql(tmp_path: Path) -> None:
    """Sign in on one, read on the other, sign out on the first, refused on the other; of two rekeys one wins."""
    name = f"portal_nodes_{os.getpid()}"
    shared_server().admin(f"CREATE DATABASE {name}")
    url = "http://127.0.0.1:80"
    choices = Choices(url, "Example Bank", "+49 241 123 456", web="127.0.0.1:0", link="127.0.0.1:0")
    one = RunningPortal.make(tmp_path / "one", with_database(choices, shared_server().url(name)))
    two = RunningPortal.make(
        tmp_path / "two",
        with_database(
            Choices(url, "Example Bank", "+49 241 123 456", "127.0.0.1:0", "127.0.0.1:0", one.settings.portal_id),
            shared_server().url(name),
        ),
    )
    # The same pepper on every node.
    two.settings.pepper_file.write_bytes(one.settings.pepper_file.read_bytes())
    for node in (one, two):
        node.start()
    try:
        link = one.reconcile()
        box = push_box(link, new_box(one.settings.portal_id))
        id_ = push_message(two.link(), box, 1, {(0, 0): b"x" * 50})
        here, there = one.browser(), two.browser()
        assert here.login(box)[0] == 200
        there.cookies = here.cookies
        assert [message["id"] for message in there.api("GET", "messages")[1]["messages"]] == [id_]
        assert here.call("POST", "/api/logout", {})[0] == 204
        assert there.api("GET", "messages")[0] == 401
        assert_one_rekey_wins(one.browser(), two.browser(), box)
        assert len(link.poll_outbox(5, 10)) == 1
    finally:
        assert [node.stop() for node in (one, two)] == [0, 0]


def assert_one_rekey_wins(one: HttpBrowser, two: HttpBrowser, box: Box) -> None:
    new = [box.next(), box.next()]
    bodies = [box.rekey_body(each, now_ms()) for each in new]
    browsers = (one, two)
    for browser in browsers:
        assert browser.login(box)[0] == 200
    codes: dict[int, int] = {}
    barrier = threading.Barrier(2)

    def change(number: int) -> None:
        barrier.wait()
        codes[number] = browsers[number].api("POST", "rekey", bodies[number])[0]

    threads = [threading.Thread(target=change, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes.values()) in ([200, 401], [200, 409])
    winner = next(number for number, code in codes.items() if code == 200)
    assert one.login(new[winner])[0] == 200


def test_no_body_reaches_a_log_not_even_in_a_fault(portal: RunningPortal) -> None:
    link = portal.reconcile()
    box = push_box(link, new_box(portal.settings.portal_id))
    browser = portal.browser()
    assert browser.login(box)[0] == 200
    canaries = [f"canary-{new_id()}" for _ in range(4)]
    assert browser.login(Box(box.portal, box.id, encode_b64(os.urandom(32))))[0] == 401
    browser.api("POST", "login", {"login_id": canaries[0], "kdf": 1, "auth": canaries[1]})
    browser.call("PUT", f"/api/drafts/{new_id()}/0/0", canaries[2].encode())
    browser.call("GET", f"/r/{canaries[3]}")
    with closing(sqlite3.connect(portal.settings.database.url.removeprefix("sqlite:///"))) as broken:
        broken.execute("ALTER TABLE draft RENAME TO gone")
    sealed = encode_b64(canaries[0].encode() * 3)
    status, body = browser.api("PUT", f"drafts/{new_id()}", {"rev": 0, "sealed": sealed})
    with closing(sqlite3.connect(portal.settings.database.url.removeprefix("sqlite:///"))) as broken:
        broken.execute("ALTER TABLE gone RENAME TO draft")
    assert (status, body["error"]) == (503, "busy")
    link.close()
    log = portal.log.read_text("utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    assert body["reference"] in {line.get("reference") for line in lines}
    for secret in (
        *canaries,
        sealed,
        encode_b64(box.auth),
        encode_b64(box.capsule)[100:140],
        *browser.cookies.values(),
    ):
        assert secret not in log


_WATCH = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        with open(os.environ["WATCH_FILE"], "a") as file:
            file.write(f"{event} {arguments[1:]}\\n")
sys.addaudithook(watch)
"""


def test_no_process_makes_a_connection(tmp_path: Path) -> None:
    """Every process of the portal has an audit hook; a whole round trip and an error leave nothing in its file."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(_WATCH)
    portal = RunningPortal.make(tmp_path / "portal")
    watched = tmp_path / "watched"
    portal.environment = {"PYTHONPATH": str(tmp_path / "hook"), "WATCH_FILE": str(watched)}
    program = "import socket; s = socket.socket(); s.connect_ex(('127.0.0.1', 9))"
    subprocess.run([sys.executable, "-c", program], env=os.environ | portal.environment, check=True, cwd=ROOT)
    # The hook works; from now on nothing is expected.
    assert "socket.connect" in watched.read_text()
    watched.unlink()
    portal.start()
    link = portal.reconcile()
    box = push_box(link, new_box(portal.settings.portal_id))
    push_message(link, box, 1, {(0, 0): b"x" * 50})
    browser = portal.browser()
    assert browser.login(box)[0] == 200
    assert browser.api("GET", "messages")[0] == 200
    assert browser.api("POST", "send", item(box))[0] == 201
    assert browser.api("POST", "forgot", {"login_id": box.login_id})[0] == 202
    for path in ("/", "/mailbox", "/help", "/nothing"):
        browser.call("GET", path)
    assert len(link.poll_outbox(5, 10)) == 1
    link.close()
    assert portal.stop() == 0
    assert not watched.exists(), watched.read_text()


_BLOCK = """
import importlib.abc, sys
NAMES = ("relay.keystore", "relay.store", "relay.spool", "relay.message", "relay.mailbox", "relay.link", "relay.smtpd",
         "pdfmail", "pkcs11", "aiosmtpd", "alembic", "pikepdf", "weasyprint", "nh3", "dns", "smtplib")
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if any(name == one or name.startswith(one + ".") for one in NAMES):
            raise ModuleNotFoundError(f"{name} is not on this host")
        return None
sys.meta_path.insert(0, Block())
"""


def test_it_runs_where_nothing_of_the_inside_is_installed(tmp_path: Path) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(_BLOCK)
    portal = RunningPortal.make(tmp_path / "portal")
    portal.environment = {"PYTHONPATH": str(tmp_path / "hook")}
    blocked = subprocess.run(
        [sys.executable, "-c", "import relay.store.base"],
        env=os.environ | portal.environment,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "is not on this host" in blocked.stderr
    portal.start()
    link = portal.reconcile()
    box = push_box(link, new_box(portal.settings.portal_id))
    browser = portal.browser()
    assert browser.login(box)[0] == 200
    assert browser.call("GET", "/")[0] == 200
    link.close()
    assert portal.stop() == 0


def test_what_is_wrong_with_the_settings_ends_serve_with_78(tmp_path: Path) -> None:
    portal = RunningPortal.make(tmp_path / "portal")
    portal.settings.relay_certificates.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "portal.cli", "--config", str(portal.folder), "serve"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 78
    assert "letterlock-portal pair" in done.stderr


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        choices = Choices("http://127.0.0.1:80", "Example Bank", "+49 241 123 456", web=address, link="127.0.0.1:0")
        portal = RunningPortal.make(tmp_path / "portal", choices)
        done = subprocess.run(
            [sys.executable, "-m", "portal.cli", "--config", str(portal.folder), "web"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
        )
    assert done.returncode == 69
    assert f"web.listen: {address}" in done.stderr
