"""Edit a header as octets: everything that is not edited stays as the client wrote it (architecture: byte-identical).

Obeys RFC 5322 2.2 and 3.6; new text is written with RFC 2047 words. Never re-serialises a field that it was not asked
to change. A header here is `content[:body_offset]`: the fields and the blank line that ends them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from relay.message.keywords import KeywordTable
from relay.message.limits import ParseLimits


def split_header(stream: BinaryIO, limits: ParseLimits | None = None) -> tuple[bytes, int]:
    """Return the header with its blank line, and the offset of the first body octet (the header's length).

    Reads from the stream's start. Raises MessageError when the header exceeds the limits.
    """
    raise NotImplementedError


def prepend_fields(header: bytes, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the header with new fields before its first octet, in the given order. Raises ValueError on a bad name."""
    raise NotImplementedError


def remove_fields(header: bytes, names: Iterable[str]) -> bytes:
    """Return the header without any field of these names (any case)."""
    raise NotImplementedError


def replace_subject(header: bytes, subject: str) -> bytes:
    """Return the header with this subject in place of the first Subject field; further Subject fields are removed.

    A header without one gets it at its end.
    """
    raise NotImplementedError


def strip_subject_keywords(header: bytes, table: KeywordTable) -> bytes:
    """Return the header with the table's keywords taken out of the subject; the same object when there are none."""
    raise NotImplementedError


def encode_field(name: str, text: str) -> bytes:
    """Return one unstructured field with CRLF, folded at 76 columns, RFC 2047 words where not plain ASCII.

    Line breaks and control characters in `text` become spaces. Raises ValueError on a bad name.
    """
    raise NotImplementedError
