"""A browser held to a part of one core: by a control group of the kernel, or, where none may be made, by stopping it.

The group is made below the root of the CPU controller, holds this bench's browser alone and is removed afterwards.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.portal_site import descendants

_PERIOD = 100_000
"""Microseconds: the kernel's usual period."""
_NAME = f"letterlock-bench-{os.getpid()}"
_V2, _V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu")


@contextmanager
def hold_to(share: float, root: int, command: bytes) -> Iterator[str]:
    """Hold the processes below `root` with `command` in their program's name to `share` of a core; yield how.

    What they start later is held too.
    """
    with _find_group(share) as group:
        if group is None:
            with _stopping(share, lambda: find_programs(root, command)):
                yield f"SIGSTOP for {1 - share:.0%} of each {_PERIOD // 1000} ms (no control group may be made here)"
            return
        folder, how = group
        moved: set[int] = set()
        # Until nothing new is found: a process may start another while we look.
        while fresh := set(find_programs(root, command)) - moved:
            for pid in fresh:
                with suppress(ProcessLookupError):
                    (folder / "cgroup.procs").write_text(str(pid))
            moved |= fresh
        yield how


@contextmanager
def _find_group(share: float) -> Iterator[tuple[Path, str] | None]:
    quota = round(share * _PERIOD)
    kinds: tuple[tuple[Path, dict[str, str], str], ...] = (
        (_V2, {"cpu.max": f"{quota} {_PERIOD}"}, f"cgroup v2, cpu.max {quota} {_PERIOD}"),
        (
            _V1,
            {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)},
            f"cgroup v1, cpu.cfs_quota_us {quota} of {_PERIOD}",
        ),
    )
    for root, values, how in kinds:
        folder = root / _NAME
        if not (root / "cgroup.procs").exists():
            continue
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            for name, value in values.items():
                (folder / name).write_text(value)
        except OSError:
            folder.rmdir()
            continue
        try:
            yield folder, how
        finally:
            _remove(folder, root)
        return
    yield None


def _remove(folder: Path, root: Path) -> None:
    """Empty the group and remove it. A process that ends just now is in it for a moment more."""
    for _ in range(100):
        for pid in (folder / "cgroup.procs").read_text().split():
            with suppress(OSError):
                (root / "cgroup.procs").write_text(pid)
        with suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.1)
    folder.rmdir()


def find_programs(root: int, command: bytes) -> list[int]:
    """Return the processes below `root` whose program's name holds `command`."""
    found = []
    for pid in descendants(root):
        with suppress(OSError):
            if command in Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]:
                found.append(pid)
    return found


@contextmanager
def _stopping(share: float, find: Callable[[], list[int]]) -> Iterator[None]:
    done = threading.Event()

    def tell(number: signal.Signals) -> None:
        for pid in find():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def work() -> None:
        while not done.is_set():
            tell(signal.SIGSTOP)
            time.sleep((1 - share) * _PERIOD / 1e6)
            tell(signal.SIGCONT)
            time.sleep(share * _PERIOD / 1e6)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()
