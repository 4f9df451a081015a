"""A parsed mail as what a mailbox shows: head, safe HTML, text, pictures, files, and a PDF to keep (sealed-mailbox 7).

Reads untrusted mail, decides nothing, seals nothing. Files are streams: a large one is never in memory. Bcc never gets
in. Must not log what it reads.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from pdfmail.model import InlineImage
from relay.core.errors import LetterlockError
from relay.core.wire.sealed import MAX_HEAD, MAX_PARTS, Person
from relay.mailbox.safe_html import find_picture_type, make_safe_html
from relay.message.addresses import Mailbox
from relay.message.content import MessageImage
from relay.message.eml import full_message_eml
from relay.message.parse import ParsedMessage
from relay.message.plain import strip_html
from relay.message.words import clean_text

MAX_SUBJECT = 1000
"""Characters; a longer one is cut."""
SNIPPET = 140
"""Characters of the line that the inbox shows."""
_MAX_NAME = 200
_MAX_PERSON = 320
_HEAD_ROOM = MAX_HEAD - 16 * 1024
"""Octets for persons, subject and file names; the rest of a manifest is ours."""
_OCTETS_A_FILE = 120
"""What a part's entry takes beside its name and type."""
_PIECE = 256 * 1024
PREVIEW_TYPE = "application/pdf"


class TooLargeForMailboxError(LetterlockError):
    """The mail has more or larger files than a mailbox takes. A person decides what becomes of it."""

    temporary = False
    status = "5.3.4"


