"""Receiving one message's content into the spool, by DATA or BDAT.

Does: write our Received field and then the client's octets to an IncomingMessage in pieces, keep the limits, remember
the first thing that went wrong and go on consuming, commit under a shield. 8-bit octets under BODY=7BIT pass as they
are, as Postfix does by default (strict_8bitmime=no); the sender side must look at the octets, not at BODY.
Must not: hold a whole message, change an octet, say 250 before the commit returned.
Sources: RFC 5321 4.1.1.4, 6.1 (responsibility after 250), 2.3.8 (bare CR, LF); RFC 3030; RFC 1870.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from relay.core.clock import Clock
from relay.core.ports import IncomingMessage
from relay.log import Log
from relay.smtpd import replies
from relay.smtpd.config import LimitsConfig
from relay.smtpd.replies import Reply
from relay.smtpd.scanner import ReceivedCounter
from relay.smtpd.stats import Stats

_log = Log("smtpd")


class CommitKeeper:
    """Keeps commits alive that nobody waits for any more. One for each process."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, commit: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a commit that outlives its connection (the sender may hang up, we may not forget)."""
        task = asyncio.get_running_loop().create_task(commit)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def wait(self, seconds: float) -> bool:
        """Wait for all running commits; tell whether all are done."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        return not self._running


class ContentReceiver:
    """One message on its way from the wire to the spool. `about` goes into its log lines."""

    def __init__(
        self,
        incoming: IncomingMessage,
        trace_field: bytes,
        *,
        limits: LimitsConfig,
        stats: Stats,
        keeper: CommitKeeper,
        clock: Clock,
        about: Mapping[str, str | int],
    ) -> None:
        self._incoming = incoming
        self._limits = limits
        self._stats = stats
        self._keeper = keeper
        self._clock = clock
        self._about = {"message": incoming.message_id, **about}
        self._pieces = [trace_field]
        self._pending = len(trace_field)
        self._received = ReceivedCounter()
        self._is_aborted = False
        self.octets = 0
        """Content octets taken, ours not counted."""
        self.refusal: Reply | None = None
        """The first thing that went wrong; from then on octets are thrown away."""
        stats.messages_open += 1
        self._is_open = True

    @property
    def is_hopeless(self) -> bool:
        """Tell whether the peer sends far more than it may."""
        return self.octets > self._limits.message_octets + self._limits.overrun_octets

    async def take(self, octets: bytes) -> None:
        """Take the next content octets. Never raises for what goes wrong inside; see `refusal`."""
        self.octets += len(octets)
        if self.refusal is not None:
            return
        if self.octets > self._limits.message_octets:
            await self.refuse(replies.TOO_LARGE)
            return
        self._received.feed(octets)
        self._pieces.append(octets)
        self._pending += len(octets)
        if self._pending >= self._limits.write_octets:
            await self._write()

    async def refuse(self, reply: Reply) -> None:
        """Give the message up with this reply; what was written is dropped."""
        if self.refusal is None:
            self.refusal = reply
        self._pieces.clear()
        self._pending = 0
        await self._drop()

    async def abandon(self) -> None:
        """The peer went away or reset before the end of data."""
        if self._is_open:
            self._stats.messages_aborted += 1
        await self._drop()
        self._close()

    async def finish(self) -> Reply:
        """Commit and return the final reply: 250 only after the commit returned, 4xx for any fault of ours."""
        if self.refusal is None:
            await self._commit()
        reply = self.refusal
        self._close()
        if reply is None:
            self._count_accepted()
            return replies.accepted(self._incoming.message_id)
        if reply.code < 500:
            self._stats.messages_failed += 1
        else:
            self._stats.messages_refused += 1
        _log.info("message-refused", reply_code=reply.code, status=reply.status, size=self.octets, **self._about)
        return reply

    async def _write(self) -> None:
        try:
            async with asyncio.timeout(self._limits.commit_timeout):
                await self._incoming.write(self._take_pieces())
        except Exception as error:  # whatever the spool's trouble is, the sender is told 4xx
            await self._fail(error)

    def _take_pieces(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._pending = 0
        return data

    async def _store(self) -> None:
        """Write what is left, then commit: of most mails everything, under one limit of time."""
        await self._incoming.write(self._take_pieces())
        await self._incoming.commit()

    async def _commit(self) -> None:
        # From here on nothing but the commit itself may drop the message: not a lost connection, not a stop.
        self._is_aborted = True
        task = self._keeper.start(self._store())
        await _wait_for_end(task, self._limits.commit_timeout)
        if not task.done():
            # Uncertain counts as not done. Should it come true later the sender's retry makes a duplicate, no loss.
            self._stats.commits_late += 1
            self._note_fault()
            task.add_done_callback(_log_late)
            _log.error("commit-late", message=self._incoming.message_id)
            self.refusal = replies.STORAGE_FAULT
        elif task.cancelled():
            self.refusal = replies.INTERNAL_FAULT
        elif (error := task.exception()) is not None:
            self._is_aborted = False
            await self._fail(error)

    async def _fail(self, error: BaseException) -> None:
        reply = replies.for_error(error)
        # An intake has no say in what is permanent: a 5xx here would be a bounce for a fault of ours.
        if reply.code >= 500:
            reply = replies.INTERNAL_FAULT
        self._note_fault()
        _log.error("spool-fault", error=type(error).__name__, reply_code=reply.code, message=self._incoming.message_id)
        await self.refuse(reply)

    def _note_fault(self) -> None:
        self._stats.faults += 1
        self._stats.last_fault_ms = self._clock.now_ms()

    async def _drop(self) -> None:
        if not self._is_aborted:
            self._is_aborted = True
            try:
                await self._incoming.abort()
            except Exception:  # abort promises not to raise; a broken promise must not cost the reply
                _log.exception("abort-failed", message=self._incoming.message_id)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._stats.messages_open -= 1

    def _count_accepted(self) -> None:
        stats = self._stats
        stats.messages_accepted += 1
        stats.octets_accepted += self.octets
        stats.last_accepted_ms = self._clock.now_ms()
        if self._received.count > self._limits.received_fields:
            stats.suspected_loops += 1
            _log.warning("loop-suspected", message=self._incoming.message_id, received=self._received.count)
        _log.info("message-accepted", size=self.octets, received=self._received.count, **self._about)


async def _wait_for_end(task: asyncio.Task[None], seconds: float) -> None:
    """Return when the task is done or the time is over; asyncio.wait for one, whose bookkeeping is for many."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def end(_done: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(seconds, end)
    task.add_done_callback(end)
    try:
        await waiter
    finally:
        timer.cancel()
        task.remove_done_callback(end)


def _log_late(task: asyncio.Task[None]) -> None:
    failed = task.cancelled() or task.exception() is not None
    _log.warning("late-commit-ended", is_failed=failed)
