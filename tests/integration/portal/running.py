"""The real portal: `letterlock-portal serve` with both listeners on ports of their own, and the relay's real client."""

from __future__ import annotations

import datetime as dt
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.installation import Choices, create_portal
from portal.settings import Settings, load_settings
from relay.core.wire.pae import encode_b64
from relay.core.wire.sealed import format_time
from relay.link.client import BoxHead, PortalLink
from relay.link.config import LinkSettings
from tests.contract.portal.site import Box

ROOT = Path(__file__).parents[3]
_NOW = dt.datetime.now(dt.UTC)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate; return certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - dt.timedelta(days=1))
        .not_valid_after(_NOW + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    private.chmod(0o600)
    return pem, private


@dataclass
class RunningPortal:
    """One host with both listeners."""

    folder: Path
    settings: Settings
    relay: tuple[Path, Path]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    links: list[PortalLink] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, choices: Choices | None = None, *, url: str = "http://127.0.0.1:80") -> RunningPortal:
        choices = choices or Choices(url, "Example Bank", "+49 241 123 456", web="127.0.0.1:0", link="127.0.0.1:0")
        path = create_portal(folder, choices)
        relay = make_certificate(folder, "inside")
        (folder / "link" / "relay.pem").write_bytes(relay[0].read_bytes())
        return cls(folder, load_settings(path), relay)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> RunningPortal:
        for name in ("web", "link"):
            (self.settings.state_dir / f"{name}.address").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "portal.cli", "--config", str(self.folder), "serve"],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for name in ("web", "link"):
            self.address(name)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        for link in self.links:
            link.close()
        self.process.send_signal(number)
        return self.process.wait(30)

    def address(self, name: str) -> tuple[str, int]:
        """Wait for a listener; return where it listens."""
        place = self.settings.state_dir / f"{name}.address"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text("utf-8")
            if place.exists():
                host, _, port = place.read_text("ascii").strip().rpartition(":")
                return host, int(port)
            time.sleep(0.05)
        raise AssertionError(self.log.read_text("utf-8"))

    def link(self, certificate: tuple[Path, Path] | None = None) -> PortalLink:
        """Return the relay's client."""
        host, port = self.address("link")
        assert self.settings.link.certificate is not None
        pin = self.settings.link.certificate
        pem, key = certificate or self.relay
        link = PortalLink(LinkSettings(self.settings.portal_id, f"https://{host}:{port}", pem, key, pin))
        self.links.append(link)
        return link

    def reconcile(self, number: int = 1) -> PortalLink:
        link = self.link()
        link.put_mark(number, format_time(time.time_ns() // 1_000_000), is_reconciled=True)
        return link

    def browser(self) -> HttpBrowser:
        host, port = self.address("web")
        return HttpBrowser(host, port)


class HttpBrowser:
    """HTTP with a cookie jar, over a real socket."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.cookies: dict[str, str] = {}

    def call(
        self, method: str, path: str, body: object = None, **more: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Call; `more` are header fields, written with underscores."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        if method != "GET":
            headers["X-Letterlock"] = "1"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie") or ():
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        status, octets, _ = self.call(method, f"/api/{path}", body)
        return status, json.loads(octets) if octets else None

    def login(self, box: Box) -> tuple[int, Any]:
        return self.api("POST", "login", {"login_id": box.login_id, "kdf": 1, "auth": encode_b64(box.auth)})


def push_box(link: PortalLink, box: Box, state: str = "active", base: str | None = None) -> Box:
    """Push a box as the relay does."""
    link.put_box(box.id, BoxHead(box.login_id, base, box.capsule, state, None, False, "en"))
    return box


def new_box(portal_id: str, state: str = "active") -> Box:
    """Make a box that the relay may push."""
    from relay.core.ids import new_id

    box = Box(portal_id, new_id(), encode_b64(hashlib.sha256(os.urandom(32)).digest()))
    box.write_capsule("browser" if state == "active" else "relay", time.time_ns() // 1_000_000)
    return box


def is_listening(host: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def with_database(choices: Choices, url: str) -> Choices:
    """Return the choices for a PostgreSQL database, row keys in a schema of their own."""
    return replace(choices, database=url, keys_database=f"{url}?options=-csearch_path%3Drow_keys")
