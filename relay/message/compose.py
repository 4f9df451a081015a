"""Write the mails that Letterlock makes itself, streaming and by hand (no email.message: pdf.md 0.9).

Which fields of the original stay on a carrier mail (the outer mail around protected content):
- stay, first occurrence, octet for octet: From, Sender, Reply-To, To, Cc, Date, Message-ID, In-Reply-To, References,
  Auto-Submitted, Precedence, Importance, Priority, and the List-* fields of RFC 2369, 2919 and 8058. So the thread, the
  answer and the list work. Raw 8-bit text in them is written anew as RFC 2047 words unless the mail goes by SMTPUTF8.
- Subject: as the caller says; a generic one when confidential.
- never: Bcc and Resent-Bcc; Received, Return-Path, Delivered-To and DKIM-Signature (inside hops are nobody else's
  business, the signature would break); X-*, Sensitivity, Disposition-Notification-To, Return-Receipt-To, Content-* and
  everything not named above.
- added: MIME fields, our trace field, and From, To, Date and Message-ID where the original had none.
- what a rule removes of these goes, and what it adds stands in the place of a kept field of that name.
Must not put the protected text, file names or the password anywhere.
Obeys RFC 5322 3.6, RFC 2045, RFC 2046 5.1, RFC 2047, RFC 3834 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from relay.core.ids import new_id
from relay.message.addresses import Mailbox, format_mailboxes, parse_mailboxes
from relay.message.encode import encode_multipart, encode_text, iter_base64, new_boundary
from relay.message.fields import HeaderField, HeaderFields
from relay.message.header_view import parse_date, parse_message_ids
from relay.message.headers import encode_field
from relay.message.loops import make_trace
from relay.message.texts import MailBrand, MailTexts, RenderedText
from relay.message.words import clean_text, decode_words, fold_tokens

__all__ = ["CarrierMail", "MailBrand", "SystemMail", "make_message_id", "write_carrier", "write_system_mail"]

_ADDRESS_FIELDS = ("From", "Sender", "Reply-To", "To", "Cc")
_LIST_FIELDS = (
    "List-Id", "List-Post", "List-Help", "List-Subscribe", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Owner",
    "List-Archive",
)  # fmt: skip
KEPT_FIELDS = (
    *_ADDRESS_FIELDS,
    *("Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "Precedence", "Importance", "Priority"),
    *_LIST_FIELDS,
)
"""What a carrier mail keeps of the original's header; the Subject is decided apart."""


@dataclass(frozen=True, slots=True)
class CarrierMail:
    """The outer mail for a PDF."""

    fields: HeaderFields
    """Header of the original."""
    brand: MailBrand
    hostname: str
    """Our host name, for the trace field and a missing Message-ID."""
    languages: tuple[str, ...] = ("de", "en")
    """Languages of the explanation, in order of appearance."""
    subject: str | None = None
    """Subject in the clear, keywords already stripped; None writes a generic one."""
    reply_url: str | None = None
    attachment_name: str = "message.pdf"
    media_type: str = "application/pdf"
    date: datetime | None = None
    """Aware; written only when the original has no readable Date field."""
    smtputf8: bool = False
    """Raw UTF-8 in kept fields may stay (RFC 6532)."""
    fallback_author: Mailbox | None = None
    """Author where the original has no From; postmaster of our host when that is missing too."""
    is_pair_password: bool = True
    """The password is the one of earlier mails; False for a password of this mail alone."""
    is_chosen: bool = False
    """The partner chose the password himself."""
    removed: frozenset[str] = frozenset()
    """Names, in lower case, of kept fields that are left out all the same."""
    added: tuple[tuple[str, str], ...] = ()
    """Names and texts of further fields; they take the place of kept fields of these names."""


def make_message_id(hostname: str) -> str:
    """Return a new Message-ID (RFC 5322 3.6.4) with 128 random bits."""
    return f"<{new_id()}@{hostname}>"


def _is_kept_raw(field: HeaderField, *, smtputf8: bool) -> bool:
    raw = field.raw
    if not raw.isascii():
        if not smtputf8:
            return False
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            return False
    # Lone CR, NUL and over-long lines (RFC 5322 2.1.1, 2.3) would not get through.
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    return b"\0" not in raw and b"\r" not in b"".join(lines) and all(len(line) <= 998 for line in lines)


