"""What keyd asks of the kernel for itself: no dumps, no tracing by others of its user, no swap where that is allowed.

Best effort and said: a host that forbids one of them gets a warning in the log, not a stopped mail system.
"""

from __future__ import annotations

import ctypes
import resource

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_MCL_CURRENT_FUTURE_ONFAULT = 1 | 2 | 4


def harden_process() -> list[str]:
    """Apply all measures to this process and return those that did not work. Never raises."""
    failed: list[str] = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            failed.append("PR_SET_DUMPABLE")
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            failed.append("PR_SET_NO_NEW_PRIVS")
        # With a bound on locked memory, locking what is to come would make later allocations fail.
        is_unbound = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
        if not is_unbound or libc.mlockall(_MCL_CURRENT_FUTURE_ONFAULT) != 0:
            failed.append("mlockall")
    except (OSError, AttributeError):
        failed.append("libc")
    return failed
