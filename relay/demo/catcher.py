"""The demo's next hops: a tiny SMTP server that keeps each mail as a file (RFC 5321; 1870, 2920, 3461, 6152, 6531).

Stands for the organisation's mail server (`inside`) and for the Internet (`outside`). Says 250 only when the mail is
durable and visible in the outbox. For loopback only: no TLS, no relaying, no limits against an enemy but on memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from relay.demo.outbox import CaughtEnvelope, OutboxWriter

MAX_SIZE = 100 * 1024 * 1024
_BLOCK = 256 * 1024
_MAX_LINE = 4096
# RFC 5321 4.1.2: a quoted local part may hold blanks and brackets.
_PATH = re.compile(r'(?:FROM|TO):\s*<((?:"(?:[^"\\]|\\.)*"|[^<>\s"])*)>((?:\s+\S+)*)\s*', re.IGNORECASE)
_FEATURES = ("PIPELINING", f"SIZE {MAX_SIZE}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")


class DotReader:
    """Takes the octets after 354 in any pieces and gives the content, dots taken off, until the end of data."""

    def __init__(self) -> None:
        # A virtual line end in front makes the first line like every other; it is taken off again on the way out.
        self._buffer = bytearray(b"\r\n")
        self._skip = 2
        self.is_complete = False

    def feed(self, untrusted_data: bytes) -> bytes:
        """Add octets and return the content known so far that was not returned before."""
        self._buffer += untrusted_data
        end = self._buffer.find(b"\r\n.\r\n")
        if end >= 0:
            self.is_complete = True
            return self._take(end + 2, end + 5)
        cut = self._buffer.rfind(b"\r\n")
        if cut <= 0:
            # One long line: all but an octet that might begin a line end; a dot behind the line end stays with it.
            cut = len(self._buffer) - 1 if len(self._buffer) > _MAX_LINE else 0
        return self._take(cut, cut)

    @property
    def rest(self) -> bytes:
        """Octets behind the end of data: the client's next commands."""
        return bytes(self._buffer) if self.is_complete else b""

    def _take(self, cut: int, drop: int) -> bytes:
        part = bytes(self._buffer[:cut]).replace(b"\r\n..", b"\r\n.")
        del self._buffer[:drop]
        skip, self._skip = min(self._skip, len(part)), max(0, self._skip - len(part))
        return part[skip:]


class Catcher:
    """Catches mail of any number of connections into one outbox."""

    def __init__(self, writer: OutboxWriter) -> None:
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, hop: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _Dialogue(hop, reader, writer, self._writer).run()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        """End all connections; a mail that was not confirmed is dropped, the gateway sends it again."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Dialogue:
    def __init__(
        self, hop: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, outbox: OutboxWriter
    ) -> None:
        self._hop, self._reader, self._writer, self._outbox = hop, reader, writer, outbox
        self._buffer = bytearray()
        self._mail_from: str | None = None
        self._rcpt_to: list[str] = []

    async def run(self) -> None:
        self._say("220 catcher.example ESMTP for the demo")
        while True:
            line = await self._read_line()
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if verb == "DATA":
                await self._take_data()
            else:
                self._say(self._answer(verb, rest))
            if not self._buffer:
                # RFC 2920 3.2: replies to a group of commands go out together.
                await self._writer.drain()
            if verb == "QUIT":
                await self._writer.drain()
                return

    def _say(self, reply: str) -> None:
        self._writer.write(reply.encode() + b"\r\n")

    async def _read_line(self) -> str:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_LINE:
                raise EOFError
            await self._fill()
        line = self._buffer[:end].decode("utf-8", "replace")
        del self._buffer[: end + 2]
        return line

    async def _fill(self) -> None:
        data = await self._reader.read(_BLOCK)
        if not data:
            raise EOFError
        self._buffer += data

    def _answer(self, verb: str, rest: str) -> str:
        if verb == "EHLO":
            self._forget()
            return "\r\n".join(["250-catcher.example", *(f"250-{name}" for name in _FEATURES[:-1]), "250 DSN"])
        if verb in ("HELO", "NOOP", "RSET"):
            if verb != "NOOP":
                self._forget()
            return "250 2.0.0 Ok"
        if verb == "QUIT":
            return "221 2.0.0 Bye"
        if verb in ("MAIL", "RCPT"):
            match = _PATH.fullmatch(rest)
            if match is None:
                return "501 5.5.4 Syntax: " + verb
            return self._take_mail(match.group(1)) if verb == "MAIL" else self._take_rcpt(match.group(1))
        return "500 5.5.2 Command not recognised"

    def _take_mail(self, path: str) -> str:
        if self._mail_from is not None:
            return "503 5.5.1 Nested MAIL"
        self._mail_from = path
        return "250 2.1.0 Ok"

    def _take_rcpt(self, path: str) -> str:
        if self._mail_from is None:
            return "503 5.5.1 MAIL first"
        self._rcpt_to.append(path)
        return "250 2.1.5 Ok"

    def _forget(self) -> None:
        self._mail_from, self._rcpt_to = None, []

    async def _take_data(self) -> None:
        if self._mail_from is None or not self._rcpt_to:
            self._say("503 5.5.1 MAIL and RCPT first")
            return
        self._say("354 End data with <CR><LF>.<CR><LF>")
        await self._writer.drain()
        path, stream = self._outbox.begin()
        try:
            size = await self._store(stream)
        except BaseException:
            self._outbox.abort(path, stream)
            raise
        if size > MAX_SIZE:
            self._outbox.abort(path, stream)
            self._say("552 5.3.4 Too large")
        else:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._say(await self._finish(path, stream, CaughtEnvelope(self._mail_from, self._rcpt_to, self._hop, now)))
        self._forget()

    async def _finish(self, path: Path, stream: BinaryIO, envelope: CaughtEnvelope) -> str:
        work = asyncio.ensure_future(asyncio.to_thread(self._outbox.finish, path, stream, envelope))
        try:
            number = await asyncio.shield(work)
        except OSError:
            self._outbox.abort(path, stream)
            return "452 4.3.1 The outbox cannot be written"
        except asyncio.CancelledError:
            # A stop waits for what is being made durable; only the reply is lost, as it may be anywhere.
            with contextlib.suppress(OSError):
                await work
            raise
        return f"250 2.0.0 Ok: kept as {number:06d}"

    async def _store(self, stream: BinaryIO) -> int:
        dots, size = DotReader(), 0
        data = bytes(self._buffer)
        self._buffer.clear()
        while True:
            content = dots.feed(data)
            size += len(content)
            if size <= MAX_SIZE:
                stream.write(content)
            if dots.is_complete:
                self._buffer += dots.rest
                return size
            data = await self._reader.read(_BLOCK)
            if not data:
                raise EOFError


async def serve_catcher(
    outbox: Path, sockets: Mapping[str, socket.socket], stop: asyncio.Event, ready: Callable[[], None] | None = None
) -> None:
    """Catch mail on listening sockets, named by hop (`inside`, `outside`), until `stop` is set."""
    catcher = Catcher(OutboxWriter(outbox))

    servers = [
        await asyncio.start_server(partial(catcher.handle, hop), sock=sock, limit=_BLOCK)
        for hop, sock in sockets.items()
    ]
    if ready is not None:
        ready()
    await stop.wait()
    for server in servers:
        server.close()
    await catcher.close()
