"""HTTP/1.1 to the portal's link listener over mutual TLS 1.3: one kept connection, one call at a time.

The peer's certificate is compared with the pinned one before the first octet of a request is sent; no authority counts.
Each call has a deadline for the whole answer and a limit of its size, because the DMZ may be hostile. What it answers
is read by relay.link.wire and believed by nobody. Bodies and paths are never logged. Obeys sealed-mailbox 15, RFC 9530.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.link.config import LinkSettings
from relay.link.errors import (
    LinkConflictError,
    LinkDownError,
    LinkError,
    LinkPinError,
    LinkRefusedError,
    LinkUnknownError,
)
from relay.link.wire import (
    Ack,
    End,
    HeldGenerations,
    InventoryPage,
    MalformedAnswerError,
    Mark,
    Report,
    encode_b64,
    read_generations,
    read_held_chunks,
    read_inventory,
    read_mark,
    read_outbox,
    read_reports,
)
from relay.mailbox.incoming_values import Entry

CHUNK_LIMIT = 1024 * 1024 + 28
"""Octets of a sealed chunk (sealed-mailbox 9)."""
_ANSWER_LIMIT = 32 * 1024 * 1024
_PIECE = 256 * 1024
_IDLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 10.0
    answer: float = 60.0
    """For a whole answer; a long poll adds its waiting time."""


@dataclass(frozen=True, slots=True)
class BoxHead:
    """What the portal is to hold of a box."""

    login_id: str
    base: str | None
    """Digest of the capsule that this one replaces."""
    capsule: bytes
    state: str
    first_expires: str | None
    must_change: bool
    lang: str


@dataclass(frozen=True, slots=True)
class MessageHead:
    """A sealed message without its chunks."""

    no: int
    gen: int
    card: int
    expires: str
    sealed: bytes
    parts: Sequence[tuple[int, int]]
    """Part number and count of chunks."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One request and what its answer may take."""

    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]
    limit: int
    seconds: float


