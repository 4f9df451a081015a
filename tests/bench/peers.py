"""The peers: private Postfixes that accept and queue, openssl's AES, and the gateway's own smtpd alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_MAIN = """
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
mail_owner = postfix
setgid_group = postdrop
myhostname = peer.bank.example
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
message_size_limit = 60000000
smtpd_client_connection_count_limit = 0
{variant}
maillog_file_prefixes = {folder}
maillog_file = {log}
"""
_MASTER = """
127.0.0.1:{port} inet n - n - 100 smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
"""
HOLD = "smtpd_recipient_restrictions = check_recipient_access static:HOLD, permit_mynetworks, reject"
"""Mail goes to the hold queue, which the queue manager never looks at: the variant kindest to Postfix."""
QUEUE = "smtpd_recipient_restrictions = permit_mynetworks, reject\ndefer_transports = smtp\n"
"""Mail is accepted and queued as in any Postfix whose next hop is away: the queue manager takes it and defers it."""


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def await_port(port: int, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                sock.recv(64)
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port}")


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix."""

    port: int
    queue: Path

    def pour(self, messages: int) -> tuple[float, float]:
        """Pour 10 kB mails in at 50 connections; return mails a second, and CPU seconds a mail with the work of the
        queue manager, which is waited for."""
        process = int((self.queue / "pid" / "master.pid").read_text())
        used = cpu_seconds(process)
        rate = pour_mail(self.port, messages, 50, 10_000)
        while any(path.is_file() for name in ("incoming", "active") for path in (self.queue / name).rglob("*")):
            time.sleep(0.2)
        return rate, (cpu_seconds(process) - used) / messages


@contextmanager
def postfix_queue(variant: str) -> Iterator[Postfix]:
    """Run a Postfix that accepts and keeps mail, as `HOLD` or `QUEUE` say."""
    folder = Path(tempfile.mkdtemp(prefix="ll-bench-postfix-"))
    folder.chmod(0o755)
    config, queue, data, port = folder / "etc", folder / "queue", folder / "data", free_port()
    for each in (config, queue, data):
        each.mkdir()
    shutil.chown(data, "postfix")
    (config / "main.cf").write_text(
        _MAIN.format(queue=queue, data=data, folder=folder, variant=variant, log=folder / "maillog")
    )
    (config / "master.cf").write_text(_MASTER.format(port=port))
    subprocess.run(["/usr/sbin/postfix", "-c", config, "start"], check=True, capture_output=True)
    try:
        await_port(port)
        yield Postfix(port, queue)
    finally:
        subprocess.run(["/usr/sbin/postfix", "-c", config, "stop"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def smtpd_alone() -> Iterator[tuple[int, int]]:
    """Run an installation's smtpd alone: durable intake, nothing behind it; yield its inside port and its process."""
    from dataclasses import replace

    from relay.cli.installation import HostChoices, create_installation
    from relay.core.documents.limits import ListenerLimits
    from relay.core.documents.listeners import Listener, ListenersDocument
    from relay.core.documents.shipped import shipped_organisation
    from relay.core.envelope import Side
    from relay.core.ports import Actor

    folder, port = Path(tempfile.mkdtemp(prefix="ll-bench-smtpd-")), free_port()
    limits = ListenerLimits(messages_per_client_per_minute=10_000_000)
    listener = Listener("inside", Side.INSIDE, "127.0.0.1", port, ("127.0.0.0/8",), limits=limits)
    organisation = replace(
        shipped_organisation("bank.example", "Example Bank"), listeners=ListenersDocument((listener,))
    )
    settings = create_installation(
        folder / "inside", HostChoices("gateway.bank.example"), organisation, Actor("operator", "bench")
    )
    with (folder / "log").open("wb") as log:
        # A file, as the peers have one.
        process = subprocess.Popen(
            [sys.executable, "-m", "relay.cli.main", "--config", str(settings.path), "smtpd"], cwd=ROOT, stderr=log
        )
    try:
        await_port(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process and its living children have used, waited for or not."""
    used = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # proc(5): own user and system time; of the process itself also those of its ended children.
        if int(stat.parent.name) == pid:
            used += sum(int(field) for field in fields[11:15])
        elif int(fields[1]) == pid:
            used += sum(int(field) for field in fields[11:13])
    return used / os.sysconf("SC_CLK_TCK")


def pour_mail(port: int, messages: int, connections: int, octets: int) -> float:
    """Send with Postfix's own load tool over kept connections; return messages a second."""
    began = time.perf_counter()
    subprocess.run(
        [
            "/usr/sbin/smtp-source", "-d", "-s", str(connections), "-m", str(messages), "-l", str(octets),
            "-f", "anna@bank.example", "-t", "jonas@partner.example", f"127.0.0.1:{port}",
        ],
        check=True, timeout=600,
    )  # fmt: skip
    return messages / (time.perf_counter() - began)


def openssl_aes_seconds(octets: int) -> float:
    """Return the seconds that openssl's AES-256-CBC takes for so many octets, from its own speed test."""
    done = subprocess.run(
        ["openssl", "speed", "-elapsed", "-seconds", "2", "-bytes", "1048576", "-evp", "aes-256-cbc", "-mr"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if line.startswith("+F:"))
    return octets / float(line.rpartition(":")[2])
