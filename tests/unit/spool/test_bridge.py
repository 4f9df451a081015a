"""The ends of futures reach the loop together, and nobody's leaving disturbs the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.core.errors import StorageError
from relay.spool.bridge import LoopBridge, Ticket


def test_many_ends_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        bridge = LoopBridge(loop)
        wakes = 0
        wake = loop.call_soon_threadsafe

        def count(*arguments: Any) -> Any:
            nonlocal wakes
            wakes += 1
            return wake(*arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        tickets = [bridge.make_ticket() for _ in range(50)]
        for ticket in tickets:
            assert ticket.set_running_or_notify_cancel()
            ticket.set_result(None)
        await asyncio.gather(*(ticket.waiter for ticket in tickets))
        return wakes

    assert asyncio.run(scenario()) == 1


def test_errors_and_results_reach_their_own_waiters() -> None:
    async def scenario() -> list[object]:
        bridge = LoopBridge(asyncio.get_running_loop())
        good, bad = bridge.make_ticket(), bridge.make_ticket()
        waits = [good.waiter, bad.waiter]
        bad.set_exception(StorageError("full"))
        good.set_result(None)
        return list(await asyncio.gather(*waits, return_exceptions=True))

    first, second = asyncio.run(scenario())
    assert first is None
    assert isinstance(second, StorageError)


def test_a_cancelled_wait_does_not_take_the_write_back() -> None:
    async def scenario() -> None:
        bridge = LoopBridge(asyncio.get_running_loop())
        ticket, other = bridge.make_ticket(), bridge.make_ticket()
        ticket.waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ticket.waiter
        assert ticket.set_running_or_notify_cancel()
        ticket.set_result(None)
        other.set_result(None)
        await other.waiter

    asyncio.run(scenario())


def test_an_end_after_the_loop_was_closed_is_harmless() -> None:
    async def scenario() -> Ticket:
        return LoopBridge(asyncio.get_running_loop()).make_ticket()

    ticket = asyncio.run(scenario())
    ticket.set_result(None)
    ticket.set_exception(StorageError("late"))
    assert not ticket.waiter.done()
