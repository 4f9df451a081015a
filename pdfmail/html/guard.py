"""What the kernel takes away from the render process: network, files, privileges, other processes, resources.

Each function does one thing to the calling process and raises GuardError if the kernel refuses. Nothing here decides
which guards are needed: zygote.py and child.py do. Sources: Linux man-pages unshare(2), user_namespaces(7), prctl(2),
landlock(7), close_range(2), setrlimit(2). Linux only, by design: there is no unguarded rendering elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Iterable
from pathlib import Path

from pdfmail.html import syscalls

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

LANDLOCK_CREATE_RULESET = 444  # the same number on every architecture, landlock(7)
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_RULE_PATH_BENEATH = 1
ACCESS_FS_READ = 1 << 2 | 1 << 3  # read file, read directory
ACCESS_FS_ALL = (1 << 13) - 1  # everything that ABI 1 knows
ACCESS_FS_TRUNCATE = 1 << 14  # ABI 3
ACCESS_NET_ALL = 1 << 0 | 1 << 1  # ABI 4: bind and connect of TCP
SCOPE_ALL = 1 << 0 | 1 << 1  # ABI 6: abstract unix sockets and signals
ACCESS_FS_FILE_READ = 1 << 2


class GuardError(Exception):
    """The kernel refused a guard. `args[0]` names it; nothing of the mail is in it."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(name: str, option: int, value: int) -> None:
    if _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise GuardError(f"{name}: {os.strerror(ctypes.get_errno())}")


def die_with_parent(signal_number: int, parent: int) -> None:
    """Ask for `signal_number` when the parent thread ends; exit at once if `parent` has gone already.

    Must be called after the last change of user id, which clears the request (prctl(2), PR_SET_PDEATHSIG).
    """
    _prctl("pdeathsig", PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        os._exit(1)


def die_with_client(client: int) -> None:
    """End this process when the process `client` has ended.

    The kernel sends the signal when the thread that forked us ends (prctl(2)), which may be long before its process
    does: so the handler looks whether our parent has changed. The request outlives such a change of thread.
    """

    def look(_signal: int, _frame: object) -> None:
        if os.getppid() != client:
            os._exit(1)

    signal.signal(signal.SIGHUP, look)
    die_with_parent(signal.SIGHUP, client)


def drop_capabilities() -> None:
    """Give up every capability, in this user namespace too (capset(2), version 3 of its header)."""
    header = struct.pack("Ii", 0x20080522, 0)
    if _libc().capset(header, bytes(24)) != 0:
        raise GuardError("capabilities")


def forbid_new_privileges() -> None:
    """No execve gives more rights from here on (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    _prctl("no-new-privs", PR_SET_NO_NEW_PRIVS, 1)


def forbid_inspection() -> None:
    """No process of the same user may trace this one or read its memory (prctl(2), PR_SET_DUMPABLE)."""
    _prctl("dumpable", PR_SET_DUMPABLE, 0)


def leave_network() -> None:
    """Move into an empty network namespace: not even loopback is up, so every connect gives ENETUNREACH.

    Root does it directly, anybody else inside a new user namespace. Sockets that are open already stay usable, which
    is why the child closes them.
    """
    before = _network_identity()
    libc = _libc()
    if libc.unshare(CLONE_NEWNET) != 0 and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise GuardError(f"network namespace: {os.strerror(ctypes.get_errno())}")
    if _network_identity() == before:
        raise GuardError("network namespace: unshare changed nothing")


def _network_identity() -> int:
    try:
        return Path("/proc/self/ns/net").stat().st_ino
    except OSError as error:
        raise GuardError("network namespace: /proc cannot be read") from error


def lift_memory_limit() -> None:
    """Raise the soft limit of address space to the hard one: a worker's own limit may be too small for fonts."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def limit_resources(address_space: int, cpu_seconds: int) -> None:
    """Set the hard limits of one render (octets, seconds). An inherited limit that is lower stays."""
    _limit(resource.RLIMIT_AS, address_space)
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(which, (value, value))
    except (OSError, ValueError) as error:
        raise GuardError("resource limits") from error


def refuse_calls() -> bool:
    """Refuse the system calls that drawing never needs. False on an architecture without a table."""
    try:
        return syscalls.refuse_system_calls()
    except OSError as error:
        raise GuardError("seccomp filter") from error


def close_all_but(keep: Iterable[int]) -> None:
    """Close every file descriptor above stderr except `keep`."""
    low = 3
    for number in sorted(set(keep)):
        if number >= low:
            os.closerange(low, number)
            low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def drop_user(user: int) -> None:
    """Become the numeric user and group `user` without supplementary groups. For root only."""
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError as error:
        raise GuardError("unprivileged user") from error


def restrict_files(readable: Iterable[str]) -> bool:
    """Allow reading below `readable` only and writing nowhere (landlock(7)). False if this kernel has no Landlock."""
    libc = _libc()
    abi = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)  # LANDLOCK_CREATE_RULESET_VERSION
    if abi < 1:
        return False
    attributes = struct.pack("Q", ACCESS_FS_ALL | (ACCESS_FS_TRUNCATE if abi >= 3 else 0))
    if abi >= 4:
        attributes += struct.pack("Q", ACCESS_NET_ALL)
    if abi >= 6:
        attributes += struct.pack("Q", SCOPE_ALL)
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise GuardError("landlock ruleset")
    try:
        for name in readable:
            _allow_reading(libc, ruleset, name)
        if libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
            raise GuardError("landlock restriction")
    finally:
        os.close(ruleset)
    return True


def _allow_reading(libc: ctypes.CDLL, ruleset: int, name: str) -> None:
    try:
        where = os.open(name, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a font folder that this host does not have
    try:
        access = ACCESS_FS_READ if Path(name).is_dir() else ACCESS_FS_FILE_READ
        rule = struct.pack("=Qi", access, where)  # struct landlock_path_beneath_attr is packed
        if libc.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0) != 0:
            raise GuardError("landlock rule")
    finally:
        os.close(where)
