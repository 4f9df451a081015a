"""A pool of limited child processes (relay.md 3).

Own supervision instead of concurrent.futures, because there one crash takes every queued job with it, running jobs
cannot be stopped, and recycling deadlocks. Here one child does one job at a time over its own pipe; it is killed by
wall clock, limited by rlimits, recycled by count and by memory, and its death concerns its own job alone.
docs/adr/0008-children-of-the-worker.md tells where this differs from relay.md and why.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import multiprocessing.connection
import resource
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

Entry = Callable[[Connection, str, int], None]
"""Gets its pipe, the pool's argument, and its slot: no two living children of a pool share one."""


class Fate(StrEnum):
    """How a job ended."""

    DONE = "done"
    CRASHED = "crashed"
    OVERTIME = "overtime"
    NOT_STARTED = "not-started"


@dataclass(frozen=True, slots=True)
class Ended:
    """One job's end. `answer` is what the child sent back when it was done."""

    job: Any
    fate: Fate
    answer: Any = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Limits of one child."""

    job_seconds: float
    """Of the wall clock, kept from outside; as many of CPU, kept by the kernel even if nobody is left outside."""
    memory_mib: int
    """Address space."""
    recycle_jobs: int

    @property
    def recycle_mib(self) -> int:
        """Resident memory above which a child is replaced when its jobs are done: it has grown, or leaks."""
        return max(_LEAST_RECYCLE_MIB, self.memory_mib // 4)


@dataclass(slots=True)
class _Child:
    process: ForkServerProcess
    pipe: Connection
    jobs: deque[Any] = field(default_factory=deque)
    started: float = 0.0
    done: int = 0
    is_for_one: bool = False
    """It is replaced after the jobs that it has."""


_LEAST_RECYCLE_MIB = 256
_MOST_FILES = 512
_STATM_RESIDENT = 1
"""Place of the resident pages in /proc/PID/statm (proc(5))."""


def limit_child(memory_mib: int) -> None:
    """Apply the limits of a whole worker: address space, open files, no core dump (it would hold keys)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_AS, memory_mib * 1024 * 1024)
    _lower(resource.RLIMIT_NOFILE, _MOST_FILES)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def allow_cpu(seconds: float) -> None:
    """Let this process use so many seconds of CPU from now on; then the kernel ends it by SIGXCPU.

    A child says this before each job: the kernel counts over the whole life of a process.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds)
    _lower(resource.RLIMIT_CPU, limit)


def _resident_mib(pid: int) -> int:
    """Return the resident memory of a process, 0 when it has gone."""
    try:
        words = Path(f"/proc/{pid}/statm").read_text("ascii").split()
    except OSError:
        return 0
    return int(words[_STATM_RESIDENT]) * resource.getpagesize() >> 20


def _child_main(entry: Entry, pipe: Connection, argument: str, slot: int, memory_mib: int) -> None:
    limit_child(memory_mib)
    entry(pipe, argument, slot)


class WorkerPool:
    """Children of one kind. Not thread-safe: one thread submits and polls."""

    def __init__(self, entry: Entry, argument: str, size: int, limits: PoolLimits, preload: Sequence[str] = ()) -> None:
        self._entry = entry
        self._argument = argument
        self._size = size
        self._limits = limits
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._children: list[_Child] = [self._launch(slot) for slot in range(size)]

    def _launch(self, slot: int) -> _Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_child_main, args=(self._entry, theirs, self._argument, slot, self._limits.memory_mib), daemon=False
        )
        process.start()
        theirs.close()
        return _Child(process, ours)

    @property
    def idle(self) -> int:
        """Number of children without a job."""
        return sum(1 for child in self._children if not child.jobs)

    @property
    def busy(self) -> int:
        """Number of jobs handed out and not ended."""
        return sum(len(child.jobs) for child in self._children)

    def submit(self, jobs: Sequence[Any], *, alone: bool = False) -> None:
        """Hand a batch to an idle child; it does the jobs one after the other and answers after each.

        `alone` wants a child that has done nothing before and does nothing after.
        """
        idle = [child for child in self._children if not child.jobs]
        child = idle[0]
        if alone:
            slot = self._children.index(next((one for one in idle if one.done == 0), child))
            if self._children[slot].done:
                self._retire(self._children[slot])
            child = self._children[slot]
            child.is_for_one = True
        child.jobs.extend(jobs)
        child.started = time.monotonic()
        try:
            child.pipe.send(list(jobs))
        except (OSError, ValueError):
            return  # a dead child is found by poll

    def poll(self, seconds: float, also: Sequence[Any] = ()) -> list[Ended]:
        """Wait up to so many seconds for an end; `also` are other things with fileno() that end the wait early."""
        pipes = {child.pipe: child for child in self._children if child.jobs}
        ready = multiprocessing.connection.wait([*pipes, *also], seconds)
        ended: list[Ended] = []
        for item in ready:
            child = pipes.get(item) if isinstance(item, Connection) else None
            if child is not None:
                ended.extend(self._read(child))
        now = time.monotonic()
        for child in list(self._children):
            if child.jobs and now - child.started > self._limits.job_seconds:
                child.process.kill()
                ended.extend(self._bury(child, Fate.OVERTIME))
        return ended

    def _read(self, child: _Child) -> list[Ended]:
        ended: list[Ended] = []
        try:
            while child.jobs and child.pipe.poll():
                answer = child.pipe.recv()
                ended.append(Ended(child.jobs.popleft(), Fate.DONE, answer))
                child.done += 1
                child.started = time.monotonic()
        except (EOFError, OSError):
            return ended + self._bury(child, Fate.CRASHED)
        if not child.jobs and self._is_spent(child):
            self._retire(child)
        return ended

    def _is_spent(self, child: _Child) -> bool:
        if child.is_for_one or child.done >= self._limits.recycle_jobs:
            return True
        return child.process.pid is not None and _resident_mib(child.process.pid) > self._limits.recycle_mib

    def _bury(self, child: _Child, fate: Fate) -> list[Ended]:
        """The child is dead: its first open job met the fate, the others never began."""
        child.process.join(5)
        code = child.process.exitcode
        ended = [
            Ended(job, fate if position == 0 else Fate.NOT_STARTED, exit_code=code)
            for position, job in enumerate(child.jobs)
        ]
        child.pipe.close()
        self._replace(child)
        return ended

    def _replace(self, child: _Child) -> None:
        slot = self._children.index(child)
        self._children[slot] = self._launch(slot)

    def _retire(self, child: _Child) -> None:
        with contextlib.suppress(OSError):
            child.pipe.send(None)
        child.pipe.close()
        child.process.join(5)
        if child.process.is_alive():
            child.process.kill()
        self._replace(child)

    def close(self, seconds: float) -> list[Ended]:
        """Let running jobs end for so long, kill the rest, and return how every open job ended."""
        deadline = time.monotonic() + seconds
        ended: list[Ended] = []
        while self.busy and time.monotonic() < deadline:
            ended.extend(self.poll(0.1))
        for child in self._children:
            with contextlib.suppress(OSError):
                child.pipe.send(None)
            child.process.join(1 if not child.jobs else 0)
            if child.process.is_alive():
                child.process.kill()
                child.process.join(5)
            ended.extend(
                Ended(job, Fate.OVERTIME if position == 0 else Fate.NOT_STARTED)
                for position, job in enumerate(child.jobs)
            )
            child.jobs.clear()
            child.pipe.close()
        return ended