class PortalLink:
    """The calls of the link API, typed. Calls from several threads wait for each other: make one a thread.

    All raise LinkError: LinkDownError (no connection, no answer), LinkRefusedError, LinkUnknownError (404),
    LinkConflictError (409); every one is temporary.
    """

    def __init__(
        self,
        settings: LinkSettings,
        timeouts: Timeouts | None = None,
        *,
        puller: str = "",
        on_break: Callable[[], None] = lambda: None,
    ) -> None:
        """`puller` names this node: the portal leases a box's entries to one. `on_break` is called when a connection in
        use broke, also where the call then went through on another.

        Raises ConfigurationError for certificates that cannot be used.
        """
        self._puller = puller
        self._on_break = on_break
        self._used_at = 0.0
        self._host, self._port = settings.host, settings.port
        self._timeouts = timeouts or Timeouts()
        self._pins = settings.fingerprints()
        self._context = make_context(settings)
        self._lock = threading.Lock()
        self._connection: http.client.HTTPSConnection | None = None
        self._is_closed = False

    # --- boxes --------------------------------------------------------------------------------------------------------

    def put_box(self, box: str, head: BoxHead) -> None:
        """Push a capsule. Raises LinkConflictError with the digest and the number of waiting entries."""
        self._put_json(
            f"boxes/{box}",
            {
                "login_id": head.login_id,
                "base": head.base,
                "capsule": encode_b64(head.capsule),
                "state": head.state,
                "first_expires": head.first_expires,
                "must_change": head.must_change,
                "lang": head.lang,
            },
        )

    def get_box(self, box: str, since: int) -> HeldGenerations:
        """Return the newest capsule's digest and the rekeys after generation `since`."""
        return read_generations(self._get_json(f"boxes/{box}?since={since}"), box)

    def end_box(self, box: str, what: End) -> None:
        """End sessions, writes, the password or the box."""
        self._post_json(f"boxes/{box}/end", {"end": what.value})

    # --- messages -----------------------------------------------------------------------------------------------------

    def put_chunk(self, box: str, message_id: str, i: int, n: int, data: bytes) -> None:
        """Push one sealed chunk. Raises LinkConflictError when other octets are there."""
        self._ask("PUT", f"boxes/{box}/blobs/{message_id}/{i}/{n}", data, "application/octet-stream")

    def held_chunks(self, box: str, message_id: str) -> dict[int, frozenset[int]]:
        """Return which chunks of an id the portal holds, by part."""
        try:
            return read_held_chunks(self._get_json(f"boxes/{box}/blobs/{message_id}"))
        except LinkUnknownError:
            return {}

    def put_message(self, box: str, message_id: str, head: MessageHead) -> None:
        """Make a message visible. Raises LinkConflictError with the missing chunks."""
        self._put_json(
            f"boxes/{box}/messages/{message_id}",
            {
                "no": head.no,
                "gen": head.gen,
                "card": head.card,
                "expires": head.expires,
                "sealed": encode_b64(head.sealed),
                "parts": [{"i": i, "chunks": chunks} for i, chunks in head.parts],
            },
        )

    def delete_message(self, box: str, message_id: str) -> None:
        """Delete a message; one that is not there is deleted too."""
        with contextlib.suppress(LinkUnknownError):
            self._ask("DELETE", f"boxes/{box}/messages/{message_id}")

    # --- cards, tokens, joins -----------------------------------------------------------------------------------------

    def put_card(self, serial: int, record: Mapping[str, Any]) -> None:
        """Push a card record `{card, sigs}`."""
        self._put_json(f"cards/{serial}", record)

    def put_token(self, digest: str, box: str, message_id: str, expires: str) -> None:
        """Push a reply link: digest of its token, its box and ticket."""
        self._put_json(f"tokens/{digest}", {"box": box, "id": message_id, "expires": expires})

    def put_join(self, digest: str, expires: str) -> None:
        """Push a registration link's digest."""
        self._put_json(f"joins/{digest}", {"expires": expires})

    # --- outbox -------------------------------------------------------------------------------------------------------

    def poll_outbox(self, wait: int, limit: int) -> list[Entry]:
        """Return the oldest entries that are not acknowledged; waits up to `wait` seconds for one."""
        return read_outbox(self._get_json(f"outbox?wait={wait}&limit={limit}", extra=wait))

    def get_chunk(self, box: str, item_id: str, i: int, n: int) -> bytes:
        """Return a sealed chunk of an item. Raises LinkUnknownError when the portal has none."""
        return self._ask("GET", f"outbox/{box}/{item_id}/{i}/{n}", limit=CHUNK_LIMIT)

    def ack(self, acks: Sequence[Ack]) -> None:
        """Acknowledge entries, after the inside commit."""
        found = [{"box": ack.box, "id": ack.id, "result": ack.result.value} for ack in acks]
        self._post_json("outbox/ack", {"acks": found})

    def reoffer(self, since: str) -> None:
        """Ask for what was acknowledged since a time: a link key was stolen."""
        self._post_json("outbox/reoffer", {"since": since})

    # --- hints, mark, inventory ---------------------------------------------------------------------------------------

    def get_reports(self, limit: int = 100) -> list[Report]:
        """Return unsigned hints."""
        return read_reports(self._get_json(f"reports?limit={limit}"))

    def ack_reports(self, seq: int) -> None:
        """Drop the reports up to and with `seq`."""
        self._post_json("reports/ack", {"seq": seq})

    def get_mark(self) -> Mark:
        """Return the portal's mark."""
        return read_mark(self._get_json("mark"))

    def put_mark(self, number: int, time: str, *, is_reconciled: bool) -> None:
        """Write the mark; `is_reconciled` opens a portal that waits for the comparison."""
        self._put_json("mark", {"mark": number, "time": time, "reconciled": is_reconciled})

    def get_inventory(self, after: str, limit: int = 100) -> InventoryPage:
        """Return a page of what the portal holds, boxes after `after`."""
        return read_inventory(self._get_json(f"inventory?after={after}&limit={limit}"))

    # --- one call -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection; from another thread it ends a call that waits."""
        self._is_closed = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._drop()

    def _get_json(self, path: str, *, extra: float = 0.0) -> Mapping[str, Any]:
        return _read_object(self._ask("GET", path, extra=extra))

    def _put_json(self, path: str, value: Mapping[str, Any]) -> None:
        self._ask("PUT", path, _write(value), "application/json")

    def _post_json(self, path: str, value: Mapping[str, Any]) -> None:
        self._ask("POST", path, _write(value), "application/json")

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "",
        *,
        limit: int = _ANSWER_LIMIT,
        extra: float = 0.0,
    ) -> bytes:
        headers = {"Accept": "application/json"}
        if self._puller:
            headers["X-Letterlock-Puller"] = self._puller
        if body is not None:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
            headers |= {"Content-Type": kind, "Content-Digest": f"sha-256=:{digest}:"}
        call = _Call(method, f"/link/v1/{path}", body, headers, limit, self._timeouts.answer + extra)
        with self._lock:
            code, answer = self._exchange(call)
        return _judge(code, answer)

    def _exchange(self, call: _Call) -> tuple[int, bytes]:
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            # Long before the portal closes it: so a connection that breaks in use means something.
            self._drop()
        is_kept = self._connection is not None
        try:
            return self._exchange_once(call)
        except LinkPinError:
            raise
        except LinkDownError:
            self._on_break()
            if not is_kept or self._is_closed:
                raise
        # Every call may be repeated (15: same id and digest again is 200).
        return self._exchange_once(call)

    def _exchange_once(self, call: _Call) -> tuple[int, bytes]:
        try:
            connection = self._connect()
            assert connection.sock is not None
            deadline = time.monotonic() + call.seconds
            connection.sock.settimeout(call.seconds)
            connection.request(call.method, call.target, call.body, dict(call.headers))
            response = connection.getresponse()
            try:
                answer = _read_body(response, connection.sock, call.limit, deadline)
            except BaseException:
                # It holds the socket open by itself.
                response.close()
                raise
            self._used_at = time.monotonic()
            if response.will_close:
                self._drop()
            return response.status, answer
        except LinkError:
            self._drop()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop()
            raise LinkDownError(f"the portal link is down: {type(error).__name__}") from error

    def _connect(self) -> http.client.HTTPSConnection:
        if self._is_closed:
            raise LinkDownError("the link was closed")
        if self._connection is None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeouts.connect, context=self._context
            )
            self._connection = connection
            connection.connect()
            peer = connection.sock.getpeercert(binary_form=True) or b""
            if hashlib.sha256(peer).digest() not in self._pins:
                raise LinkPinError("the portal shows another certificate than the pinned one")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def make_context(settings: LinkSettings) -> ssl.SSLContext:
    """Return the TLS context with our own certificate. Raises ConfigurationError."""
    from relay.core.errors import ConfigurationError

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # No authority and no name counts: the certificate itself is pinned, and compared before anything is sent.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "portal.link_certificate",
            "cannot be used with portal.link_key",
            "Name the PEM files of one pair; the key without a passphrase, mode 0600",
        ) from error
    return context


