"""Finding the end of a message and undoing dot-stuffing, chunk by chunk.

Does: see only CR LF . CR LF as the end of data (RFC 5321 4.1.1.4), remove the transparency dots (4.5.2), notice every
CR or LF that does not stand in a pair (2.3.8), count Received fields while the octets go by.
Must not: keep the message, know replies or sockets, be lenient about line ends: another server may read a bare LF as
a line end and see two messages where we saw one.
"""

from __future__ import annotations

_END = b"\r\n.\r\n"
_FEW_DOTS = 24


def _pairs_only(octets: bytes) -> bool:
    # Splitting takes away two octets at each pair and one at each CR or LF alone. That is half the cost of counting.
    lines = octets.splitlines()
    ends = len(lines) - (not octets.endswith((b"\r", b"\n")) and bool(octets))
    return len(octets) - len(b"".join(lines)) == 2 * ends


def _held_back(octets: bytes) -> int:
    """Return how many octets at the end may be the beginning of the end of data."""
    for length in (4, 3, 2, 1):
        if octets.endswith(_END[:length]):
            return length
    return 0


def _first_stuffed(octets: bytes) -> int:
    """Return where the first CR LF before a dot stands, or -1."""
    at = octets.find(b".")
    for _ in range(_FEW_DOTS):
        # Looking for one octet is fifty times faster than for three, and base64 has no dots at all.
        if at < 0:
            return -1
        if octets[max(at - 2, 0) : at] == b"\r\n":
            return at - 2
        at = octets.find(b".", at + 1)
    return octets.find(b"\r\n.", max(at - 2, 0)) if at >= 0 else -1


class DataScanner:
    """Feeds on what follows the 354. Holds at most four octets back between chunks."""

    __slots__ = ("_carry", "_skip", "has_bare", "is_done", "rest")

    def __init__(self) -> None:
        # The 354 stands where the CR LF before the first line would: so a lone dot right away is an empty message.
        self._carry = b"\r\n"
        self._skip = 2
        self.has_bare = False
        """A CR or LF outside a pair was seen."""
        self.is_done = False
        """The end of data was seen."""
        self.rest = b""
        """What followed the end of data: the next commands."""

    def feed(self, chunk: bytes) -> bytes:
        """Return the content octets that are certain by now. After the end nothing more may be fed."""
        octets = self._carry + chunk
        first = _first_stuffed(octets)
        has_dots = first >= 0
        end = octets.find(_END, first) if has_dots else -1
        if end >= 0:
            self.is_done = True
            self.rest = octets[end + 5 :]
            self._carry = b""
            body = octets[: end + 2]
        else:
            held = _held_back(octets)
            body = octets[: len(octets) - held]
            self._carry = octets[len(octets) - held :]
        if not body:
            return b""
        if not self.has_bare and not _pairs_only(body):
            self.has_bare = True
        # When the first dot is that of the end there is nothing to undo.
        if has_dots and end != first:
            body = body.replace(b"\r\n.", b"\r\n")
        if self._skip:
            body = body[self._skip :]
            self._skip = 0
        return body


class ChunkChecker:
    """Notices bare CR and LF in BDAT content (RFC 3030), where a pair may be torn between two chunks."""

    __slots__ = ("_after_cr", "has_bare")

    def __init__(self) -> None:
        self._after_cr = False
        self.has_bare = False

    def feed(self, octets: bytes) -> None:
        """Look at the next octets."""
        if self._after_cr:
            octets = b"\r" + octets
        self._after_cr = octets.endswith(b"\r")
        if not _pairs_only(octets[:-1] if self._after_cr else octets):
            self.has_bare = True

    def finish(self) -> None:
        """Say that no more octets come."""
        if self._after_cr:
            self.has_bare = True


class ReceivedCounter:
    """Counts Received fields in the header section (RFC 5321 6.3), looking no further than `limit` octets."""

    __slots__ = ("_carry", "_left", "count")

    def __init__(self, limit: int = 1024 * 1024) -> None:
        self._carry = b"\r\n"
        self._left = limit
        self.count = 0

    def feed(self, octets: bytes) -> None:
        """Look at the next content octets."""
        if self._left <= 0:
            return
        self._left -= len(octets)
        window = self._carry + octets
        end = window.find(b"\r\n\r\n")
        if end >= 0:
            window = window[: end + 2]
            self._left = 0
        self.count += window.lower().count(b"\r\nreceived:")
        # One octet less than the pattern: a field name torn between chunks is found, none is counted twice. The end
        # of the header is shorter, so it is found too.
        self._carry = window[-10:]
