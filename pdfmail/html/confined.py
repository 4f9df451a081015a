"""Client of the render zygote: a body goes in, tagged pages come out, and nothing of the body is parsed in here.

One object per worker process. The zygote starts with the first body (about a second) and again if it died. Calls from
several threads wait for each other; a fork of the process gets a zygote of its own. The answer is untrusted until it
looks like a PDF; callers must still treat it as made by a process that may have been taken over.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pdfmail.errors import PdfMailError, RenderCause, RenderError, UnguardedHostError
from pdfmail.html.fonts import PACKAGES
from pdfmail.html.job import ANSWER_OCTETS, RenderLimits, Word, choose_images, decode_shown, encode_job
from pdfmail.model import DrawnPages, HtmlBody

START_SECONDS = 60.0  # importing the layout engine on a loaded machine, and building a font cache if there is none
GRACE_SECONDS = 5.0  # on top of the wall clock that the zygote keeps
READ_OCTETS = 1 << 18

_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from pdfmail.html.zygote import run; run()"


class RendererStartError(PdfMailError):
    """The render process cannot start or keeps dying: a library or the fonts are missing. The mail is not at fault."""


class _ZygoteGoneError(Exception):
    """The zygote ended in the middle of a job: not the body's fault, so the job is tried once more."""


class ConfinedRenderer:
    """A `pdfmail.model.BodyRenderer` that draws each body in a confined process of its own."""

    def __init__(self, limits: RenderLimits | None = None) -> None:
        """Start nothing yet; `limits` are those of one body."""
        self._limits = limits or RenderLimits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = os.getpid()
        self._guards: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def guards(self) -> tuple[str, ...]:
        """Names of the guards that stand, for a health page; empty before the first body."""
        return self._guards

    @property
    def zygote_id(self) -> int | None:
        """Process id of the running zygote, for a health page."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the zygote now instead of with the first body. Raises UnguardedHostError, RendererStartError."""
        self._forget_parents_zygote()
        with self._lock:
            self._ensure_zygote()

    def render_body(self, body: HtmlBody) -> DrawnPages:
        """Return the pages of the body alone.

        Raises RenderError when this body cannot be drawn within the limits, UnguardedHostError when the host forbids
        the guard, RendererStartError (temporary) when the render process itself does not work here.
        """
        if (body.html is None) == (body.text is None):
            raise RenderError(RenderCause.INPUT)
        job, kept = encode_job(body), choose_images(body.images)
        self._forget_parents_zygote()
        with self._lock:
            for _ in range(2):
                try:
                    return self._render(job, kept)
                except _ZygoteGoneError:
                    self._stop()
        raise RendererStartError("the render process ended twice during one body; look for the kernel's OOM killer")

    def close(self) -> None:
        """End the zygote. The object may be used again: the next body starts another."""
        self._forget_parents_zygote()
        with self._lock:
            self._stop()

    def _forget_parents_zygote(self) -> None:
        """After a fork the zygote, and a lock that some thread may have held, belong to the parent."""
        if self._owner != os.getpid():
            self._process, self._control, self._owner = None, None, os.getpid()
            self._lock = threading.Lock()

    def _render(self, job: bytes, kept: Sequence[int]) -> DrawnPages:
        control = self._ensure_zygote()
        read_end, write_end = os.pipe()
        try:
            try:
                _send_job(control, job, write_end)
            finally:
                os.close(write_end)
            untrusted_answer, verdict = self._collect(control, read_end)
        finally:
            os.close(read_end)
        return self._judge(untrusted_answer, verdict, kept)

    def _collect(self, control: socket.socket, read_end: int) -> tuple[bytearray, str]:
        """Read the answer to its end and the zygote's verdict on the child."""
        deadline = time.monotonic() + self._limits.wall_seconds + GRACE_SECONDS
        answer = bytearray()
        verdict: str | None = None
        poll = select.poll()
        poll.register(read_end, select.POLLIN)
        poll.register(control, select.POLLIN)
        is_open = True
        while is_open or verdict is None:
            ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready or len(answer) > ANSWER_OCTETS:
                self._stop()  # takes the child along
                return bytearray(), "wall" if not ready else "output"
            for number, _ in ready:
                if number == read_end:
                    block = os.read(read_end, READ_OCTETS)
                    answer += block
                    if not block:
                        is_open = False
                        poll.unregister(read_end)
                else:
                    verdict = _receive(control)
                    poll.unregister(control)
        assert verdict is not None
        return answer, verdict

    def _judge(self, untrusted_answer: bytearray, verdict: str, kept: Sequence[int]) -> DrawnPages:
        end = untrusted_answer.find(b"\n", 0, 64)
        word = bytes(untrusted_answer[: max(end, 0)])
        if verdict.startswith("exit 0 "):
            start = untrusted_answer.find(b"\n", end + 1, end + 3 + len(kept)) + 1
            is_pdf = untrusted_answer.startswith(b"%PDF-", start) and b"%%EOF" in untrusted_answer[-16:]
            if word == Word.OK.value.encode() and start and is_pdf:
                try:
                    shown = decode_shown(bytes(untrusted_answer[end + 1 : start - 1]), kept)
                except ValueError:
                    raise RenderError(RenderCause.CRASH) from None
                return DrawnPages(bytes(memoryview(untrusted_answer)[start:]), shown)
            if word == Word.UNGUARDED.value.encode():
                self._stop()
                raise UnguardedHostError("the render process could not be cut off; see docs/operator for the settings")
        raise RenderError(find_cause(word, verdict, self._limits))

    def _ensure_zygote(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._control is None:
            self._control = self._start()
        return self._control

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        limits = self._limits
        with theirs:
            command = [sys.executable, "-I", "-c", _BOOT, str(Path(__file__).resolve().parents[2])]
            command += [str(theirs.fileno()), str(os.getpid())]
            command += [str(limits.address_space), str(limits.cpu_seconds), str(limits.wall_seconds)]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                    env={"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
                    pass_fds=(theirs.fileno(),),
                )
            except OSError as error:
                ours.close()
                raise RendererStartError("the render process cannot be started") from error
        self._control = ours
        try:
            ours.settimeout(START_SECONDS)
            hello = _receive(ours)
            ours.settimeout(None)
        except (_ZygoteGoneError, TimeoutError) as error:
            self._stop()
            raise RendererStartError("the render process ended while it started") from error
        word, _, rest = hello.partition(" ")
        if word == "ready":
            self._guards = tuple(rest.split())
            return ours
        self._stop()
        if word == "unguarded":
            raise UnguardedHostError(
                "this host forbids a network namespace to the render process, so HTML is not rendered; "
                "allow unprivileged user namespaces or give the worker CAP_SYS_ADMIN"
            )
        raise RendererStartError(f"the render process does not work here ({rest}): {_explain(rest)}")

    def _stop(self) -> None:
        control, process = self._control, self._process
        self._control, self._process = None, None
        if control is not None:
            control.close()
        if process is not None:
            process.kill()  # its child follows by PR_SET_PDEATHSIG
            process.wait()


def _explain(reason: str) -> str:
    if reason == "fonts":
        return f"no font can be read; install {' '.join(PACKAGES)}"
    return "is Pango installed (libpango-1.0-0, libpangoft2-1.0-0), and do the limits leave room for it?"


def _send_job(control: socket.socket, job: bytes, answer: int) -> None:
    descriptor = os.memfd_create("job")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            stream.write(job)
        os.lseek(descriptor, 0, os.SEEK_SET)
        socket.send_fds(control, [b"render"], [descriptor, answer])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise _ZygoteGoneError from error
    finally:
        os.close(descriptor)


def _receive(control: socket.socket) -> str:
    try:
        packet = control.recv(256)
    except ConnectionResetError as error:
        raise _ZygoteGoneError from error
    if not packet:
        raise _ZygoteGoneError
    return packet.decode("ascii", "replace")


def find_cause(word: bytes, verdict: str, limits: RenderLimits) -> RenderCause:
    """Return why a render failed, from the child's word (untrusted) and the zygote's verdict on its end."""
    kind, _, rest = verdict.partition(" ")
    if kind == "wall":
        return RenderCause.TIME
    if kind == "output":
        return RenderCause.MEMORY
    number, _, cpu = rest.partition(" ")
    if kind == "signal":
        if float(cpu) >= limits.cpu_seconds - 0.5 and int(number) in {signal.SIGXCPU, signal.SIGKILL}:
            return RenderCause.TIME
        # SIGKILL from outside is the kernel's OOM killer; Rust, GLib and libc abort when memory ends
        return RenderCause.MEMORY if int(number) == signal.SIGKILL else RenderCause.CRASH
    try:
        return RenderCause(word.decode("ascii", "replace"))
    except ValueError:
        return RenderCause.CRASH
