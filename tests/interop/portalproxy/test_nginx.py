"""The guide's nginx before two web nodes on one PostgreSQL: what readers do goes through, and each thing it promises.

Features F7 and L1 (T6: sign in on one node, read on the other, sign out on the first, refused on the other).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from portal.installation import Choices
from relay.core.ids import new_id
from relay.link.client import PortalLink
from relay.mailbox.incoming_values import ItemEntry
from tests.contract.portal.site import Box, item
from tests.contract.store.databases import PostgresServer
from tests.integration.portal.running import RunningPortal, make_certificate, new_box, push_box, with_database
from tests.interop.browser.driver import open_browser
from tests.interop.portalproxy.nodes import (
    NAME,
    READERS,
    Node,
    Reader,
    documented,
    documented_block,
    free_port,
    move,
    need,
    wait_for,
)

pytestmark = pytest.mark.postgres
CHUNK = 1024 * 1024 + 28


@dataclass
class Site:
    """Proxy, nodes and what the inside has."""

    folder: Path
    server: PostgresServer
    nodes: list[Node]
    link: PortalLink
    port: int
    plain_port: int

    def reader(self, source: str = READERS[0]) -> Reader:
        return Reader(self.port, source)

    def box(self) -> Box:
        return push_box(self.link, new_box(self.nodes[0].portal.settings.portal_id))

    def answers(self) -> bool:
        return self.reader().call("GET", "/")[0] == 200

    def log(self) -> str:
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("nginx/*.log")))

    def counters(self) -> set[str]:
        with psycopg.connect(self.server.url("portal")) as connection:
            return {row[0] for row in connection.execute("SELECT name FROM throttle WHERE wrong > 0")}


def start_nginx(folder: Path, ports: list[int], secure: int, plain: int) -> subprocess.Popen[bytes]:
    """Start a private nginx with the guide's file; only what names the host is replaced."""
    program, here = need("nginx"), folder / "nginx"
    here.mkdir()
    certificate, key = make_certificate(here, NAME)
    text = move(
        documented("nginx"),
        {
            # A browser of this host finds no other name.
            "server_name portal.bank.example;": "server_name portal.bank.example localhost;",
            # Section 15's, which stands there only where the host may open mail.
            "    location = /healthz {": documented_block("location /simple") + "    location = /healthz {",
            "listen 443": f"listen 127.0.0.1:{secure}",
            "listen 80": f"listen 127.0.0.1:{plain}",
            # The second node, as section 11 says.
            "server 127.0.0.1:8080;": " ".join(f"server 127.0.0.1:{port};" for port in ports),
            "/etc/ssl/portal.bank.example.pem": str(certificate),
            "/etc/ssl/private/portal.bank.example.key": str(key),
            "/var/log/nginx/": f"{here}/",
        },
    )
    (here / "letterlock.conf").write_text(text)
    temporary = "".join(f"{name}_temp_path {here}/{name};" for name in ("client_body", "proxy"))
    user = "user root;" if os.geteuid() == 0 else ""
    (here / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log crit;\n"
        f"events {{ worker_connections 512; }}\nhttp {{ {temporary} include {here}/letterlock.conf; }}\n"
    )
    arguments = [program, "-p", str(here), "-e", str(here / "error.log"), "-c", str(here / "nginx.conf")]
    subprocess.run([*arguments, "-t"], check=True, capture_output=True, timeout=30)
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("proxy")
    server = PostgresServer()
    server.admin("CREATE DATABASE portal")
    nodes: list[Node] = []
    nginx = None
    try:
        for number in range(2):
            first = nodes[0].portal.settings.portal_id if nodes else None
            choices = Choices(
                f"https://{NAME}", "Example Bank", "+49 241 123 456", "127.0.0.1:0", "127.0.0.1:0", portal_id=first
            )
            made = RunningPortal.make(folder / f"node{number}", with_database(choices, server.url("portal")))
            if nodes:
                pepper = nodes[0].portal.settings.pepper_file.read_bytes()
                made.settings.pepper_file.write_bytes(pepper)
            nodes.append(Node.of(made, free_port()))
        nodes[0].start("link").start()
        nodes[1].start()
        secure, plain = free_port(), free_port()
        nginx = start_nginx(folder, [node.port for node in nodes], secure, plain)
        link = nodes[0].portal.reconcile()
        found = Site(folder, server, nodes, link, secure, plain)
        wait_for(lambda: _is_open(secure) and found.answers(), found.log)
        yield found
        link.close()
    finally:
        if nginx is not None:
            nginx.terminate()
            assert nginx.wait(30) == 0
        codes = [code for node in nodes for code in node.stop_all()]
        server.close()
    assert codes == [0, 0, 0]


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_pages_and_files_arrive_with_the_portals_own_headers(site: Site) -> None:
    reader = site.reader()
    status, page, headers = reader.call("GET", "/")
    assert status == 200
    assert headers.get_all("Content-Security-Policy") is not None
    assert len(headers.get_all("Content-Security-Policy") or ()) == 1
    assert headers["Strict-Transport-Security"].startswith("max-age=63072000")
    assert "Content-Encoding" not in headers
    assert "nginx/" not in headers.get("Server", "")
    script = re.search(r'src="(/static/[^"]+)" integrity="sha384-', page.decode())
    assert script is not None, page[:500]
    reader.extra = {"Accept-Encoding": "gzip"}
    status, _, headers = reader.call("GET", script[1])
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert headers["Cache-Control"].endswith("immutable")
    assert reader.call("GET", "/healthz")[0] == 404


