"""One body in one process: put the guards on, draw, write the answer, end.

Runs in a fork of the zygote and never returns to it. Must not write anything but the answer, must not let the
text of an exception out, and must not touch the body before every guard stands.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from pdfmail.errors import RenderCause, RenderError
from pdfmail.html import guard
from pdfmail.html.fonts import FONT_FOLDERS, FONTCONFIG_FOLDERS
from pdfmail.html.job import RenderLimits, Word, decode_job, encode_shown
from pdfmail.model import DrawnPages, HtmlBody

RECURSION_LIMIT = 4000  # layout recurses some ten frames a level; the sanitiser caps the levels

DrawBody = Callable[[HtmlBody], DrawnPages]


@dataclass(frozen=True, slots=True)
class ChildGuards:
    """What the child puts on. `user` is the numeric user to become, None if the process is not root."""

    limits: RenderLimits
    user: int | None


def run_child(job: int, answer: int, guards: ChildGuards, zygote: int, draw: DrawBody) -> None:
    """Draw the job behind descriptor `job` and write to descriptor `answer`. Ends the process."""
    status = 1
    try:
        try:
            confine_child(guards, (job, answer), zygote)
        except guard.GuardError:
            _write_all(answer, Word.UNGUARDED.value.encode() + b"\n")
        else:
            _write_all(answer, _draw_answer(job, draw))
        status = 0
    finally:
        os._exit(status)  # no clean-up handlers of the zygote may run here


def confine_child(guards: ChildGuards, keep: tuple[int, ...], zygote: int) -> None:
    """Put every guard on this process. Raises GuardError: then nothing may be drawn."""
    gc.disable()  # the process lives for one body
    sys.setrecursionlimit(RECURSION_LIMIT)
    os.umask(0o077)
    guard.close_all_but(keep)
    if guards.user is not None:
        guard.drop_user(guards.user)
    guard.drop_capabilities()
    guard.die_with_parent(signal.SIGKILL, zygote)
    guard.forbid_new_privileges()
    guard.restrict_files((*FONT_FOLDERS, *FONTCONFIG_FOLDERS))
    guard.limit_resources(guards.limits.address_space, guards.limits.cpu_seconds)
    check_no_network()
    guard.refuse_calls()
    check_no_network()


def check_no_network() -> None:
    """Raise GuardError unless a connection to loopback and beyond is impossible (not merely refused)."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "192.0.2.1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:  # a datagram socket connects without a packet
                probe.connect((address, 9))
        except OSError as error:
            if error.errno in {errno.ENETUNREACH, errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT}:
                continue
        raise guard.GuardError("network can be reached")


def _draw_answer(job: int, draw: DrawBody) -> bytes:
    try:
        drawn = draw(decode_job(_read_all(job)))
        return b"".join((Word.OK.value.encode(), b"\n", encode_shown(drawn.shown), drawn.pdf))
    except MemoryError:
        word = Word.MEMORY
    except RenderError as error:
        word = {RenderCause.PAGES: Word.PAGES, RenderCause.INPUT: Word.INPUT, RenderCause.MEMORY: Word.MEMORY}.get(
            error.cause, Word.CRASH
        )
    except Exception:  # the text of an exception may hold text of the mail
        word = Word.CRASH
    return word.value.encode() + b"\n"


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def _write_all(descriptor: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]
