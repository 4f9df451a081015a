"""The body texts, pictures and files of a message, decoded on demand (RFC 2045-2047, RFC 2387, RFC 2392, RFC 3676).

Texts are bounded by the limits; files are streams. HTML is handed on as it is: sanitising is the renderer's job.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import unquote

from relay.message.arrange import Arrangement
from relay.message.charsets import decode_text
from relay.message.decode import estimate_size, is_identity, open_range, read_decoded
from relay.message.fields import find_header_end, parse_fields
from relay.message.flowed import unfold_flowed
from relay.message.limits import ParseLimits
from relay.message.plain import strip_html
from relay.message.structure import Part
from relay.message.words import clean_text, decode_words

_CID = re.compile(r"cid:([^\"'\s<>)]{1,1000})", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:\-]{1,40})", re.IGNORECASE)
_EXTENSIONS = {
    "text/calendar": "ics",
    "text/plain": "txt",
    "text/html": "html",
    "text/csv": "csv",
    "text/rfc822-headers": "txt",
    "text/vcard": "vcf",
    "message/rfc822": "eml",
    "message/global": "eml",
    "message/delivery-status": "txt",
    "message/disposition-notification": "txt",
    "message/feedback-report": "txt",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/pkcs7-mime": "p7m",
    "application/x-pkcs7-mime": "p7m",
    "application/pkcs7-signature": "p7s",
    "application/pgp-encrypted": "asc",
    "application/pgp-signature": "asc",
    "application/pgp-keys": "asc",
    "application/ms-tnef": "dat",
    "application/vnd.ms-tnef": "dat",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "image/tiff": "tif",
    "image/webp": "webp",
    "image/heic": "heic",
    "image/bmp": "bmp",
    "image/emf": "emf",
    "image/x-emf": "emf",
    "image/wmf": "wmf",
    "image/x-wmf": "wmf",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "video/mp4": "mp4",
}
_FIXED_NAMES = {
    "text/calendar": "invite.ics",
    "message/delivery-status": "delivery-status.txt",
    "message/disposition-notification": "disposition-notification.txt",
    "text/rfc822-headers": "headers.txt",
}
_PATH = re.compile(r"[/\\]")
_NAME_LENGTH = 200
_PEEK_OCTETS = 16 * 1024


@dataclass(frozen=True, slots=True)
class MessageAttachment:
    """One file of the message. `open` gives a new, forward-read binary stream of the decoded content each time."""

    name: str
    """Decoded file name without folders, or one made up (`attachment-2.bin`); not yet safe as a path."""
    media_type: str
    """Lower case, `type/subtype`."""
    open: Callable[[], BinaryIO]
    estimated_size: int
    """Octets of the decoded content, within a few per cent."""
    size: int | None = None
    """Octets of the decoded content where that is known without reading it."""


@dataclass(frozen=True, slots=True)
class MessageImage:
    """A picture that the HTML body names by `cid:` (RFC 2392)."""

    content_id: str
    """Without the angle brackets."""
    media_type: str
    content: bytes
    name: str
    """As MessageAttachment.name."""
    is_attached: bool
    """The sender marked it as an attachment as well, so it is among those, too."""


class ContentReader:
    """Reads the parts of one message from its stream."""

    def __init__(self, stream: BinaryIO, limits: ParseLimits, reopen: Callable[[], BinaryIO] | None) -> None:
        self._stream = stream
        self._limits = limits
        self._reopen = reopen

    def read_part(self, part: Part, most: int) -> bytes:
        """Return the decoded octets of a part, of its first `most` encoded ones."""
        end = min(part.body_end, part.body_start + most)
        return read_decoded(self._stream, part.body_start, end, part.encoding)

    def open_part(self, part: Part) -> io.BufferedReader:
        """Open a part's decoded octets as a stream."""
        if self._reopen is None:
            return open_range(self._stream, part.body_start, part.body_end, part.encoding)
        stream = self._reopen()
        return open_range(stream, part.body_start, part.body_end, part.encoding, owns_stream=True)

    def read_text(self, part: Part, most: int | None = None) -> str:
        """Return a text part's text with LF line ends, paragraphs unfolded; cut with a mark when too long."""
        limit = self._limits.text_octets if most is None else most
        octets = self.read_part(part, limit)
        label = part.charset
        if part.media_type == "text/html" and not label:
            found = _META_CHARSET.search(octets, 0, 4096)
            label = found[1].decode("ascii") if found else None
        text = decode_text(octets, label).replace("\r\n", "\n").replace("\r", "\n")
        if part.media_type == "text/plain" and part.parameters.get("format", "").lower() == "flowed":
            text = unfold_flowed(text, del_sp=part.parameters.get("delsp", "").lower() == "yes")
        if part.encoded_size > limit:
            text += "\n\n[…]\n"
        return text

    # --- body ---------------------------------------------------------------------------------------------------------
    def read_plain(self, arrangement: Arrangement, most: int | None = None) -> str | None:
        """Return the plain text of the body; None when no segment has any."""
        if not any(segment.plain for segment in arrangement.segments):
            return None
        texts: list[str] = []
        for segment in arrangement.segments:
            if segment.plain:
                texts += [self.read_text(part, most) for part in segment.plain]
            else:
                texts += [strip_html(self.read_text(part, most)) for part in segment.rich]
        return _join_texts(texts, "\n")

    def read_html(self, arrangement: Arrangement, most: int | None = None) -> str | None:
        """Return the HTML of the body, plain parts between HTML ones as preformatted text; None when there is none."""
        if not arrangement.has_html:
            return None
        pieces: list[str] = []
        for segment in arrangement.segments:
            for part in segment.best:
                text = self.read_text(part, most)
                if part.media_type == "text/html":
                    pieces.append(text)
                elif text.strip():
                    pieces.append(f'<div style="white-space: pre-wrap">{html.escape(text.strip())}</div>')
        return pieces[0] if len(pieces) == 1 else "<div></div>\n".join(pieces)

    def find_images(self, arrangement: Arrangement, body_html: str | None) -> list[tuple[str, Part]]:
        """Return the picture parts, with their Content-IDs, that the HTML names and that fit the limits."""
        if not body_html or not any(part.media_type.startswith("image/") for part in arrangement.files):
            return []
        named = {unquote(html.unescape(cid)) for cid in _CID.findall(body_html)}
        found: list[tuple[str, Part]] = []
        total = 0
        for part in arrangement.files:
            if not part.media_type.startswith("image/") or part.content_id not in named:
                continue
            size = part.encoded_size
            if size <= self._limits.image_octets and total + size <= self._limits.images_octets:
                total += size
                found.append((part.content_id, part))
        return found

    def read_image(self, content_id: str, part: Part, number: int) -> MessageImage:
        """Read one picture into memory; `number` counts from 1 and names the nameless."""
        name = clean_name(part.filename) or f"image-{number}.{_EXTENSIONS.get(part.media_type, 'bin')}"
        content = self.read_part(part, part.encoded_size)
        return MessageImage(content_id, part.media_type, content, name, part.is_attachment)

    # --- files --------------------------------------------------------------------------------------------------------
    def make_attachment(self, part: Part, number: int) -> MessageAttachment:
        """Return the handle of one file; `number` counts from 1 and names the nameless."""
        size = part.encoded_size if is_identity(part.encoding) else None
        return MessageAttachment(
            name=clean_name(part.filename) or self._make_name(part, number),
            media_type=part.media_type,
            open=lambda: self.open_part(part),
            estimated_size=estimate_size(part.encoded_size, part.encoding),
            size=size,
        )

    def _make_name(self, part: Part, number: int) -> str:
        kind = part.media_type
        if kind in _FIXED_NAMES:
            return _FIXED_NAMES[kind]
        if kind in ("message/rfc822", "message/global"):
            subject = clean_name(self._peek_subject(part))[:80].strip(" .")
            return f"{subject or f'message-{number}'}.eml"
        return f"attachment-{number}.{_EXTENSIONS.get(kind, 'bin')}"

    def _peek_subject(self, part: Part) -> str:
        """The subject of a nested message, to name the file after it."""
        octets = self.read_part(part, _PEEK_OCTETS)
        end, _ = find_header_end(octets)
        fields, _ = parse_fields(octets[: end if end >= 0 else len(octets)], ParseLimits(header_fields=_PEEK_OCTETS))
        return decode_words(fields.get("Subject") or b"")


def _join_texts(texts: list[str], between: str) -> str:
    shown = [text for text in texts if text.strip()]
    if len(shown) == 1:
        return shown[0]
    return between.join(text if text.endswith("\n") else text + "\n" for text in shown)


def clean_name(untrusted_name: str) -> str:
    """Return a file name without folders and control characters, at most 200 characters, its extension kept."""
    name = clean_text(_PATH.split(untrusted_name)[-1]).strip()
    if name in (".", ".."):
        return ""
    if len(name) > _NAME_LENGTH:
        stem, dot, extension = name.rpartition(".")
        keep = f"{dot}{extension}" if dot and len(extension) <= 10 else ""
        name = (stem if keep else name)[: _NAME_LENGTH - len(keep)] + keep
    return name
