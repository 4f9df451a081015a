"""Files embedded in the PDF: streamed from their source, sealed, described.

Content is read once, in pieces, never held whole, and never looked into. A source that fails makes the whole document
fail: half a file must not look like a whole one.

Sources: ISO 32000-1:2008 sections 7.11.3 (file specifications), 7.11.4 (embedded files); ISO 32000-2:2020 section 14.13
(associated files).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .container import PdfFile, literal
from .document import EmbeddedFile
from .errors import AttachmentReadError
from .model import Attachment
from .names import ascii_name

CHUNK = 1 << 20
"""Octets read at once."""

_UNREADABLE = "the content of an attachment cannot be read"

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,80}\Z")
_TEXT_LIKE = re.compile(
    r"text/|application/(?:json|xml|javascript|rtf|postscript|[a-z0-9.+-]+\+(?:xml|json))\Z|message/rfc822|image/(?:svg\+xml|bmp)"
)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """An embedded file and its true size in octets."""

    entry: EmbeddedFile
    size: int


def embed_attachment(file: PdfFile, attachment: Attachment, name: str) -> WrittenFile:
    """Stream one attachment under a cleaned, unique name. Raises AttachmentReadError."""
    media_type = clean_media_type(attachment.media_type)
    try:
        source = attachment.open()
    except OSError as error:
        raise AttachmentReadError(_UNREADABLE) from error
    with source:
        return _embed(file, name, media_type, _read(source))


def embed_octets(file: PdfFile, content: bytes, name: str, media_type: str) -> WrittenFile:
    """Embed content held in memory."""
    return _embed(file, name, clean_media_type(media_type), (content,))


def clean_media_type(untrusted_type: str) -> str:
    """Return type and subtype in lower case, application/octet-stream for what is none."""
    plain = untrusted_type.partition(";")[0].strip().lower()
    return plain if _MEDIA_TYPE.match(plain) else "application/octet-stream"


def _embed(file: PdfFile, name: str, media_type: str, chunks: Iterable[bytes]) -> WrittenFile:
    parameters = file.reserve()
    number, size = file.add_flowing(
        b"/Type/EmbeddedFile/Subtype%s/Params %d 0 R" % (_name(media_type), parameters),
        chunks,
        deflate=bool(_TEXT_LIKE.match(media_type)),
    )
    file.add(b"<</Size %d>>" % size, parameters)
    specification = file.add(
        b"<</Type/Filespec/F%s/UF%s/Desc%s/AFRelationship/Supplement/EF<</F %d 0 R/UF %d 0 R>>>>"
        % (literal(ascii_name(name)), literal(name), literal(name), number, number)
    )
    return WrittenFile(EmbeddedFile(name, specification), size)


def _read(source: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            chunk = source.read(CHUNK)
        except OSError as error:
            raise AttachmentReadError(_UNREADABLE) from error
        if not chunk:
            return
        yield chunk


def _name(text: str) -> bytes:
    """Return a name object; what is no regular character is written #xx (7.3.5)."""
    return b"/" + re.sub(rb"[^a-z0-9!$&^_.+-]", lambda match: b"#%02X" % match.group()[0], text.encode("ascii"))
