"""Encoded words in header text, both ways (RFC 2047, RFC 2231 5), plus raw UTF-8 (RFC 6532).

Decoding is lenient and linear; encoding is strict: words of at most 75 octets, never splitting a character.
"""

from __future__ import annotations

import binascii
import re

from relay.message.charsets import decode_raw_header, decode_text

# RFC 2231 5 puts a language behind `*`. White space inside the text is against the rule and seen every day.
_WORD = re.compile(rb"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?]*)\?=")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
# A text that could be taken for an encoded word, or holds what a field must not hold.
_CONTROL = re.compile("[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]+")
_WORD_OCTETS = 75  # RFC 2047 2
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 5 (3)


def _decode_payload(kind: bytes, payload: bytes) -> bytes:
    if kind in b"bB":
        clean = payload.translate(None, _NOT_BASE64)
        if len(clean) % 4 == 1:
            clean = clean[:-1]
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    return binascii.a2b_qp(payload, header=True)


def decode_words(untrusted_value: bytes) -> str:
    """Return header text with its encoded words decoded. Never raises. Line ends must be unfolded already."""
    if b"=?" not in untrusted_value:
        text = decode_raw_header(untrusted_value)
        return text if text.isprintable() else _CONTROL.sub(" ", text)
    pieces: list[str] = []
    pending = b""
    pending_label: bytes | None = None
    position = 0
    for word in _WORD.finditer(untrusted_value):
        between = untrusted_value[position : word.start()]
        position = word.end()
        label = word[1].lower()
        joined = pending_label is not None and not between.strip(b" \t\r\n")
        if pending_label is not None and not (joined and label == pending_label):
            pieces.append(decode_text(pending, pending_label.decode("latin-1")))
            pending = b""
        if not joined:
            # RFC 2047 6.2: white space between two words does not count, any other does.
            pieces.append(decode_raw_header(between))
        # Words of one charset are put together first: many clients split inside a character.
        pending += _decode_payload(word[2], word[3])
        pending_label = label
    if pending_label is not None:
        pieces.append(decode_text(pending, pending_label.decode("latin-1")))
    pieces.append(decode_raw_header(untrusted_value[position:]))
    return _CONTROL.sub(" ", "".join(pieces))


def clean_text(text: str) -> str:
    """Return one line of text fit for a field: line breaks and control characters become single spaces."""
    text = _CONTROL.sub(" ", text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _q_length(octets: bytes) -> int:
    return sum(1 if octet in _Q_SAFE or octet == 0x20 else 3 for octet in octets)


def _encode_q(octets: bytes) -> bytes:
    return b"".join(
        b"_" if octet == 0x20 else bytes((octet,)) if octet in _Q_SAFE else b"=%02X" % octet for octet in octets
    )


def encode_words(text: str, used: int = 0) -> list[bytes]:
    """Return the RFC 2047 words (UTF-8, B or Q, whichever is shorter) that stand for the text.

    `used` octets of the first line are taken already: the line with a word in it has 76 at most (RFC 2047 2).
    """
    raw = text.encode("utf-8", "replace")
    is_q = _q_length(raw) <= (len(raw) + 2) // 3 * 4
    room = _WORD_OCTETS - len("=?utf-8?q??=")
    words: list[bytes] = []
    chunk = bytearray()
    filled = max(0, min(used, 40) - 1)
    filled = filled if is_q else filled // 4 * 3 + 3 * bool(filled % 4)
    for character in text:
        octets = character.encode("utf-8", "replace")
        cost = _q_length(octets) if is_q else len(octets)
        if filled + cost > (room if is_q else room // 4 * 3):
            words.append(_make_word(bytes(chunk), is_q))
            chunk.clear()
            filled = 0
        chunk += octets
        filled += cost
    if chunk:
        words.append(_make_word(bytes(chunk), is_q))
    return words


def _make_word(octets: bytes, is_q: bool) -> bytes:
    if is_q:
        return b"=?utf-8?q?" + _encode_q(octets) + b"?="
    return b"=?utf-8?b?" + binascii.b2a_base64(octets, newline=False) + b"?="


def needs_words(text: str) -> bool:
    """Tell whether the text cannot stand in a field as it is."""
    return not text.isascii() or "=?" in text or any(len(token) > 900 for token in text.split(" "))


def fold_tokens(prefix: bytes, tokens: list[bytes]) -> bytes:
    """Return a field: the prefix (`Name:`) and tokens parted by one space, folded before column 77, with CRLF."""
    lines: list[bytes] = []
    line = prefix
    for token in tokens:
        if len(line) + 1 + len(token) > 76 and line.strip() and line is not prefix:
            lines.append(line)
            line = b""
        line = line + b" " + token
    lines.append(line)
    return b"\r\n".join(lines) + b"\r\n"
