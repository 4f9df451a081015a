"""The portal's pages and scripts, looked at from outside and compared with this release (sealed-mailbox 18).

Fetched over public HTTPS as a reader's browser does. A script or sheet must be the very file of this release; a page
must load its own script with its hash and nothing else that runs: no inline script, no handler, no frame, no form that
posts, and the policy headers that shut such things out. Words, colours and pictures are the organisation's own and not
compared.

What it cannot see: a host that shows readers other pages than us. It makes that harder, and a careless change visible.
What cannot be read for certain (relay.link.markup) is a difference, too. Must not follow redirects, send anything,
believe a length, or wait longer than a fetch has.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.core.errors import ConfigurationError
from relay.core.wire.pae import encode_b64
from relay.link.errors import LinkError
from relay.link.markup import MarkupError, Tag, read_tags

_PREFIX = "/static/"
_MOST_OCTETS = 4 * 1024 * 1024
"""Of a script or sheet."""
_MOST_OF_PAGE = 256 * 1024
_SECONDS = 30.0
"""For a whole fetch: all of them together stay below the lease of the look (relay.link.page_watch)."""
_TYPE = "text/html;charset=utf-8"
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",
    "worker-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self'",
    "frame-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}
"""What the Content-Security-Policy of each page must say."""
_INTEGRITY_POLICY = "blocked-destinations=(script)"
_SHUT_OUT = frozenset({"base", "embed", "frame", "frameset", "iframe", "object", "portal", "applet", "style"})
_RUNNING = ("action", "formaction", "srcdoc", "style", "http-equiv")
_PAGES = (HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.LOCKED)
_LINKS = frozenset({"stylesheet", "icon"})


class PagesUnreachableError(LinkError):
    """The public side gave no answer; that says nothing about its pages."""

    status = "4.4.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Fetch = Callable[[str], Answer]
"""A path to its answer. Raises PagesUnreachableError."""


@dataclass(frozen=True, slots=True)
class Release:
    """Files of this release by the name of their source, `entry.js`: path and integrity."""

    files: Mapping[str, tuple[str, str]]

    @classmethod
    def read(cls, manifest: Path) -> Release:
        """Read the bundle's `manifest.json`. Raises ConfigurationError."""
        try:
            untrusted = json.loads(manifest.read_text("utf-8"))
            files = {str(name): (_PREFIX + str(one["file"]), str(one["integrity"])) for name, one in untrusted.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                str(manifest), f"cannot be read as the scripts' list ({type(error).__name__})", "Install it again"
            ) from error
        return cls(files)


def open_fetch(url: str, context: ssl.SSLContext | None = None, *, seconds: float = _SECONDS) -> Fetch:
    """Return what fetches from the portal's public address, with the system's certificate authorities.

    `context`: for a portal under another authority. `seconds`: for a whole fetch, however slowly it drips. Each path
    has a connection of its own. What is longer than it may be comes cut off, one octet behind its limit.
    """
    parts = urlsplit(url)
    trust = context or ssl.create_default_context()

    def fetch(path: str) -> Answer:
        deadline = time.monotonic() + seconds
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, timeout=seconds, context=trust
        )
        try:
            connection.request("GET", path, headers={"Accept": "text/html,*/*", "Accept-Encoding": "identity"})
            answer = http.client.HTTPResponse(_Hasty(connection.sock, deadline), method="GET")  # type: ignore[arg-type]
            answer.begin()
            body = answer.read((_MOST_OCTETS if path.startswith(_PREFIX) else _MOST_OF_PAGE) + 1)
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PagesUnreachableError(f"{parts.netloc}: {type(error).__name__}") from error
        finally:
            connection.close()

    return fetch


class _Hasty(io.RawIOBase):
    """A socket to read from until one point in time; its own time-out is of each single read."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        """See socket.socket: what http.client asks for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase. Raises TimeoutError when the time is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long to answer")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


def compare_pages(fetch: Fetch, release: Release, *, reply: str = "", join: str = "") -> list[str]:
    """Return in words what differs from this release, nothing when all is as it should be.

    `reply`, `join`: a link of ours each that is open, so that its page is looked at too; without one it is the page for
    unknown links. Raises PagesUnreachableError when one of them gives no answer at all.
    """
    found: list[str] = []
    for name, (path, integrity) in sorted(release.files.items()):
        answer = fetch(path)
        if answer.status != HTTPStatus.OK:
            found.append(f"{path}: {answer.status} in place of the file; is another release installed there?")
        elif not _fits(answer.body, integrity):
            found.append(f"{path}: is not the {name} of this release")
    unknown = encode_b64(os.urandom(16))
    for shown, path, scripts in (
        ("/", "/", ("entry.js",)),
        ("/mailbox", "/mailbox", ("entry.js",)),
        ("/r/...", f"/r/{reply or unknown}", ("reply.js",)),
        ("/join/...", f"/join/{join or unknown}", ("join.js",)),
    ):
        found += [f"{shown}: {words}" for words in _compare_page(fetch(path), release, scripts)]
    return found


