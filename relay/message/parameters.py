"""Content-Type and Content-Disposition with their parameters (RFC 2045 5, RFC 2183, RFC 2231 3 and 4).

Lenient: unquoted spaces, encoded words where RFC 2231 should be, doubled parameters (the first counts). Never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from relay.message.charsets import decode_raw_header, decode_text
from relay.message.words import decode_words

_TOKEN_TYPE = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*/\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_TOKEN = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
# Every alternative matches where it stands, so that no position is tried twice: plain run, quoted string, semicolon.
_PIECE = re.compile(rb'[^;"]+|"(?:[^"\\]|\\.)*"?|;', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# RFC 2231 3 and 4: name*, name*N and name*N*
_CONTINUED = re.compile(r"(.+?)(?:\*(\d{1,4}))?(\*)?")
_MOST_PARAMETERS = 200


@dataclass(frozen=True, slots=True)
class StructuredValue:
    """The value before the parameters, lower case, and the decoded parameters by lower-case name."""

    value: str
    parameters: dict[str, str]


def _unquote(inner: bytes) -> bytes:
    # Windows clients write paths with bare backslashes; only \" and \\ are undone then.
    return _QUOTED_PAIR.sub(lambda m: m[1] if m[1] in b'"\\' else m[0], inner) if b"\\" in inner else inner


def _split_parameters(rest: bytes) -> Iterator[tuple[str, bytes]]:
    name: bytes | None = None
    value: bytes | None = None
    for found in _PIECE.finditer(rest):
        piece = found[0]
        if piece == b";":
            if name:
                yield name.decode("latin-1").lower(), value or b""
            name = value = None
        elif name is None:
            # A quoted string, or no equals sign, is no parameter: the next semicolon begins afresh.
            before, equals, after = piece.partition(b"=")
            name = before.strip() if equals and not piece.startswith(b'"') else b""
            value = after.strip() or None
        elif value is None:
            # What follows a value, a comment as a rule, is left out.
            if piece.startswith(b'"'):
                value = _unquote(piece[1:-1] if len(piece) > 1 and piece.endswith(b'"') else piece[1:])
            else:
                value = piece.strip() or None
    if name:
        yield name.decode("latin-1").lower(), value or b""


def _decode_parameters(rest: bytes) -> dict[str, str]:
    plain: dict[str, bytes] = {}
    extended: dict[str, dict[int, tuple[bool, bytes]]] = {}
    for count, (name, value) in enumerate(_split_parameters(rest)):
        if count >= _MOST_PARAMETERS:
            break
        parts = _CONTINUED.fullmatch(name)
        if parts is None or (parts[2] is None and parts[3] is None):
            plain.setdefault(name, value)
        else:
            extended.setdefault(parts[1], {}).setdefault(int(parts[2] or 0), (parts[3] is not None, value))
    decoded = {name: decode_words(value) for name, value in plain.items()}
    for name, pieces in extended.items():
        # RFC 2231 4: the extended form is the better one where both are given.
        decoded[name] = _join_pieces(pieces)
    return decoded


def _join_pieces(pieces: dict[int, tuple[bool, bytes]]) -> str:
    label: str | None = None
    octets = b""
    for number in sorted(pieces):
        is_encoded, value = pieces[number]
        if is_encoded:
            if label is None and value.count(b"'") >= 2:
                raw_label, _, value = value.split(b"'", 2)
                label = raw_label.decode("latin-1")
            value = unquote_to_bytes(value)
        octets += value
    if label is None:
        return decode_words(octets)
    return decode_text(octets, label) if label else decode_raw_header(octets)


def parse_content_type(untrusted_value: bytes | None) -> StructuredValue | None:
    """Return media type and parameters, or None when there is no usable `type/subtype` (RFC 2045 5.2)."""
    if not untrusted_value:
        return None
    found = _TOKEN_TYPE.match(untrusted_value)
    if found is None:
        return None
    name = f"{found[1].decode('ascii')}/{found[2].decode('ascii')}".lower()
    rest = untrusted_value[found.end() :]
    return StructuredValue(name, _decode_parameters(rest) if rest else {})


def parse_disposition(untrusted_value: bytes | None) -> StructuredValue | None:
    """Return the disposition and its parameters, or None when there is none (RFC 2183 2)."""
    if not untrusted_value:
        return None
    found = _TOKEN.match(untrusted_value)
    if found is None:
        return None
    rest = untrusted_value[found.end() :]
    if rest.lstrip()[:1] == b"=":
        # `Content-Disposition: filename=x`: the disposition itself was forgotten.
        return StructuredValue("attachment", _decode_parameters(untrusted_value))
    return StructuredValue(found[1].decode("ascii").lower(), _decode_parameters(rest))
