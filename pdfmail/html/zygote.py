"""The zygote: a process that has everything warm (layout engine, fonts, sanitiser) and forks one child per body.

Started by confined.py as `run_zygote(descriptor of the control socket, limits)`. It cuts itself off the network before
it loads anything heavy, proves the guards with a trial child, and then serves. It never reads a body: descriptors go
through it to the child. It ends when the control socket closes, so it cannot outlive its client, and PR_SET_PDEATHSIG
covers the case that a fork of the client holds the socket open.

Messages are packets on the control socket. In: `render` with two descriptors (job, answer). Out: first
`ready <guards>` | `unguarded` | `broken`, then for each job `exit N CPU` | `signal N CPU` | `wall`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from pdfmail.html import guard
from pdfmail.html.child import ChildGuards, run_child
from pdfmail.html.fonts import can_read_fonts
from pdfmail.html.job import RenderLimits, Word, encode_job
from pdfmail.model import HtmlBody

if TYPE_CHECKING:
    from pdfmail.html.child import DrawBody

UNPRIVILEGED_USER = 65534


def run_zygote(control_descriptor: int, parent: int, limits: RenderLimits) -> None:
    """Serve until the control socket closes. Ends the process."""
    status = 1
    try:
        control = socket.socket(fileno=control_descriptor)
        guards = _start(control, parent, limits)
        if guards is not None:
            draw, child_guards = guards
            while _serve_one(control, child_guards, draw):
                pass
        status = 0
    finally:
        os._exit(status)


def _start(control: socket.socket, parent: int, limits: RenderLimits) -> tuple[DrawBody, ChildGuards] | None:
    try:
        guard.close_all_but((control.fileno(),))
        guard.lift_memory_limit()
        guard.die_with_client(parent)
        for number in (signal.SIGINT, signal.SIGTERM):  # a client that ends in order finishes its mail first
            signal.signal(number, signal.SIG_IGN)
        guard.forbid_new_privileges()
        guard.leave_network()
    except guard.GuardError:
        control.send(b"unguarded")
        return None
    if not can_read_fonts():
        control.send(b"broken fonts")
        return None
    try:
        draw = _warm_up()
    except Exception as error:
        control.send(b"broken " + type(error).__name__.encode("ascii", "replace"))
        return None
    guard.forbid_inspection()
    user = _choose_user()
    child_guards = ChildGuards(limits, user)
    word = _try_guards(child_guards, draw)
    if word != Word.OK.value:
        control.send(b"unguarded" if word == Word.UNGUARDED.value else b"broken trial")
        return None
    names = ["network", "limits", *_find_optional_guards(), *(["user"] if user is not None else [])]
    control.send(b"ready " + " ".join(names).encode("ascii"))
    return draw, child_guards


def _warm_up() -> DrawBody:
    from pdfmail.html.render import BodyPainter  # heavy: two thirds of a second and 100 MB

    return BodyPainter().paint


def _choose_user() -> int | None:
    """Return the user for the children, None if this process cannot change or that user could not read the fonts."""
    if os.geteuid() != 0:
        return None

    def probe() -> int:
        guard.drop_user(UNPRIVILEGED_USER)
        return 0 if can_read_fonts() else 1

    try:
        return UNPRIVILEGED_USER if _run_in_fork(probe) == 0 else None
    except OSError:
        return None


def _run_in_fork(job: Callable[[], int]) -> int:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = job()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _find_optional_guards() -> list[str]:
    """Name the guards that this kernel and architecture may lack, as found in a fork that puts them on."""

    def probe() -> int:
        guard.forbid_new_privileges()
        return (2 if guard.restrict_files(()) else 0) | (4 if guard.refuse_calls() else 0)  # 1 is a failure

    found = _run_in_fork(probe)
    return [name for bit, name in ((2, "files"), (4, "calls")) if found > 0 and found & bit]


def _try_guards(guards: ChildGuards, draw: DrawBody) -> str:
    """Draw a page in a fully guarded child; return the word it answered."""
    job = os.memfd_create("job")
    os.write(job, encode_job(HtmlBody(html="<p>Aa")))
    os.lseek(job, 0, os.SEEK_SET)
    read_end, write_end = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read_end)
        run_child(job, write_end, guards, os.getppid(), draw)
    os.close(job)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        word = answer.readline(64).decode("ascii", "replace").strip()
        answer.read()
    os.waitpid(process, 0)
    return word


def _serve_one(control: socket.socket, guards: ChildGuards, draw: DrawBody) -> bool:
    """Handle one request; False when the client has gone."""
    request, descriptors, _, _ = socket.recv_fds(control, 64, 2)
    if request != b"render" or len(descriptors) != 2:
        return False
    job, answer = descriptors
    zygote = os.getpid()
    process = os.fork()
    if process == 0:
        run_child(job, answer, guards, zygote, draw)
    os.close(job)
    os.close(answer)
    verdict = _await_child(process, control, guards.limits.wall_seconds)
    if verdict is None:
        return False
    control.send(verdict)
    return True


def _await_child(process: int, control: socket.socket, wall_seconds: float) -> bytes | None:
    """Wait for the child; kill it at the wall clock or when the client goes (then None)."""
    pidfd = os.pidfd_open(process)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(control, select.POLLHUP)
        events = dict(poll.poll(wall_seconds * 1000))
        if pidfd not in events:
            os.kill(process, signal.SIGKILL)
        _, status, usage = os.wait4(process, 0)
    finally:
        os.close(pidfd)
    if control.fileno() in events and pidfd not in events:
        return None
    if not events:
        return b"wall"
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return f"{'signal' if code < 0 else 'exit'} {abs(code)} {cpu:.3f}".encode("ascii")


def run() -> None:
    """Entry: arguments are descriptor, parent, address space, CPU seconds, wall seconds."""
    descriptor, parent, address_space, cpu_seconds = (int(word) for word in sys.argv[1:5])
    run_zygote(descriptor, parent, RenderLimits(address_space, cpu_seconds, float(sys.argv[5])))


if __name__ == "__main__":
    run()