def _copy_field(name: str, field: HeaderField, *, smtputf8: bool) -> bytes:
    if _is_kept_raw(field, smtputf8=smtputf8):
        return field.raw.rstrip(b"\r\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    if name in _ADDRESS_FIELDS:
        return format_mailboxes(name, parse_mailboxes(field.value))
    if name in ("Message-ID", "In-Reply-To", "References"):
        ids = [one.encode("utf-8") for one in parse_message_ids(field.value)]
        return fold_tokens(f"{name}:".encode("ascii"), ids) if ids else b""
    return encode_field(name, decode_words(field.value))


def _copy_fields(mail: CarrierMail) -> list[bytes]:
    out: list[bytes] = []
    dropped = mail.removed.union(name.lower() for name, _ in mail.added)
    for name in KEPT_FIELDS:
        if dropped and name.lower() in dropped:
            continue
        found = mail.fields.get_all(name)
        # A Date that nobody can read and a Message-ID that is none are as good as missing (RFC 5322 3.6).
        if name == "Date" and parse_date(mail.fields.get(name)) is None:
            date = mail.date or datetime.now(UTC)
            out.append(encode_field("Date", format_datetime(date)))
        elif name == "Message-ID" and not parse_message_ids(mail.fields.get(name)):
            out.append(encode_field("Message-ID", make_message_id(mail.hostname)))
        elif name == "From" and not (found and parse_mailboxes(found[0].value)):
            author = mail.fallback_author or Mailbox("", f"postmaster@{mail.hostname}")
            out.append(format_mailboxes("From", [author]))
        elif found:
            out.append(_copy_field(name, found[0], smtputf8=mail.smtputf8))
    if "To" not in mail.fields and "Cc" not in mail.fields:
        out.append(b"To: undisclosed-recipients:;\r\n")
    return out


def _name_author(mail: CarrierMail) -> tuple[str, str]:
    """The author with the address, for the first time, and the name alone, for later."""
    authors = parse_mailboxes(mail.fields.get("From") or b"")
    author = authors[0] if authors else mail.fallback_author
    if author is None:
        return mail.brand.organisation, mail.brand.organisation
    name = " ".join(clean_text(author.name).split())
    return (f"{name} ({author.address})", name) if name else (author.address, author.address)


def write_carrier(mail: CarrierMail, content: Iterable[bytes], texts: MailTexts | None = None) -> Iterator[bytes]:
    """Yield the carrier mail in pieces: header, explanation, the content as base64 on the fly. Memory stays flat.

    The first piece holds the whole header. `texts` are the templates when the caller has them at hand.
    """
    author, author_name = _name_author(mail)
    values = {
        "organisation": mail.brand.organisation,
        "author": author,
        "author_name": author_name,
        "attachment": mail.attachment_name,
        "reply_url": mail.reply_url or "",
        "pair": "yes" if mail.is_pair_password and not mail.is_chosen else "",
        "chosen": "yes" if mail.is_chosen else "",
        "contact": mail.brand.contact,
    }
    text = (texts or MailTexts()).render_all("carrier", mail.languages, values, mail.brand)
    boundary = new_boundary()
    subject = text.subject if mail.subject is None else mail.subject
    name, trace = make_trace(mail.fields, mail.hostname)
    header = [
        *_copy_fields(mail),
        *(encode_field(name, text) for name, text in mail.added),
        encode_field("Subject", subject),
        encode_field(name, trace),
        b"MIME-Version: 1.0\r\n",
        b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n' % boundary,
    ]
    file_name = _quote(mail.attachment_name)
    yield b"".join(
        [
            *header,
            b"--%s\r\n" % boundary,
            _write_alternative(text),
            b"\r\n--%s\r\n" % boundary,
            b'Content-Type: %s; name="%s"\r\n' % (mail.media_type.encode("ascii"), file_name),
            b'Content-Disposition: attachment; filename="%s"\r\n' % file_name,
            b"Content-Transfer-Encoding: base64\r\n\r\n",
        ]
    )
    yield from iter_base64(content)
    yield b"\r\n--%s--\r\n" % boundary


def _quote(name: str) -> bytes:
    """A file name of ours as the inside of a quoted string; ours are ASCII."""
    return "".join(c for c in clean_text(name) if c.isascii() and c not in '"\\').encode("ascii")


def _write_alternative(text: RenderedText) -> bytes:
    return encode_multipart("alternative", [encode_text(text.text, "plain"), encode_text(text.html, "html")])


@dataclass(frozen=True, slots=True)
class SystemMail:
    """A notice of ours to one person. Sent with a null reverse-path or one that the relay reads itself."""

    author: Mailbox
    to: tuple[Mailbox, ...]
    text: RenderedText
    date: datetime
    """Aware."""
    hostname: str
    references: tuple[str, ...] = ()
    """Message-IDs of the mail that it is about, so that clients show it in the thread."""
    auto_submitted: str = "auto-generated"
    """`auto-generated` or `auto-replied` (RFC 3834 5)."""
    reply_to: tuple[Mailbox, ...] = ()
    """Who gets an answer, where that is not the author (RFC 5322 3.6.2)."""


def write_thread_fields(references: Iterable[str]) -> bytes:
    """Return In-Reply-To and References for these Message-IDs; nothing for none (RFC 5322 3.6.4)."""
    ids = [one.encode("utf-8") for one in references if parse_message_ids(one.encode("utf-8")) == (one,)]
    if not ids:
        return b""
    return fold_tokens(b"In-Reply-To:", ids[-1:]) + fold_tokens(b"References:", ids)


def write_system_mail(mail: SystemMail) -> bytes:
    """Return the notice as a complete message with text and HTML alternatives."""
    return b"".join(
        [
            format_mailboxes("From", [mail.author]),
            format_mailboxes("Reply-To", mail.reply_to) if mail.reply_to else b"",
            format_mailboxes("To", mail.to),
            encode_field("Subject", mail.text.subject),
            encode_field("Date", format_datetime(mail.date)),
            encode_field("Message-ID", make_message_id(mail.hostname)),
            write_thread_fields(mail.references),
            # RFC 3834 5; the second field is what Exchange looks at before it sends an out-of-office reply.
            encode_field("Auto-Submitted", mail.auto_submitted),
            b"X-Auto-Response-Suppress: All\r\n",
            encode_field("Content-Language", mail.text.language),
            b"MIME-Version: 1.0\r\n",
            _write_alternative(mail.text),
        ]
    )
