"""The worker pool against real processes: crash, overtime, memory, recycling (relay.md 3)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from relay.worker.pool import Ended, Fate, PoolLimits, WorkerPool, allow_cpu


def obey(pipe: Connection, _argument: str, _slot: int) -> None:
    """A child that does what its jobs say."""
    grown: list[bytearray] = []
    while (jobs := pipe.recv()) is not None:
        for job in jobs:
            if job == "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif job == "sleep":
                time.sleep(60)
            elif job == "eat":
                try:
                    held = bytearray(4 << 30)
                except MemoryError:
                    pipe.send("memory")
                    continue
                pipe.send(len(held))
            elif job == "spin":
                allow_cpu(0.1)
                while True:
                    pass
            elif job == "open":
                opened: list[int] = []
                with contextlib.suppress(OSError):
                    opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(5000))
                for number in opened:
                    os.close(number)
                pipe.send(len(opened))
            elif job == "grow":
                grown.append(bytearray(b"x") * (300 << 20))
                pipe.send((job, os.getpid()))
            else:
                pipe.send((job, os.getpid()))


def collect(pool: WorkerPool, count: int) -> list[Ended]:
    ended: list[Ended] = []
    deadline = time.monotonic() + 60
    while len(ended) < count and time.monotonic() < deadline:
        ended.extend(pool.poll(0.2))
    return ended


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(obey, "", 2, PoolLimits(job_seconds=60, memory_mib=1024, recycle_jobs=3))
    yield made
    made.close(1)


def test_each_job_of_a_batch_is_answered_in_order(pool: WorkerPool) -> None:
    pool.submit(["a", "b"])
    assert [(e.job, e.fate, e.answer[0]) for e in collect(pool, 2)] == [
        ("a", Fate.DONE, "a"),
        ("b", Fate.DONE, "b"),
    ]


def test_a_crash_costs_its_own_job_alone(pool: WorkerPool) -> None:
    pool.submit(["a", "segfault", "b"])
    pool.submit(["c"])
    ended = {e.job: e for e in collect(pool, 4)}
    assert ended["a"].fate is Fate.DONE
    assert (ended["segfault"].fate, ended["segfault"].exit_code) == (Fate.CRASHED, -signal.SIGSEGV)
    assert ended["b"].fate is Fate.NOT_STARTED
    assert ended["c"].fate is Fate.DONE
    pool.submit(["d"])
    assert collect(pool, 1)[0].fate is Fate.DONE


def test_a_job_over_its_time_is_killed_and_the_next_one_runs() -> None:
    pool = WorkerPool(obey, "", 1, PoolLimits(job_seconds=8, memory_mib=1024, recycle_jobs=3))
    pool.submit(["sleep", "late"])
    assert [(e.job, e.fate) for e in collect(pool, 2)] == [("sleep", Fate.OVERTIME), ("late", Fate.NOT_STARTED)]
    pool.submit(["next"])
    assert collect(pool, 1)[0].fate is Fate.DONE
    pool.close(1)


def test_memory_is_limited(pool: WorkerPool) -> None:
    pool.submit(["eat"])
    assert collect(pool, 1)[0].answer == "memory"


def test_children_are_recycled_after_their_jobs(pool: WorkerPool) -> None:
    seen = set()
    for number in range(16):
        pool.submit([number])
        seen.add(collect(pool, 1)[0].answer[1])
    assert len(seen) >= 4


def test_the_kernel_keeps_files_and_cpu_and_a_child_that_has_grown_is_replaced() -> None:
    pool = WorkerPool(obey, "", 1, PoolLimits(job_seconds=60, memory_mib=1024, recycle_jobs=100))
    pool.submit(["open", "a", "grow"])
    opened, small, grown = collect(pool, 3)
    assert 0 < opened.answer < 512
    pool.submit(["b", "spin"])
    other, spun = collect(pool, 2)
    pool.close(1)
    assert small.answer[1] == grown.answer[1] != other.answer[1]
    assert (spun.fate, spun.exit_code) == (Fate.CRASHED, -signal.SIGXCPU)


def test_a_job_alone_has_a_child_of_its_own() -> None:
    pool = WorkerPool(obey, "", 1, PoolLimits(job_seconds=60, memory_mib=1024, recycle_jobs=100))
    seen = []
    for job, alone in (("a", True), ("b", False), ("c", False), ("d", True), ("e", False)):
        pool.submit([job], alone=alone)
        seen.append(collect(pool, 1)[0].answer[1])
    pool.close(1)
    assert seen[1] == seen[2]
    assert len(set(seen)) == 4


def test_close_tells_how_open_jobs_ended() -> None:
    pool = WorkerPool(obey, "", 1, PoolLimits(job_seconds=60, memory_mib=1024, recycle_jobs=100))
    pool.submit(["sleep", "never"])
    assert [(e.job, e.fate) for e in pool.close(0.3)] == [("sleep", Fate.OVERTIME), ("never", Fate.NOT_STARTED)]
