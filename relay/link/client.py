"""The calls of the portal's link API, typed, over one pinned connection (relay.link.transport).

What the portal answers is read by relay.link.wire and believed by nobody. Bodies and paths are never logged. Obeys
sealed-mailbox 15, RFC 9530.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.link.config import LinkSettings
from relay.link.errors import (
    LinkBusyError,
    LinkConflictError,
    LinkError,
    LinkRefusedError,
    LinkUnknownError,
)
from relay.link.transport import Call, PinnedConnection
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


class PortalLink:
    """The calls of the link API, typed. Calls from several threads wait for each other: make one a thread.

    All raise LinkError: LinkDownError (no connection, no answer), of these LinkBusyError (5xx, 429), LinkRefusedError,
    LinkUnknownError (404), LinkConflictError (409); every one is temporary.
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
        self._timeouts = timeouts or Timeouts()
        self._connection = PinnedConnection(settings, self._timeouts.connect, on_break)

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
        self._connection.close()

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
        call = Call(method, f"/link/v1/{path}", body, headers, limit, self._timeouts.answer + extra)
        return _judge(*self._connection.exchange(call))


def _write(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


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
        raise LinkBusyError(f"the portal cannot do it now: {code}")
    raise LinkRefusedError(code, error)


def _read_object(untrusted: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(untrusted)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError("the portal's answer is no JSON") from error
    if not isinstance(value, dict):
        raise MalformedAnswerError("the portal's answer is no object")
    return value
