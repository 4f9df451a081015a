"""Mailboxes in header fields (RFC 5322 3.4), read leniently for display and for policy facts; written strictly.

Encoded-words are decoded after the structure is known (RFC 2047 5 (3)), so that no encoded `<` moves an address.
This is never the envelope's grammar: that is relay.core.address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.message.charsets import decode_raw_header
from relay.message.words import clean_text, decode_words, encode_words, fold_tokens, needs_words

# Each alternative matches where it stands, so the scan is linear.
_PIECE = re.compile(rb'"(?:[^"\\]|\\.)*"?|[()<>,:;]|[^"()<>,:;]+', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SPACE = re.compile(rb"\s+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")  # RFC 5322 3.2.3, without the dot


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (decoded, may be empty) and an address as written."""

    name: str
    address: str

    def __str__(self) -> str:
        """Return `Name <address>` for display, not for the wire."""
        return f"{self.name} <{self.address}>" if self.name else self.address


@dataclass(slots=True)
class _Reading:
    """One mailbox on its way."""

    phrase: list[bytes] = field(default_factory=list)
    comment: list[bytes] = field(default_factory=list)
    angle: list[bytes] | None = None

    def finish(self) -> Mailbox | None:
        if self.angle is not None:
            address = b"".join(self.angle)
            if address.lstrip().startswith(b"@") and b":" in address:
                address = address.rpartition(b":")[2]  # RFC 5322 4.4: a source route is ignored
            return self._make(address, _read_phrase(self.phrase) or _read_phrase(self.comment))
        address = b"".join(self.phrase).strip()
        if b"@" not in address:
            return None
        return self._make(address, _read_phrase(self.comment))

    @staticmethod
    def _make(address: bytes, name: str) -> Mailbox | None:
        # White space around the parts is folding (RFC 5322 3.4.1); inside quotes it stays.
        address = address.strip() if b'"' in address else _SPACE.sub(b"", address)
        text = clean_text(decode_raw_header(address)).strip()
        return Mailbox("" if name == text else name, text) if text else None


def _read_phrase(pieces: list[bytes]) -> str:
    words = []
    for piece in pieces:
        if piece.startswith(b'"'):
            inner = piece[1:-1] if len(piece) > 1 and piece.endswith(b'"') else piece[1:]
            words.append(_QUOTED_PAIR.sub(rb"\1", inner))
        else:
            words.append(piece)
    return " ".join(decode_words(b"".join(words)).split())


class _Reader:
    """The state machine over the pieces of an address list."""

    def __init__(self) -> None:
        self.found: list[Mailbox] = []
        self._reading = _Reading()
        self._comment_depth = 0
        self._in_angle = False

    def take(self, piece: bytes) -> None:
        if self._comment_depth or (piece == b"(" and not self._in_angle):
            self._comment_depth += (piece == b"(") - (piece == b")")
            if piece not in (b"(", b")"):
                self._reading.comment.append(piece)
        elif self._in_angle and self._reading.angle is not None:
            if piece == b">":
                self._in_angle = False
            elif piece != b"<":
                self._reading.angle.append(piece)
        else:
            self._take_outside(piece)

    def _take_outside(self, piece: bytes) -> None:
        if piece == b"<":
            self._in_angle = True
            # `<a@x> <b@x>`: the last one is the address, as mail clients see it.
            self._reading.angle = []
        elif piece in (b",", b";"):
            self.finish()
        elif piece == b":":
            # A group's name (RFC 5322 3.4); its members follow.
            self._reading = _Reading()
        elif piece not in (b")", b">"):
            self._reading.phrase.append(piece)

    def finish(self) -> None:
        mailbox = self._reading.finish()
        if mailbox is not None:
            self.found.append(mailbox)
        self._reading = _Reading()


def parse_mailboxes(untrusted_value: bytes, limit: int = 5_000) -> tuple[Mailbox, ...]:
    """Return the mailboxes of an address list, groups flattened, at most `limit`. Never raises; junk is left out."""
    reader = _Reader()
    for match in _PIECE.finditer(untrusted_value):
        reader.take(match[0])
        if len(reader.found) >= limit:
            return tuple(reader.found)
    reader.finish()
    return tuple(reader.found)


def _encode_mailbox(mailbox: Mailbox) -> list[bytes]:
    address = clean_text(mailbox.address).replace("<", "").replace(">", "").strip().encode("utf-8")
    name = clean_text(mailbox.name).strip()
    if not name:
        return [address]
    if needs_words(name):
        tokens = encode_words(name)
    elif _ATOMS.fullmatch(name):
        tokens = [token.encode("ascii") for token in name.split()]
    else:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        tokens = [token.encode("ascii") for token in f'"{escaped}"'.split(" ")]
    return [*tokens, b"<" + address + b">"]


def format_mailboxes(name: str, mailboxes: Iterable[Mailbox]) -> bytes:
    """Return a complete, folded address field with CRLF (RFC 5322 3.4, names as RFC 2047 words where needed)."""
    tokens: list[bytes] = []
    for mailbox in mailboxes:
        if tokens:
            tokens[-1] += b","
        tokens += _encode_mailbox(mailbox)
    return fold_tokens(f"{name}:".encode("ascii"), tokens)
