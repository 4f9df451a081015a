"""SMTP replies: strict grammar (RFC 5321 4.2, RFC 2034 for enhanced codes), bounded in lines, octets and time.

Must not interpret a reply beyond its codes; what a reply means for a copy is decided in outcome.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.delivery.errors import ProtocolError

MAX_LINE = 2_048
"""Octets of one reply line with its CRLF. RFC 5321 4.5.3.1.5 says 512; some peers write longer ones."""
MAX_LINES = 128
MAX_TEXT = 1_000
"""Characters of a reply kept for the DSN and the queue."""

_LINE = re.compile(rb"([2-5][0-5][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s+|$)", re.ASCII)
# Where the peer gives no enhanced code; RFC 3463's closest word for the plain code of RFC 5321 4.2.3.
_SYNTHETIC = {
    421: "4.3.2",
    450: "4.2.0",
    451: "4.3.0",
    452: "4.3.1",
    454: "4.7.0",
    455: "4.5.4",
    500: "5.5.2",
    501: "5.5.4",
    502: "5.5.1",
    503: "5.5.1",
    504: "5.5.4",
    530: "5.7.0",
    535: "5.7.8",
    551: "5.1.6",
    552: "5.2.2",
    553: "5.1.3",
    555: "5.5.4",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply. `lines` are the texts after the code, cleaned of control characters."""

    code: int
    lines: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        """2xx."""
        return 200 <= self.code < 300

    @property
    def is_transient(self) -> bool:
        """4xx."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx."""
        return self.code >= 500

    @property
    def status(self) -> str:
        """Enhanced status: the peer's own when it agrees with the code's class (RFC 2034 4), else a made one."""
        match = _ENHANCED.match(self.lines[0]) if self.lines else None
        if match and match.group(1) == str(self.code)[0]:
            return ".".join(match.groups())
        return _SYNTHETIC.get(self.code, f"{self.code // 100}.0.0")

    @property
    def line(self) -> str:
        """The whole reply in one line, `550 5.1.1 No such user`, shortened."""
        return f"{self.code} {' '.join(self.lines)}".strip()[:MAX_TEXT]


def _clean(untrusted_text: bytes) -> str:
    text = untrusted_text.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text).strip()


class ReplyParser:
    """Takes octets as they come and yields replies. One per connection; octets after a reply stay for the next."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._code: int | None = None
        self._lines: list[str] = []

    @property
    def has_leftover(self) -> bool:
        """Tell whether octets wait that no reply has used (after STARTTLS: an injection, RFC 3207 6)."""
        return bool(self._buffer) or self._code is not None

    def feed(self, untrusted_data: bytes) -> None:
        """Add octets from the wire."""
        self._buffer += untrusted_data

    def next_reply(self) -> Reply | None:
        """Return the next complete reply or None when octets are missing. Raises ProtocolError."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= MAX_LINE or (end < 0 and len(self._buffer) >= MAX_LINE):
                raise ProtocolError("reply line too long")
            if end < 0:
                return None
            untrusted_line = bytes(self._buffer[: end + 1])
            del self._buffer[: end + 1]
            if self._take_line(untrusted_line):
                assert self._code is not None
                reply = Reply(self._code, tuple(self._lines))
                self._code, self._lines = None, []
                return reply

    def _take_line(self, untrusted_line: bytes) -> bool:
        if not untrusted_line.endswith(b"\r\n"):
            raise ProtocolError("reply line does not end in CRLF")
        match = _LINE.fullmatch(untrusted_line[:-2])
        if match is None:
            raise ProtocolError("no SMTP reply")
        code = int(match.group(1))
        # RFC 5321 4.2.1: every line of a reply carries the same code.
        if self._code is not None and code != self._code:
            raise ProtocolError("reply changes its code between lines")
        self._code = code
        self._lines.append(_clean(match.group(3) or b""))
        if len(self._lines) > MAX_LINES:
            raise ProtocolError("reply has too many lines")
        return match.group(2) != b"-"
