"""Two web nodes of one portal on one PostgreSQL behind a reverse proxy, with the operator guide's configuration."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from portal.settings import load_settings
from relay.core.wire.pae import encode_b64
from tests.contract.portal.site import Box
from tests.integration.portal.running import ROOT, HttpBrowser, RunningPortal

GUIDE = ROOT / "docs/operator/portal.md"
NAME = "portal.bank.example"
READERS = ("127.0.0.2", "127.0.0.3")
"""Addresses of the loopback that readers come from."""


def documented(kind: str) -> str:
    """Return the guide's fenced file of this kind that holds a server."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{kind}: {len(found)} files"
    return str(found[0])


def documented_block(begin: str) -> str:
    """Return the guide's indented lines from one that begins so, to the empty line behind them."""
    found = re.search(rf"^    {re.escape(begin)}.*?\n(?=\n)", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, begin
    return found[0]


def need(program: str) -> str:
    """Return a program's path, or fail with what to install."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.fail(f"{program} is not installed: .ci/setup test", pytrace=False)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def move(text: str, changes: Mapping[str, str]) -> str:
    """Replace what names the guide's host by what this test has; each must be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@dataclass
class Node:
    """One `letterlock-portal web`, and one `link` where it is asked for."""

    portal: RunningPortal
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, portal: RunningPortal, port: int) -> Node:
        """Say where it listens and that a proxy stands in front, as the guide does."""
        path = portal.settings.path
        text = move(
            path.read_text("utf-8"),
            {'listen = "127.0.0.1:0"\n#': f'listen = "127.0.0.1:{port}"\n#', '"none"': '"last"'},
        )
        path.write_text(text, "utf-8")
        portal.settings = load_settings(path)
        return cls(portal, port)

    def start(self, name: str = "web") -> Node:
        """Start a listener and wait until it listens."""
        (self.portal.settings.state_dir / f"{name}.address").unlink(missing_ok=True)
        with self.portal.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "portal.cli", "--config", str(self.portal.folder), name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes[name] = self.portal.process = process
        self.portal.address(name)
        return self

    def stop(self, name: str = "web") -> int:
        """Stop a listener at once, with the proxy's idle connections; return its exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGINT)
        return process.wait(30)

    def stop_all(self) -> list[int]:
        """Stop what runs; return the exit codes."""
        return [self.stop(name) for name in list(self.processes)]


class Reader(HttpBrowser):
    """A browser that comes to the proxy by TLS from an address of its own."""

    def __init__(self, port: int, source: str = READERS[0], host: str = NAME) -> None:
        super().__init__(host, port)
        self.source = source
        self.extra: dict[str, str] = {}

    def connect(self) -> http.client.HTTPConnection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        sock = socket.create_connection(("127.0.0.1", self.port), 60, (self.source, 0))
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.sock = context.wrap_socket(sock, server_hostname=self.host)
        return connection

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes, http.client.HTTPMessage]:
        headers = {"Host": self.host, **self.extra}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        if method != "GET":
            headers |= {"X-Letterlock": "1", "Sec-Fetch-Site": "same-origin", "Origin": f"https://{NAME}"}
        connection = self.connect()
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie") or ():
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def wrong(self, box: Box) -> tuple[int, Any]:
        """Try a wrong password."""
        return self.api("POST", "login", {"login_id": box.login_id, "kdf": 1, "auth": encode_b64(os.urandom(32))})


def wait_for(what: Callable[[], bool], why: Callable[[], str], seconds: float = 60) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, why()
        time.sleep(0.05)
