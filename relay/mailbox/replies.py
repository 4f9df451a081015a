"""An answer from the portal as a mail: header, text, files, streamed into whatever takes octets. Memory stays flat.

The header is the relay's own: From is the partner, To and Cc come from the record of the message that is answered, so
that it threads in every inside client (RFC 5322 3.6.4); of the browser come subject, text, files and their names, all
of them untrusted. Text of any length that is no text any more goes as a file. Obeys RFC 2045, RFC 2046, RFC 2183,
RFC 2231 3 and 4; no Auto-Submitted, since a person wrote it (RFC 3834 5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from html import escape
from urllib.parse import quote

from relay.message.addresses import Mailbox, format_mailboxes
from relay.message.compose import write_thread_fields
from relay.message.encode import encode_multipart, encode_text, iter_base64, new_boundary
from relay.message.headers import encode_field
from relay.message.words import clean_text, fold_tokens

ORIGIN_FIELD = "X-Letterlock-Origin"
ORIGIN = "portal"
MAX_BODY = 2 * 1024 * 1024
"""Octets up to which text and HTML are shown as the mail's body; longer ones are a file."""
_MOST_NAME = 150
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 !#$&'()+,\-.=@\[\]^_`{}~]{1,60}")
_NO_NAME = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]')
"""What no file system takes, and what turns the direction of a name round to hide its ending."""
_PIECE = 60
_MOST_NAMED = 20
_NOTES = {
    "en": "[Also meant for: {}. The portal delivers answers inside only, so they did not get this one.]",
    "de": "[Auch gedacht für: {}. Das Portal stellt Antworten nur im Haus zu; dort ist diese nicht angekommen.]",
}

Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """One part. `pieces` opens and verifies as it is read, once; it raises when a chunk is not what was signed."""

    role: str
    """text, html, inline, file, preview."""
    untrusted_name: str = field(repr=False)
    untrusted_type: str = field(repr=False)
    size: int
    pieces: Callable[[], Iterator[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplyMail:
    """The header of an answer."""

    author: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    untrusted_subject: str = field(repr=False)
    date: datetime
    """Aware."""
    message_id: str
    """Of the spool, for Received."""
    header_message_id: str
    hostname: str
    references: tuple[str, ...] = ()
    """Message-IDs, the answered one last."""
    reply_to: tuple[Mailbox, ...] = ()
    left_out: tuple[str, ...] = ()
    """Untrusted addresses that the answer was also meant for and does not go to."""
    language: str = "en"
    """Of the words that say so."""


def write_reply(mails: Sequence[tuple[ReplyMail, Write]], parts: Sequence[ReplyPart]) -> None:
    """Write complete mails in pieces: each its own header, all the same body, whose parts are opened once.

    Raises whatever opening the parts raises; nothing that was written may be used then.
    """

    def write(data: bytes) -> None:
        for _, write_one in mails:
            write_one(data)

    bodies = [part for part in parts if part.role in ("text", "html") and part.size <= MAX_BODY]
    shown = {role: part for role in ("html", "text") for part in bodies if part.role == role}
    note = _write_note(mails[0][0])
    text = _read_text(shown["text"]) if "text" in shown else ""
    html = _make_html(_read_text(shown["html"]), note) if "html" in shown else None
    if html is not None and "text" not in shown:
        from relay.message.plain import strip_html

        text = strip_html(html)
    elif note:
        text = f"{note}\n\n{text}"
    body = encode_text(text, "plain")
    if html is not None:
        body = encode_multipart("alternative", [body, encode_text(html, "html")])
    files = [part for part in parts if all(part is not one for one in shown.values())]
    for mail, write_one in mails:
        write_one(_write_header(mail))
    if not files:
        write(body)
        return
    boundary = new_boundary()
    write(b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n--%s\r\n' % (boundary, boundary))
    write(body)
    for number, part in enumerate(files, 1):
        write(b"\r\n--%s\r\n" % boundary)
        write(_write_file_fields(part, number))
        for piece in iter_base64(part.pieces()):
            write(piece)
    write(b"\r\n--%s--\r\n" % boundary)


def _write_header(mail: ReplyMail) -> bytes:
    date = format_datetime(mail.date)
    address_fields = (("From", (mail.author,)), ("Reply-To", mail.reply_to), ("To", mail.to), ("Cc", mail.cc))
    return b"".join(
        [
            # RFC 5321 4.4: every system that takes responsibility says so; this is how the mail came in.
            encode_field("Received", f"from portal by {mail.hostname} with HTTPS id {mail.message_id}; {date}"),
            encode_field(ORIGIN_FIELD, ORIGIN),
            *(format_mailboxes(name, mailboxes) for name, mailboxes in address_fields if mailboxes),
            encode_field("Subject", mail.untrusted_subject),
            encode_field("Date", date),
            encode_field("Message-ID", mail.header_message_id),
            write_thread_fields(mail.references),
            b"MIME-Version: 1.0\r\n",
        ]
    )


def _read_text(part: ReplyPart) -> str:
    return b"".join(part.pieces()).decode("utf-8", "replace").replace("\0", "")


def _make_html(untrusted_html: str, note: str) -> str:
    from relay.mailbox.safe_html import make_safe_html

    above = f"<p><em>{escape(note)}</em></p><hr>" if note else ""
    return f"<!DOCTYPE html><html><body>{above}{make_safe_html(untrusted_html, ()).html}</body></html>"


def _write_note(mail: ReplyMail) -> str:
    """Return the line for those inside who must not think that the others have it, "" where there are none."""
    names = [" ".join(clean_text(one).split())[:_MOST_NAME] for one in mail.left_out]
    if not names:
        return ""
    more = len(names) - _MOST_NAMED
    shown = ", ".join(names[:_MOST_NAMED]) + (f" (+{more})" if more > 0 else "")
    return (_NOTES.get(mail.language) or _NOTES["en"]).format(shown)


def _write_file_fields(part: ReplyPart, number: int) -> bytes:
    is_body = part.role in ("text", "html")
    name = clean_file_name(part.untrusted_name) or ("message.txt" if is_body else f"file-{number}")
    kind = clean_media_type(part.untrusted_type)
    tokens = [b"attachment;", *_encode_name(name)]
    return b"".join(
        [
            b"Content-Type: %s\r\n" % kind.encode("ascii"),
            fold_tokens(b"Content-Disposition:", tokens),
            b"Content-Transfer-Encoding: base64\r\n\r\n",
        ]
    )


def clean_file_name(untrusted_name: str) -> str:
    """Return a file name without path, control and direction characters, at most 150 long; "" when none is left."""
    name = " ".join(_NO_NAME.sub("_", clean_text(untrusted_name).rpartition("/")[2].rpartition("\\")[2]).split())
    name = name.encode("utf-8", "replace").decode("utf-8").strip(". ")
    if len(name) > _MOST_NAME:
        stem, dot, ending = name.rpartition(".")
        short_ending = f"{dot}{ending}" if stem and len(ending) <= 10 else ""
        name = name[: _MOST_NAME - len(short_ending)] + short_ending
    return name


def clean_media_type(untrusted_type: str) -> str:
    """Return a media type that may carry base64 (RFC 2046 5.1 and 5.2.1), else application/octet-stream."""
    kind = untrusted_type.strip().lower()
    if not _TYPE.fullmatch(kind) or kind.startswith(("multipart/", "message/")):
        return "application/octet-stream"
    return kind


def _encode_name(name: str) -> Iterable[bytes]:
    if _PLAIN_NAME.fullmatch(name):
        return [b'filename="%s"' % name.encode("ascii")]
    # RFC 2231 4 with 3: a long or foreign name goes in numbered pieces; a percent triplet is never cut.
    value = "UTF-8''" + quote(name, safe="")
    pieces: list[str] = []
    while value:
        end = _PIECE
        while value[end - 2 : end].find("%") >= 0:
            end -= 1
        pieces.append(value[:end])
        value = value[end:]
    if len(pieces) == 1:
        return [f"filename*={pieces[0]}".encode("ascii")]
    last = len(pieces) - 1
    return [f"filename*{n}*={piece}{';' if n < last else ''}".encode("ascii") for n, piece in enumerate(pieces)]