def _write(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def _read_body(response: http.client.HTTPResponse, sock: Any, limit: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    have = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LinkDownError("the portal takes too long to answer")
        with contextlib.suppress(OSError):
            sock.settimeout(left)
        piece = response.read1(_PIECE)
        if not piece:
            if response.length:
                raise LinkDownError("the portal's answer was cut off")
            # read1 leaves an answer open at its end, and the connection could not be used again.
            response.close()
            return b"".join(pieces)
        have += len(piece)
        if have > limit:
            raise MalformedAnswerError("the portal's answer is too long")
        pieces.append(piece)


def _judge(code: int, answer: bytes) -> bytes:
    if 200 <= code < 300:
        return answer
    if code == 409:
        raise LinkConflictError(_read_object(answer))
    error = "unknown"
    with contextlib.suppress(LinkError):
        found = _read_object(answer).get("error")
        error = found[:40] if isinstance(found, str) and found.isascii() and found.isprintable() else error
    if code == 404:
        raise LinkUnknownError("the portal does not know it")
    if code >= 500 or code == 429:
        raise LinkDownError(f"the portal cannot do it now: {code}")
    raise LinkRefusedError(code, error)


def _read_object(untrusted: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(untrusted)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError("the portal's answer is no JSON") from error
    if not isinstance(value, dict):
        raise MalformedAnswerError("the portal's answer is no object")
    return value
