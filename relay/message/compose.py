"""Write the mails that Letterlock makes itself, streaming and by hand (no email.message: pdf.md 0.9).

Which fields of the original stay on a carrier mail (the outer mail around protected content):
- stay, first occurrence, octet for octet: From, Sender, Reply-To, To, Cc, Date, Message-ID, In-Reply-To, References,
  Auto-Submitted, Precedence, Importance, Priority, and all List-* fields. So the thread, the answer and the list work.
- Subject: as the caller says; a generic one when confidential.
- never: Bcc and Resent-Bcc; Received, Return-Path, Delivered-To and DKIM-Signature (inside hops are nobody else's
  business, the signature would break); X-*, Sensitivity, Disposition-Notification-To, Return-Receipt-To, Content-* and
  everything not named above.
- added: MIME fields, our trace field, Date and Message-ID where the original had none.
Must not put the protected text, file names or the password anywhere.
Obeys RFC 5322 3.6, RFC 2045, RFC 2046 5.1, RFC 2047, RFC 3834 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from relay.message.addresses import Mailbox
from relay.message.fields import HeaderFields
from relay.message.texts import RenderedText


@dataclass(frozen=True, slots=True)
class MailBrand:
    """How a mail of ours looks. Colours are #rrggbb."""

    organisation: str
    accent: str = "#0e5a63"
    on_accent: str = "#ffffff"
    contact: str = ""
    """One line that tells the reader whom to ask, empty for none."""


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
    """Aware; written only when the original has no Date field."""
    smtputf8: bool = False
    """Raw UTF-8 in kept fields may stay (RFC 6532)."""


def write_carrier(mail: CarrierMail, content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the carrier mail in pieces: header, explanation, the content as base64 on the fly. Memory stays flat."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SystemMail:
    """A notice of ours to an inside user. Sent with a null reverse-path or one that the relay reads itself."""

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


def write_system_mail(mail: SystemMail) -> bytes:
    """Return the notice as a complete message with text and HTML alternatives."""
    raise NotImplementedError
