"""Edit a header as octets: everything that is not edited stays as the client wrote it (architecture: byte-identical).

Obeys RFC 5322 2.2 and 3.6; new text is written with RFC 2047 words. Never re-serialises a field that it was not asked
to change. A header here is `content[:body_offset]`: the fields and the blank line that ends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO

from relay.core.errors import MessageError
from relay.message.fields import HeaderField, HeaderFields, find_header_end, parse_fields
from relay.message.keywords import KeywordTable
from relay.message.limits import ParseLimits
from relay.message.words import clean_text, decode_words, encode_words, fold_tokens, needs_words

_NAME = re.compile(r"[!-9;-~]{1,70}")  # RFC 5322 3.6.8
_BLOCK = 64 * 1024
_SUBJECT_FIELDS = ("Subject", "Thread-Topic")
_LONGEST_TEXT = 8_000
_EDIT_LIMITS = ParseLimits(header_fields=1 << 30)


def split_header(stream: BinaryIO, limits: ParseLimits | None = None) -> tuple[bytes, int]:
    """Return the header with its blank line, and the offset of the first body octet (the header's length).

    Reads from the stream's start. Raises MessageError when the header exceeds the limits.
    """
    limits = limits or ParseLimits()
    stream.seek(0)
    data = b""
    while True:
        block = stream.read(_BLOCK)
        data += block
        fields_end, body_start = find_header_end(data)
        if fields_end >= 0 or not block or len(data) > limits.header_octets:
            break
    is_cut_off = fields_end < 0 and len(data) > limits.header_octets
    if fields_end < 0:
        fields_end = body_start = len(data)
    _, used = parse_fields(data[:fields_end], limits)
    if used < fields_end:
        # No blank line: the body begins with the first line that is no field.
        body_start = used
    elif is_cut_off or body_start > limits.header_octets + 2:
        raise MessageError(f"header is larger than {limits.header_octets} octets")
    return data[:body_start], body_start


def _read(header: bytes) -> tuple[HeaderFields, int]:
    """Return the fields and where they end."""
    fields_end, _ = find_header_end(header)
    return parse_fields(header if fields_end < 0 else header[:fields_end], _EDIT_LIMITS)


def prepend_fields(header: bytes, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the header with new fields before its first octet, in the given order. Raises ValueError on a bad name."""
    new = b"".join([encode_field(name, text) for name, text in fields])
    if new and not header:
        # The message had neither fields nor a blank line: without one its text would be read as fields now.
        return new + b"\r\n"
    return new + header


def _replace(header: bytes, doomed: Iterable[HeaderField], substitutes: dict[int, bytes]) -> bytes:
    pieces: list[bytes] = []
    position = 0
    for field in doomed:
        pieces += (header[position : field.offset], substitutes.get(field.offset, b""))
        position = field.offset + len(field.raw)
    pieces.append(header[position:])
    return b"".join(pieces)


def remove_fields(header: bytes, names: Iterable[str]) -> bytes:
    """Return the header without any field of these names (any case)."""
    wanted = {name.lower() for name in names}
    fields, _ = _read(header)
    doomed = [field for field in fields if field.name.lower() in wanted]
    return _replace(header, doomed, {}) if doomed else header


def replace_subject(header: bytes, subject: str) -> bytes:
    """Return the header with this subject in place of the first Subject field; further Subject fields are removed.

    A header without one gets it at its end.
    """
    fields, end = _read(header)
    new = encode_field("Subject", subject)
    subjects = fields.get_all("Subject")
    if subjects:
        return _replace(header, subjects, {subjects[0].offset: new})
    before = header[:end]
    if before and not before.endswith(b"\n"):
        before += b"\r\n"
    return before + new + (header[end:] or (b"" if before else b"\r\n"))


def strip_subject_keywords(header: bytes, table: KeywordTable) -> bytes:
    """Return the header with the table's keywords taken out of the subject; the same object when there are none.

    Thread-Topic, where some clients repeat the subject, is treated alike. Subject fields after the first go.
    """
    fields, _ = _read(header)
    doomed: list[HeaderField] = []
    substitutes: dict[int, bytes] = {}
    for name in _SUBJECT_FIELDS:
        same_name = fields.get_all(name)
        hits = [table.find(decode_words(field.value)) for field in same_name]
        if any(hit.found for hit in hits):
            doomed += same_name
            substitutes[same_name[0].offset] = encode_field(name, hits[0].subject)
    doomed.sort(key=lambda field: field.offset)
    return _replace(header, doomed, substitutes) if doomed else header


def encode_field(name: str, text: str) -> bytes:
    """Return one unstructured field with CRLF, folded at 76 columns, RFC 2047 words where not plain ASCII.

    Line breaks and control characters in `text` become spaces, runs of them one; it is cut at 8,000 characters.
    Raises ValueError on a bad name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("not a field name (RFC 5322 3.6.8)")
    text = " ".join(clean_text(text[:_LONGEST_TEXT]).split())
    tokens = (
        encode_words(text, len(name) + 2) if needs_words(text) else [token.encode("ascii") for token in text.split()]
    )
    return fold_tokens(f"{name}:".encode("ascii"), tokens)
