"""The guide's Caddyfile before one web node: page, sign-in, chunks, and whose tries are counted."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portal.installation import Choices
from relay.core.ids import new_id
from tests.integration.portal.running import RunningPortal, make_certificate, new_box, push_box
from tests.interop.portalproxy.nodes import NAME, READERS, Node, Reader, documented, free_port, move, need, wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Node, int]]:
    choices = Choices(f"https://{NAME}", "Example Bank", "+49 241 123 456", "127.0.0.1:0", "127.0.0.1:0")
    node = Node.of(RunningPortal.make(tmp_path / "node", choices), free_port())
    certificate, key = make_certificate(tmp_path, NAME)
    port = free_port()
    text = move(
        documented("caddy"),
        {
            "https://portal.bank.example {": f"https://portal.bank.example:{port} {{\n    bind 127.0.0.1",
            "/etc/ssl/portal.bank.example.pem": str(certificate),
            "/etc/ssl/private/portal.bank.example.key": str(key),
            "127.0.0.1:8080": f"127.0.0.1:{node.port}",
        },
    )
    (tmp_path / "Caddyfile").write_text(text)
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    command = [need("caddy"), "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    with (tmp_path / "caddy.log").open("wb") as log:
        caddy = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        node.start("link").start()
        wait_for(lambda: _is_open(port), (tmp_path / "caddy.log").read_text)
        yield node, port
    finally:
        caddy.terminate()
        assert caddy.wait(30) == 0
        assert node.stop_all() == [0, 0]


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_what_readers_do_goes_through(site: tuple[Node, int]) -> None:
    node, port = site
    link = node.portal.reconcile()
    box = push_box(link, new_box(node.portal.settings.portal_id))
    reader = Reader(port)
    status, _, headers = reader.call("GET", "/")
    assert (status, len(headers.get_all("Content-Security-Policy") or ())) == (200, 1)
    assert reader.call("GET", "/healthz")[0] == 404
    reader.extra = {"X-Forwarded-For": "203.0.113.9"}
    assert reader.wrong(box)[0] == 401
    with closing(sqlite3.connect(node.portal.settings.database.url.removeprefix("sqlite:///"))) as database:
        rows = database.execute("SELECT name FROM throttle WHERE name LIKE 'net:%'").fetchall()
    # The hour stands behind the last colon.
    names = {name.rpartition(":")[0] for (name,) in rows}
    assert names == {f"net:{READERS[0]}"}
    assert reader.login(box)[0] == 200
    id_, chunk = new_id(), os.urandom(1024 * 1024 + 28)
    assert [reader.call("PUT", f"/api/drafts/{id_}/0/{n}", chunk)[0] for n in range(3)] == [201] * 3
    assert reader.call("GET", f"/api/blobs/{id_}/0/2")[1] == chunk
    link.close()
