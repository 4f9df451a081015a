"""What code that took over the render child can do: tried from inside, with every guard on.

Each attack runs in a real guarded child in the place of the layout engine and reports what it reached.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PROGRAM = """
import json, os, signal, socket, sys
from pdfmail.html import guard
from pdfmail.html.child import ChildGuards, run_child
from pdfmail.html.fonts import FONT_FOLDERS
from pdfmail.html.job import RenderLimits, encode_job
from pdfmail.model import DrawnPages, HtmlBody

folder = sys.argv[1]
listening = socket.socket(socket.AF_UNIX)
listening.bind(folder + "/listening")
os.chmod(folder + "/listening", 0o777)
listening.listen()
secret = open(folder + "/secret", "r+")
inherited = secret.fileno()
parent = os.getpid()
# everything loaded before the guards stand, as in the zygote
import ctypes, errno, fcntl, pathlib, resource, threading
PTRACE_ATTACH = 16
libc = ctypes.CDLL(None, use_errno=True)
font = next(p for f in FONT_FOLDERS for p in sorted(pathlib.Path(f).rglob("*.ttf")))


def attempt(action):
    try:
        return "reached " + str(action())[:60]
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        return type(error).__name__


def connect_unix():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(folder + "/listening")


def connect_internet():
    with socket.socket() as client:
        client.connect(("127.0.0.1", 25))


def start_thread():
    ran = []
    thread = threading.Thread(target=lambda: ran.append(1))
    thread.start()
    thread.join()
    return ran


def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def list_descriptors():
    return [n for n in range(3, 200) if attempt(lambda: fcntl.fcntl(n, fcntl.F_GETFD)).startswith("reached")]


def grow():
    return len(bytearray(800 << 20))


def attack(body):
    report = {
        "unix": attempt(connect_unix),
        "internet": attempt(connect_internet),
        "read": attempt(lambda: open("/etc/passwd").read()),
        "read_secret": attempt(lambda: open(folder + "/secret").read()),
        "list": attempt(lambda: os.listdir("/")),
        "proc": attempt(lambda: open("/proc/self/maps").read()),
        "write": attempt(lambda: open(folder + "/new", "w")),
        "write_tmp": attempt(lambda: open("/tmp/letterlock-new", "w")),
        "unlink": attempt(lambda: os.unlink(folder + "/secret")),
        "chmod": attempt(lambda: os.chmod(folder + "/secret", 0o777)),
        "truncate": attempt(lambda: os.truncate(folder + "/secret", 0)),
        "inherited": attempt(lambda: os.read(inherited, 10)),
        "descriptors": attempt(list_descriptors),
        "fork": attempt(os.fork),
        "execute": attempt(lambda: os.execv("/bin/true", ["true"])),
        "kill_parent": attempt(lambda: os.kill(parent, signal.SIGTERM)),
        "trace": attempt(lambda: call(101 if os.uname().machine == "x86_64" else 117, PTRACE_ATTACH, parent, 0, 0)),
        "io_uring": attempt(lambda: call(425, 4, 0)),
        "memory": attempt(grow),
        "raise_limit": attempt(lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))),
        "become_root": attempt(lambda: os.setuid(0)) if os.getuid() else "EPERM",
        "user": str(os.getuid()),
        "environment": str([name for name in os.environ if "SECRET" in name]),
        "font": attempt(lambda: len(open(font, "rb").read(4))),
        "thread": attempt(start_thread),
    }
    return DrawnPages(json.dumps(report).encode())


guard.leave_network()
guard.forbid_new_privileges()
job = os.memfd_create("job")
os.write(job, encode_job(HtmlBody(text="x")))
os.lseek(job, 0, 0)
read_end, write_end = os.pipe()
if os.fork() == 0:
    guards = ChildGuards(RenderLimits(), 65534 if os.getuid() == 0 and sys.argv[2] == "root" else None)
    run_child(job, write_end, guards, parent, attack)
os.close(write_end)
with os.fdopen(read_end) as answer:
    sys.stdout.write(answer.read())
"""

NETWORK = {"EPERM", "ENETUNREACH", "EACCES"}


def run_attacks(folder: Path, kind: str) -> dict[str, str]:
    folder.chmod(0o777)
    secret = folder / "secret"
    secret.write_text("0123456789", encoding="ascii")
    secret.chmod(0o666)
    wrap = [] if kind == "root" else ["unshare", "--user", "--map-root-user"]
    result = subprocess.run(
        [*wrap, sys.executable, "-c", PROGRAM, str(folder), kind],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    word, _, report = result.stdout.partition("\n")
    _, _, report = report.partition("\n")
    assert word == "ok", result.stderr
    assert secret.read_text(encoding="ascii") == "0123456789"
    return dict(json.loads(report))


@pytest.fixture(scope="module", params=["root", "user"])
def report(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    # pytest's own folders are closed to other users, which would prove nothing
    with tempfile.TemporaryDirectory(prefix="letterlock-guard-") as folder:
        yield run_attacks(Path(folder), request.param)


@pytest.mark.parametrize("name", ["unix", "internet"])
def test_no_socket_of_any_kind(name: str, report: dict[str, str]) -> None:
    assert report[name] in NETWORK


@pytest.mark.parametrize(
    "name", ["read", "read_secret", "list", "proc", "write", "write_tmp", "unlink", "chmod", "truncate"]
)
def test_no_file_but_the_fonts(name: str, report: dict[str, str]) -> None:
    assert report[name] in {"EACCES", "EPERM"}


def test_no_descriptor_of_the_parent(report: dict[str, str]) -> None:
    assert report["inherited"] == "EBADF" or not report["inherited"].startswith("reached b'0123")
    assert report["descriptors"].count(",") <= 1  # the answer, and the job until it is read


@pytest.mark.parametrize("name", ["fork", "execute", "kill_parent", "trace", "io_uring"])
@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="no table of system calls")
def test_no_other_process(name: str, report: dict[str, str]) -> None:
    assert report[name] in {"EPERM", "EACCES", "ENOSYS"}


def test_no_more_memory_and_no_more_rights(report: dict[str, str]) -> None:
    assert report["memory"] == "MemoryError"
    assert report["raise_limit"] in {"ValueError", "EPERM"}
    assert report["become_root"] == "EPERM"


def test_what_drawing_needs_still_works(report: dict[str, str]) -> None:
    assert report["font"] == "reached 4"
    assert report["thread"] == "reached [1]"
