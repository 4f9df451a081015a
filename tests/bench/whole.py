"""The whole gateway: text PDFs a second from SMTP in to protected mail out, and memory for a 25 MB mail."""

from __future__ import annotations

import os
import smtplib
import tempfile
import threading
import time
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from tests.bench.pdf import TEXT
from tests.system.gateway import Gateway


def _count(gateway: Gateway) -> int:
    return sum(1 for _ in (gateway.state / "outbox").glob("[0-9]*.json"))


def _await(gateway: Gateway, mails: int, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while _count(gateway) < mails:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {_count(gateway)} of {mails} mails left")
        time.sleep(0.02)


def _mail(number: int, to: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "anna@bank.example", to, f"Angebot {number}"
    mail["Message-ID"] = f"<{number}@bench.example>"
    mail.set_content(TEXT)
    return mail.as_bytes(policy=SMTP)


def _send(port: int, numbers: range, to: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        for number in numbers:
            client.sendmail("anna@bank.example", [to], _mail(number, to))


def text_mails(messages: int = 1500) -> float:
    """Return protected text mails a second through all processes, to partners whose password is known."""
    with tempfile.TemporaryDirectory(prefix="ll-bench-") as folder:
        gateway = Gateway(Path(folder) / "state").start()
        try:
            _send(gateway.base, range(4), "jonas@partner.example")
            _await(gateway, 5)
            before = _count(gateway)
            began = time.perf_counter()
            share = messages // 4
            threads = [
                threading.Thread(
                    target=_send,
                    args=(gateway.base, range(n * share + 10, (n + 1) * share + 10), "jonas@partner.example"),
                )
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            _await(gateway, before + share * 4)
            return share * 4 / (time.perf_counter() - began)
        finally:
            gateway.stop()


def large_mail_memory(octets: int = 25 * 1024 * 1024) -> dict[str, float]:
    """Return the peak RSS in MB of each process after a mail with one attachment of so many octets."""
    with tempfile.TemporaryDirectory(prefix="ll-bench-") as folder:
        gateway = Gateway(Path(folder) / "state").start()
        try:
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "anna@bank.example", "jonas@partner.example", "Big"
            mail.set_content(TEXT)
            mail.add_attachment(os.urandom(octets), maintype="application", subtype="octet-stream", filename="big.bin")
            gateway.send(mail, "anna@bank.example", "jonas@partner.example")
            _await(gateway, 2)
            peaks = {name: _peak(gateway.pids(name)) for name in ("smtpd", "deliver", "keyd")}
            children = [pid for pid in gateway.children() if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            return peaks | {"worker": _peak(gateway.pids("worker")), "worker child": _peak(children)}
        finally:
            gateway.stop()


def _peak(pids: list[int]) -> float:
    peaks = []
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks.append(int(line.split()[1]) / 1024)
    return max(peaks, default=0.0)