def test_plain_http_leads_to_the_address_and_carries_nothing(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.plain_port, timeout=30)
    connection.request("GET", "/r/AAAAAAAAAAAAAAAAAAAAAA", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{NAME}/")
    connection.close()


def test_another_name_gets_no_certificate_and_old_tls_no_answer(site: Site) -> None:
    with pytest.raises(ssl.SSLError):
        Reader(site.port, host="other.example").call("GET", "/")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", site.port), 30) as sock, pytest.raises(ssl.SSLError):
        context.wrap_socket(sock, server_hostname=NAME)


def test_several_megabytes_up_and_down_without_a_file_on_the_proxys_disk(site: Site) -> None:
    box, reader = site.box(), site.reader()
    assert reader.login(box)[0] == 200
    chunks = [os.urandom(CHUNK) for _ in range(5)] + [os.urandom(700)]
    before = {path: path.stat().st_mtime_ns for path in site.folder.glob("nginx/*/") if path.is_dir()}
    assert {path.name for path in before} == {"client_body", "proxy"}
    id_ = new_id()
    for number, chunk in enumerate(chunks):
        assert reader.call("PUT", f"/api/drafts/{id_}/0/{number}", chunk)[0] == 201
    assert reader.api("POST", "send", item(box, id=id_, parts=[{"i": 0, "chunks": 6}]))[0] == 201
    for number, chunk in enumerate(chunks):
        status, octets, headers = reader.call("GET", f"/api/blobs/{id_}/0/{number}")
        assert status == 200
        assert "Content-Encoding" not in headers
        assert hashlib.sha256(octets).digest() == hashlib.sha256(chunk).digest()
    (entry,) = [one for one in site.link.poll_outbox(5, 10) if isinstance(one, ItemEntry) and one.id == id_]
    assert entry.box == box.id
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert reader.call("PUT", f"/api/drafts/{new_id()}/0/0", bytes(3 * 1024 * 1024))[0] == 413


def test_sign_in_on_one_node_read_on_the_other_sign_out_refused_there(site: Site) -> None:
    one, two = site.nodes
    box, reader = site.box(), site.reader()
    two.stop()
    wait_for(site.answers, site.log)
    assert reader.login(box)[0] == 200
    two.start()
    one.stop()
    wait_for(site.answers, site.log)
    stolen = dict(reader.cookies)
    assert reader.api("GET", "messages")[0] == 200
    assert reader.api("GET", "session")[1]["box"] == box.id
    one.start()
    two.stop()
    wait_for(site.answers, site.log)
    assert reader.call("POST", "/api/logout", {})[0] == 204
    two.start()
    one.stop()
    wait_for(site.answers, site.log)
    reader.cookies = stolen
    assert reader.api("GET", "messages")[0] == 401
    one.start()
    wait_for(site.answers, site.log)


def test_wrong_tries_count_for_the_readers_own_address(site: Site) -> None:
    box = site.box()
    here, there = site.reader(READERS[0]), site.reader(READERS[1])
    here.extra = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    assert here.wrong(box)[0] == 401
    assert there.wrong(box)[0] == 401
    # The hour stands behind the last colon.
    counters = {name.rpartition(":")[0] for name in site.counters() if name.startswith("net:")}
    assert counters == {f"net:{address}" for address in READERS}


def test_slow_senders_hold_no_thread_of_the_portal(site: Site) -> None:
    """More half-sent bodies than both nodes have threads, from one address; another reader is served."""
    open_: list[http.client.HTTPConnection] = []
    slow = site.reader(READERS[1])
    try:
        for _ in range(80):
            connection = slow.connect()
            connection.putrequest("POST", "/api/forgot")
            # Without this the portal refuses at once and reads no body.
            connection.putheader("X-Letterlock", "1")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", "200")
            connection.endheaders(b"{")
            open_.append(connection)
        for _ in range(8):
            assert site.reader().call("GET", "/")[0] == 200
    finally:
        for connection in open_:
            connection.close()


def test_a_flood_of_logins_is_turned_away_with_429_before_the_portal(site: Site) -> None:
    box, reader = site.box(), site.reader("127.0.0.77")
    codes = [reader.wrong(box)[0] for _ in range(40)]
    assert 401 in codes
    assert reader.api("POST", "login", {}) == (429, {"error": "wait", "seconds": 30})
    # Others are not held up by it.
    assert site.reader("127.0.0.78").login(site.box())[0] == 200


def test_no_address_path_or_token_stands_in_the_proxys_logs(site: Site) -> None:
    token = new_id()
    reader = site.reader("127.0.0.99")
    assert reader.call("GET", f"/r/{token}?lang=en&u=canary")[0] == 404
    one, two = site.nodes
    for node in (one, two):
        node.stop()
    # With nobody behind it nginx says so, in the errors' log as well.
    status = reader.call("GET", f"/r/{token}")[0]
    for node in (one, two):
        node.start()
    wait_for(site.answers, site.log)
    assert status in (502, 504)
    log = (site.folder / "nginx/letterlock.log").read_text()
    assert re.search(r"^\S+ GET 404 \d+ [\d.]+$", log, re.MULTILINE)
    for word in (token, "canary", "127.0.0.", "/r/", "/api/"):
        assert word not in site.log()


def test_a_real_browser_comes_alive_behind_it(site: Site) -> None:
    """Scripts with their hashes, worker, Argon2 and the login's answer, all through the proxy."""
    with open_browser("chromium") as browser:
        page = browser.new_page()
        assert page.goto(f"https://localhost:{site.port}/?lang=en") == 200
        page.type("#login-name", "nobody@partner.example")
        page.type("#password", "no password of anybody")
        page.click("#open")
        page.wait_for_selector("#problem :not(:empty)")
        assert "password" in page.text("#problem")
        # What the console says is the refused login alone.
        assert [one for one in page.problems() if "401" not in one] == []