def _fits(body: bytes, integrity: str) -> bool:
    algorithm, _, expected = integrity.partition("-")
    if algorithm not in ("sha256", "sha384", "sha512"):
        return False
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode("ascii") == expected


def _compare_page(answer: Answer, release: Release, scripts: Sequence[str]) -> list[str]:
    if 300 <= answer.status < 400:
        return ["sends the reader elsewhere"]
    if answer.status not in _PAGES:
        return [f"{answer.status} in place of a page"]
    found = []
    policy = _read_policy(answer.headers.get("content-security-policy", ""))
    if wrong := sorted(name for name, value in _POLICY.items() if policy.get(name) != value):
        found.append(f"its Content-Security-Policy has another {', '.join(wrong)}")
    if answer.headers.get("integrity-policy", "") != _INTEGRITY_POLICY:
        found.append("its Integrity-Policy is missing")
    if "".join(answer.headers.get("content-type", "").split()).lower() != _TYPE or "content-encoding" in answer.headers:
        found.append("it is sent as something else than plain HTML in UTF-8")
    if "refresh" in answer.headers:
        found.append("sends the reader elsewhere")
    if len(answer.body) > _MOST_OF_PAGE:
        return [*found, "it is longer than any page of ours"]
    page = _Page(release, scripts)
    try:
        for tag in read_tags(answer.body):
            page.look_at(tag)
    except MarkupError as error:
        return [*found, *page.found, f"cannot be read for certain: {error}"]
    found += page.found
    if answer.status == HTTPStatus.OK and page.count != 1:
        found.append("it does not load its script once")
    return found


def _read_policy(untrusted_text: str) -> dict[str, str]:
    read: dict[str, str] = {}
    for directive in untrusted_text.split(";"):
        name, _, value = directive.strip().partition(" ")
        # The first of a name counts (CSP 3, 2.2.1).
        read.setdefault(name.lower(), " ".join(value.split()))
    return read


class _Page:
    """Notes what a page must not have."""

    def __init__(self, release: Release, scripts: Sequence[str]) -> None:
        self._scripts = {release.files[name] for name in scripts if name in release.files}
        self._sheets = {one for name, one in release.files.items() if name.endswith(".css")}
        self.found: list[str] = []
        self.count = 0

    def look_at(self, found: Tag) -> None:
        """Look at one element."""
        tag, values = found.name, found.attributes
        if found.has_twice:
            self._note(f"a {tag} with an attribute twice")
        if tag in _SHUT_OUT:
            self._note(f"a {tag}")
        elif tag == "script":
            self._look_at_script(values)
        elif tag == "link":
            self._look_at_link(values)
        elif tag == "form" and values.get("method", "").lower() != "dialog":
            self._note("a form that posts")
        for name, value in values.items():
            if name.startswith("on") or name in _RUNNING:
                self._note(f"a {tag} with {name}")
            elif name in ("href", "src", "data", "xlink:href", "ping", "poster") and not _is_own(value):
                self._note(f"a {tag} that leads elsewhere")

    def _look_at_script(self, values: Mapping[str, str]) -> None:
        if values.get("type") == "application/json" and "src" not in values:
            return
        self.count += 1
        if (values.get("src", ""), values.get("integrity", "")) not in self._scripts:
            self._note("a script that is not its own, or without its hash")

    def _look_at_link(self, values: Mapping[str, str]) -> None:
        address = values.get("href", "")
        if values.get("rel", "").lower() not in _LINKS:
            self._note("a link that loads something")
            return
        is_ours = address.startswith("/brand/") or (address, values.get("integrity", "")) in self._sheets
        if values["rel"].lower() == "stylesheet" and not is_ours:
            self._note("a sheet that is not of this release, or without its hash")

    def _note(self, words: str) -> None:
        if words not in self.found:
            self.found.append(words)


def _is_own(untrusted_address: str) -> bool:
    """Tell whether an address stays on the host, or is a telephone number."""
    address = "".join(c for c in untrusted_address if c > " ")
    if address.startswith(("//", "/\\")):
        return False
    return address == "" or address.startswith(("/", "?", "#", "tel:"))
