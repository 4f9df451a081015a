"""The ends of futures reach the loop together, and nobody's leaving disturbs the others."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from relay.core.errors import StorageError
from relay.spool.bridge import LoopBridge


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
        futures: list[Future[None]] = [Future() for _ in range(50)]
        waits = [asyncio.ensure_future(bridge.wait_for(future)) for future in futures]
        await asyncio.sleep(0)
        for future in futures:
            future.set_result(None)
        await asyncio.gather(*waits)
        return wakes

    assert asyncio.run(scenario()) == 1


def test_errors_and_results_reach_their_own_waiters() -> None:
    async def scenario() -> list[object]:
        bridge = LoopBridge(asyncio.get_running_loop())
        good: Future[None] = Future()
        bad: Future[None] = Future()
        waits = [asyncio.ensure_future(bridge.wait_for(future)) for future in (good, bad)]
        await asyncio.sleep(0)
        bad.set_exception(StorageError("full"))
        good.set_result(None)
        return list(await asyncio.gather(*waits, return_exceptions=True))

    first, second = asyncio.run(scenario())
    assert first is None
    assert isinstance(second, StorageError)


def test_a_cancelled_wait_does_not_cancel_the_write() -> None:
    async def scenario() -> Future[None]:
        bridge = LoopBridge(asyncio.get_running_loop())
        future: Future[None] = Future()
        other: Future[None] = Future()
        wait = asyncio.ensure_future(bridge.wait_for(future))
        stays = asyncio.ensure_future(bridge.wait_for(other))
        await asyncio.sleep(0)
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        assert not future.cancelled()
        future.set_result(None)
        other.set_result(None)
        await stays
        return future

    assert asyncio.run(scenario()).done()


def test_an_end_after_the_loop_was_closed_is_harmless() -> None:
    future: Future[None] = Future()

    async def scenario() -> None:
        bridge = LoopBridge(asyncio.get_running_loop())
        wait = asyncio.ensure_future(bridge.wait_for(future))
        await asyncio.sleep(0)
        wait.cancel()

    asyncio.run(scenario())
    future.set_result(None)
    assert future.result() is None
