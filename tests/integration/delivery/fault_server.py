"""A next hop for tests: a small threaded SMTP server that obeys a script and records what it was given."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CLOSE = "close"
HANG = "hang"
RESET = "reset"

Answer = str | list[str] | None
Script = Callable[["Dialogue", str], Answer]


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can get meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@dataclass
class ReceivedMail:
    mail_line: str
    rcpt_lines: list[str]
    data: bytes
    tls: bool


@dataclass
class FaultServer:
    """`script(dialogue, command)` answers a command: a reply, CLOSE, HANG, RESET, or None for the usual answer.

    Besides SMTP commands it is asked with "<connect>" for the greeting and "<dot>" for the reply to the end of data.
    """

    features: tuple[str, ...] = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN")
    script: Script = lambda dialogue, command: None
    context: ssl.SSLContext | None = None
    features_after_tls: tuple[str, ...] | None = None
    mails: list[ReceivedMail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    port: int = 0
    """0 takes a free one."""

    def __enter__(self) -> FaultServer:
        self._now = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sock = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._sock.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        with self._lock:
            for conn in self._open:
                with contextlib.suppress(OSError):
                    conn.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                conn, _ = self._sock.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                self._open.append(conn)
            thread = threading.Thread(target=self._serve, args=(conn,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, conn: socket.socket) -> None:
        dialogue = Dialogue(self, conn)
        try:
            dialogue.run()
        except OSError:
            pass
        finally:
            with self._lock:
                self._now -= 1
                self._open.remove(dialogue.sock)
            dialogue.sock.close()


class Dialogue:
    def __init__(self, server: FaultServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.reader = sock.makefile("rb")
        self.tls = False
        self.rcpts: list[str] = []
        self.mail = ""
        self.mail_count = 0

    def say(self, answer: str | list[str]) -> bool:
        if answer == CLOSE:
            return False
        if answer == HANG:
            self.server._stop.wait()
            return False
        if answer == RESET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            return False
        lines = [answer] if isinstance(answer, str) else answer
        self.sock.sendall("".join(line + "\r\n" for line in lines).encode())
        return True

    def run(self) -> None:
        if not self.say(self.server.script(self, "<connect>") or "220 fault.example ESMTP"):
            return
        while line := self.reader.readline():
            command = line.decode().rstrip("\r\n")
            self.server.commands.append(command)
            answer = self.server.script(self, command)
            verb = command.split(" ")[0].upper()
            if verb == "STARTTLS" and answer is None:
                self._start_tls()
                continue
            if verb == "DATA" and answer is None and self.rcpts:
                self.say("354 go ahead")
                answer = self._take_data()
            if not self.say(answer if answer is not None else self._usual(verb, command)):
                return
            if verb == "QUIT":
                return

    def _usual(self, verb: str, command: str) -> str | list[str]:
        if verb == "EHLO":
            offered = self.server.features
            if self.tls and self.server.features_after_tls is not None:
                offered = self.server.features_after_tls
            offered = (*offered, "STARTTLS") if self.server.context and not self.tls else offered
            names = ["fault.example", *offered]
            return [f"250-{name}" for name in names[:-1]] + [f"250 {names[-1]}"]
        if verb == "MAIL":
            self.mail, self.rcpts = command, []
            return "250 2.1.0 Ok"
        if verb == "RCPT":
            self.rcpts.append(command)
            return "250 2.1.5 Ok"
        if verb == "DATA":
            return "503 5.5.1 Need RCPT"
        if verb == "RSET":
            self.mail, self.rcpts = "", []
        return "221 2.0.0 Bye" if verb == "QUIT" else "250 2.0.0 Ok"

    def refuse_last_rcpt(self) -> None:
        self.rcpts.pop()

    def _take_data(self) -> str | list[str]:
        data = bytearray()
        while (line := self.reader.readline()) != b".\r\n":
            if not line:
                return CLOSE
            data += line[1:] if line.startswith(b".") else line
        answer = self.server.script(self, "<dot>")
        if answer is None or (isinstance(answer, str) and answer.startswith("2")) or answer in (CLOSE, HANG):
            self.server.mails.append(ReceivedMail(self.mail, list(self.rcpts), bytes(data), self.tls))
        self.mail_count += 1
        return answer if answer is not None else "250 2.0.0 Ok: queued"

    def _start_tls(self) -> None:
        assert self.server.context is not None
        self.say("220 2.0.0 go")
        before = self.sock
        self.sock = self.server.context.wrap_socket(before, server_side=True)
        with self.server._lock:
            self.server._open = [self.sock if conn is before else conn for conn in self.server._open]
        self.reader = self.sock.makefile("rb")
        self.tls = True