@dataclass(frozen=True, slots=True)
class PartSource:
    """One part before it is sealed. `open` gives a new forward-read stream each time."""

    role: str
    """html, text, inline, file, preview."""
    name: str
    media_type: str
    open: Callable[[], BinaryIO] = field(repr=False)
    estimated_size: int = 0

    def read_pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces."""
        with self.open() as stream:
            while piece := stream.read(_PIECE):
                yield piece


@dataclass(frozen=True, slots=True)
class ComposedMail:
    """What of a mail is shown, the same for all its recipients."""

    subject: str = field(repr=False)
    snippet: str = field(repr=False)
    sender: Person
    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    parts: tuple[PartSource, ...]
    receipt: bool
    header_message_id: str
    references: tuple[str, ...]
    to_addresses: tuple[str, ...]
    """All of them, whatever the manifest has room for: where `to: all` goes."""
    cc_addresses: tuple[str, ...]

    @property
    def estimated_size(self) -> int:
        """Octets of all parts, within a few per cent."""
        return sum(part.estimated_size for part in self.parts)


def compose_mail(
    parsed: ParsedMessage, subject: str, fallback_author: str, preview: bytes | None = None
) -> ComposedMail:
    """Return the shown form of a mail. `subject`: decoded, keywords stripped; `preview`: its PDF.

    Raises TooLargeForMailboxError for more parts than a manifest names.
    """
    bodies, text, left, is_whole = _compose_body(parsed)
    files = _compose_files(parsed)
    previews = [] if preview is None else [from_octets("preview", "message.pdf", PREVIEW_TYPE, preview)]
    if len(bodies) + len(left) + len(files) + len(previews) > MAX_PARTS:
        left, is_whole = [], False
    if not is_whole:
        # What the page cannot show has to be whole somewhere.
        left = [from_octets("file", "message.eml", "message/rfc822", full_message_eml(parsed, subject))]
    parts = [*bodies, *left, *files, *previews]
    if len(parts) > MAX_PARTS:
        most = MAX_PARTS - len(bodies) - 1
        raise TooLargeForMailboxError(f"A mailbox takes {most} files with this mail at most.")
    return _compose(parsed, subject, fallback_author, parts, text)


def _compose(
    parsed: ParsedMessage, subject: str, fallback_author: str, parts: Sequence[PartSource], text: str
) -> ComposedMail:
    author = parsed.authors[0] if parsed.authors else Mailbox("", fallback_author)
    room = _HEAD_ROOM - sum(len(part.name.encode()) + len(part.media_type) + _OCTETS_A_FILE for part in parts)
    to, cc = _fit(parsed.to, parsed.cc, room)
    return ComposedMail(
        subject=_limit(subject, MAX_SUBJECT),
        snippet=make_snippet(text),
        sender=_person(author),
        to=to,
        cc=cc,
        parts=tuple(parts),
        receipt=parsed.header("Disposition-Notification-To") is not None,
        header_message_id=parsed.message_id or "",
        references=parsed.references,
        to_addresses=tuple(one.address for one in parsed.to),
        cc_addresses=tuple(one.address for one in parsed.cc),
    )


def compose_ticket(parsed: ParsedMessage, subject: str, fallback_author: str, *, most_octets: int) -> ComposedMail:
    """Return what the reply page of a PDF shows: author, subject, the text to quote, and the files.

    Files go along, so that a phone whose reader shows no attachments can save them, as long as all of them together are
    not larger than `most_octets`; else none. Raises nothing for what a mail holds.
    """
    text = parsed.body_text()
    if text is None:
        text = strip_html(parsed.body_html() or "")
    parts = [from_octets("text", "", "text/plain", _encode(text))]
    # What no page draws, by its octets, is a file beside the PDF's pages as well.
    pictures = [one for one in parsed.inline_images() if not one.is_attached]
    files = [_picture_file(one) for one in pictures if find_picture_type(one.content) is None]
    files += _compose_files(parsed)
    if len(files) < MAX_PARTS and sum(one.estimated_size for one in files) <= most_octets:
        parts += files
    return _compose(parsed, subject, fallback_author, parts, text)


def _compose_files(parsed: ParsedMessage) -> list[PartSource]:
    return [
        PartSource("file", _limit(one.name, _MAX_NAME), _clean_type(one.media_type), one.open, one.estimated_size)
        for one in parsed.attachments()
    ]


def _picture_file(image: MessageImage) -> PartSource:
    return from_octets("file", _limit(image.name, _MAX_NAME), _clean_type(image.media_type), image.content)


def _compose_body(parsed: ParsedMessage) -> tuple[list[PartSource], str, list[PartSource], bool]:
    """Return body parts, text, the pictures that the HTML does not show, and whether it shows all of the text."""
    parts: list[PartSource] = []
    left: list[PartSource] = []
    text = parsed.body_text()
    untrusted_html = parsed.body_html()
    is_whole = True
    if untrusted_html is not None:
        images = parsed.inline_images()
        safe = make_safe_html(
            untrusted_html, [InlineImage(one.content_id, one.media_type, one.content) for one in images]
        )
        text = strip_html(untrusted_html) if text is None else text
        parts.append(from_octets("html", "", "text/html", _encode(safe.html)))
        parts += [from_octets("inline", one.name, one.media_type, one.content) for one in safe.pictures]
        seen = {one.content for one in safe.pictures if one.name in safe.visible}
        left = [_picture_file(one) for one in images if not one.is_attached and one.content not in seen]
        is_whole = safe.is_whole
    text = text or ""
    parts.append(from_octets("text", "", "text/plain", _encode(text)))
    return parts, text, left, is_whole


def from_octets(role: str, name: str, media_type: str, content: bytes) -> PartSource:
    """Return a part whose content is at hand."""
    return PartSource(role, name, media_type, lambda: io.BytesIO(content), len(content))


def make_snippet(text: str) -> str:
    """Return the first words of a text on one line."""
    words = " ".join(clean_text(text[: SNIPPET * 20]).split())
    return words if len(words) <= SNIPPET else words[: SNIPPET - 1].rstrip() + "\u2026"


def _person(mailbox: Mailbox) -> Person:
    return Person(_limit(mailbox.name, _MAX_PERSON), _limit(mailbox.address, _MAX_PERSON))


def _fit(
    untrusted_to: Sequence[Mailbox], untrusted_cc: Sequence[Mailbox], room: int
) -> tuple[tuple[Person, ...], tuple[Person, ...]]:
    """Return the persons that the manifest has room for; the others are told by their number."""
    to = _take(untrusted_to, max(room * 2 // 3, 2000))
    used = sum(_cost(person) for person in to)
    return to, _take(untrusted_cc, max(room - used, 1000))


def _take(untrusted: Iterable[Mailbox], room: int) -> tuple[Person, ...]:
    persons = [_person(one) for one in untrusted]
    kept: list[Person] = []
    for number, person in enumerate(persons):
        room -= _cost(person)
        if room < 0:
            return (*kept, Person(f"+{len(persons) - number}", ""))
        kept.append(person)
    return tuple(kept)


def _cost(person: Person) -> int:
    return len(person.name.encode()) + len(person.addr.encode()) + 45


def _limit(untrusted_text: str, most: int) -> str:
    """One line, whole characters only: half a surrogate pair is no JSON."""
    text = " ".join(clean_text(untrusted_text).split()).encode("utf-8", "replace").decode("utf-8")
    return text[:most]


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _clean_type(untrusted_type: str) -> str:
    text = untrusted_type[:100]
    return text if text.isascii() and text.isprintable() and "/" in text else "application/octet-stream"
