"""Pulling from the portal: a long poll for the oldest entries, each verified inside and acknowledged after its commit.

Within a box strictly by seq: an entry that cannot be taken now holds back the rest of its box and nothing of any other.
What was taken and not acknowledged comes again and is seen to be a duplicate. Obeys sealed-mailbox 15 and 16.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from relay.core.errors import LetterlockError
from relay.core.wire.sealed import MailboxDataError
from relay.link.client import PortalLink
from relay.link.errors import LinkDownError, LinkError, LinkUnknownError
from relay.link.gate import Gate
from relay.link.wire import Ack
from relay.log import Log
from relay.mailbox.incoming_reply import Fetch
from relay.mailbox.incoming_values import Entry, Result

_log = Log("link")
WAIT_SECONDS = 25
LIMIT = 50
_AT_LEAST = 0.2
"""Seconds from one poll to the next that a portal without entries may not cut short."""
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
_BREAKS_A_PAGE = 3
_TRIES_TO_ALERT = 20
"""With the pauses between them some minutes."""
_MOST_REMEMBERED = 1000


class Taker(Protocol):
    """Who verifies entries: relay.mailbox.incoming.Incoming."""

    def take(self, entry: Entry, fetch: Fetch) -> Result:
        """Return what the portal is told. Raises temporary errors only."""
        ...


class Puller:
    """The pulling half of `letterlock link`. One thread at a time."""

    def __init__(
        self,
        make_link: Callable[[], PortalLink],
        incoming: Taker,
        gate: Gate,
        on_stuck: Callable[[Entry], None] = lambda _entry: None,
        catch_up: Callable[[PortalLink, Entry], None] = lambda _link, _entry: None,
    ) -> None:
        """`on_stuck` is called once for an entry that could not be taken for minutes; `catch_up` before each entry
        (relay.link.catch_up)."""
        self._make_link = make_link
        self._incoming = incoming
        self._gate = gate
        self._on_stuck = on_stuck
        self._catch_up = catch_up
        self._tries: dict[tuple[str | None, str], int] = {}
        """How often an entry was postponed in a row."""
        self._breaks = 0
        self._link: PortalLink | None = None
        self._troubles = 0
        self.counts = {"taken": 0, "refused": 0, "postponed": 0}

    def run(self, stop: threading.Event) -> None:
        """Pull until the event is set; `close` ends a poll that waits."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                if not self.pull_once(WAIT_SECONDS) and time.monotonic() - began < _AT_LEAST:
                    # It does not wait as it should: it is asked no more often for that.
                    stop.wait(_AT_LEAST)
            except LinkDownError as error:
                if stop.is_set():
                    return
                self._gate.note_down(error)
                self._troubles += 1
            except LetterlockError as error:
                _log.error("pull-failed", error=type(error).__name__)
                self._troubles += 1
            except Exception:  # whatever it is delays the outbox and nothing else
                _log.exception("pull-failed")
                self._troubles += 1
            if self._troubles:
                stop.wait(max(self._pause(), self._gate.seconds_to_wait()))

    def pull_once(self, wait: int = 0) -> int:
        """Take one page of entries; return how many were acknowledged. Raises LinkError."""
        link = self._own_link()
        entries = link.poll_outbox(wait, LIMIT)
        self._gate.note_up()
        self._breaks = 0
        acks: list[Ack] = []
        stuck: set[str] = set()
        try:
            for entry in entries:
                if entry.box is not None and entry.box in stuck:
                    continue
                result = self._take(link, entry)
                if result is None:
                    stuck.add(entry.box or "")
                    self._note_stuck(entry)
                    continue
                self._tries.pop((entry.box, entry.id), None)
                acks.append(Ack(entry.box, entry.id, result))
                if entry.box is not None and len(acks) >= LIMIT // 2:
                    link.ack(acks)
                    acks = []
        finally:
            # Also when the link broke on the way: what was committed is said as soon as it can be.
            if acks:
                self._ack_quietly(link, acks)
        self._troubles = self._troubles + 1 if stuck else 0
        return len(entries) - len(stuck)

    def _take(self, link: PortalLink, entry: Entry) -> Result | None:
        """Return the result, or None for an entry that has to wait. Raises LinkDownError."""

        def fetch(i: int, n: int) -> bytes:
            assert entry.box is not None
            try:
                return link.get_chunk(entry.box, entry.id, i, n)
            except LinkUnknownError as error:
                # It said that all are there (14); waiting would hold up this box for ever.
                raise MailboxDataError("size", "item: a chunk is missing on the portal") from error

        try:
            self._catch_up(link, entry)
            result = self._incoming.take(entry, fetch)
        except LinkDownError:
            # One chunk that the portal cannot read holds back its own box; where nothing goes any more all wait.
            self._breaks += 1
            if self._breaks >= _BREAKS_A_PAGE:
                raise
            self.counts["postponed"] += 1
            return None
        except LetterlockError as error:
            _log.warning("entry-postponed", kind=type(entry).__name__, error=type(error).__name__)
            self.counts["postponed"] += 1
            return None
        except Exception:  # one entry that we cannot handle holds back its box and no other
            _log.exception("entry-failed", kind=type(entry).__name__)
            self.counts["postponed"] += 1
            return None
        self.counts[result.value] += 1
        _log.info("entry-ended", kind=type(entry).__name__, result=result.value)
        return result

    def _note_stuck(self, entry: Entry) -> None:
        tries = self._tries.get((entry.box, entry.id), 0) + 1
        if len(self._tries) > _MOST_REMEMBERED:
            self._tries.clear()
        self._tries[entry.box, entry.id] = tries
        if tries == _TRIES_TO_ALERT:
            self._on_stuck(entry)

    def _ack_quietly(self, link: PortalLink, acks: list[Ack]) -> None:
        try:
            link.ack(acks)
        except LinkError as error:
            # They come again and are known.
            _log.warning("ack-failed", error=type(error).__name__, entries=len(acks))

    def _pause(self) -> float:
        return min(_FIRST_PAUSE * float(2 ** min(self._troubles - 1, 10)), _LONGEST_PAUSE)

    def _own_link(self) -> PortalLink:
        if self._link is None:
            self._link = self._make_link()
        return self._link

    def close(self) -> None:
        """Close the connection; a poll that waits ends."""
        if self._link is not None:
            self._link.close()
