"""One caught mail as the demo's page shows it: header, texts, parts, and what kind of mail it is.

Reads with Python's own e-mail parser, a reader that shares no code with the gateway. Changes nothing.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from enum import StrEnum
from pathlib import PurePath

_SHOWN = ("From", "Sender", "To", "Cc", "Reply-To", "Date", "Subject", "Message-ID", "In-Reply-To", "Auto-Submitted")
_POLICY = policy.SMTP.clone(utf8=True)
_ENCRYPTED_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted"})


class Kind(StrEnum):
    """What a mail is to somebody who watches the demo."""

    PROTECTED = "protected"
    """Holds an encrypted PDF or is encrypted as a whole."""
    NOTICE = "notice"
    """Made by the gateway for its own users: a password, a held mail, a delivery report."""
    INVITE = "invite"
    """Made by the gateway for a partner: something waits on the portal. Holds nothing of the mail."""
    ANSWER = "answer"
    """A partner's answer that came through the portal."""
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class PartView:
    """One part that can be downloaded."""

    index: int
    name: str
    media_type: str
    content: bytes
    is_encrypted_pdf: bool

    @property
    def size_text(self) -> str:
        """The size in words."""
        size = len(self.content)
        return f"{size} bytes" if size < 1000 else f"{size / 1000:.0f} kB" if size < 10**6 else f"{size / 10**6:.1f} MB"

    @property
    def is_pdf(self) -> bool:
        """Tell whether a browser may show it: says PDF and begins like one."""
        return self.media_type == "application/pdf" and self.content.startswith(b"%PDF-")


@dataclass(frozen=True, slots=True)
class MailView:
    """One mail, read."""

    subject: str
    author: str
    to: str
    kind: Kind
    fields: tuple[tuple[str, str], ...]
    text: str
    html: str
    """Untrusted; shown in a sandbox without script and network, pictures of the mail put in."""
    parts: tuple[PartView, ...]
    structure: tuple[tuple[int, str], ...]
    """Depth and media type of every part, in order."""
    size: int


def read_mail(octets: bytes, hop: str) -> MailView:
    """Read a mail for the page. Broken mail gives what can be read of it."""
    mail = BytesParser(EmailMessage, policy=_POLICY).parsebytes(octets)
    parts = tuple(_part(index, part) for index, part in enumerate(_leaves(mail)))
    text, html = _shown_texts(mail)
    return MailView(
        subject=_field(mail, "Subject"),
        author=_field(mail, "From"),
        to=_field(mail, "To"),
        kind=_kind(mail, parts, hop),
        fields=tuple((name, _field(mail, name)) for name in _SHOWN if mail.get(name) is not None),
        text=text,
        html=_put_pictures_in(html, mail) if html else "",
        parts=tuple(part for part in parts if part.name),
        structure=tuple(_structure(mail, 0)),
        size=len(octets),
    )


def _field(mail: EmailMessage, name: str) -> str:
    try:
        value = mail.get(name)
    except (
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
        KeyError,
    ):  # what Python's parser raises on broken fields
        return "(cannot be read)"
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode("utf-8"))


def _leaves(mail: EmailMessage) -> list[EmailMessage]:
    return [part for part in mail.walk() if not part.is_multipart() and isinstance(part, EmailMessage)]


def _content(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _part(index: int, part: EmailMessage) -> PartView:
    content, media_type = _content(part), part.get_content_type()
    try:
        untrusted_name = part.get_filename() or ""
    except (ValueError, TypeError, IndexError, KeyError):
        untrusted_name = f"part-{index}"
    # A name is shown and downloaded, never opened here; folders in it are cut off all the same.
    name = PurePath(untrusted_name.replace("\\", "/")).name
    name = "".join(c for c in name if c.isprintable())[:120]
    if not name.strip(".") and (name or part.get_content_disposition() == "attachment"):
        name = f"part-{index}"
    return PartView(index, name, media_type, content, is_encrypted_pdf(content))


def is_encrypted_pdf(content: bytes) -> bool:
    """Tell whether this is a PDF whose trailer or cross-reference stream names an encryption dictionary."""
    return content.startswith(b"%PDF-") and re.search(rb"/Encrypt\s*(?:\d+ \d+ R|<<)", content) is not None


def _kind(mail: EmailMessage, parts: tuple[PartView, ...], hop: str) -> Kind:
    if any(part.is_encrypted_pdf for part in parts) or mail.get_content_type() in _ENCRYPTED_TYPES:
        return Kind.PROTECTED
    auto = _field(mail, "Auto-Submitted").lower()
    if auto.startswith("auto-"):
        return Kind.NOTICE if hop == "inside" else Kind.INVITE
    return Kind.ANSWER if hop == "inside" and _field(mail, "X-Letterlock-Origin") == "portal" else Kind.CLEAR


def _shown_texts(mail: EmailMessage) -> tuple[str, str]:
    found = {"plain": "", "html": ""}
    for kind in found:
        try:
            body = mail.get_body((kind,))
        except (ValueError, TypeError, IndexError, AttributeError, KeyError):
            body = None
        if isinstance(body, EmailMessage):
            charset = body.get_content_charset("utf-8")
            try:
                found[kind] = _content(body).decode(charset, "replace")
            except LookupError:
                found[kind] = _content(body).decode("utf-8", "replace")
    return found["plain"], found["html"]


def _put_pictures_in(html: str, mail: EmailMessage) -> str:
    pictures: dict[str, str] = {}
    for part in _leaves(mail):
        content_id = _field(part, "Content-ID").strip("<> ")
        if content_id and part.get_content_maintype() == "image" and part.get_content_subtype() != "svg+xml":
            data = base64.b64encode(_content(part)).decode("ascii")
            pictures[content_id] = f"data:{part.get_content_type()};base64,{data}"
    return re.sub(r"cid:([^\"'\s>)]+)", lambda match: pictures.get(match.group(1), match.group(0)), html)


def _structure(part: EmailMessage, depth: int) -> list[tuple[int, str]]:
    found = [(depth, part.get_content_type())]
    if part.is_multipart() and depth < 20:
        for child in part.iter_parts() if part.get_content_maintype() == "multipart" else part.walk():
            if child is not part and isinstance(child, EmailMessage):
                found += _structure(child, depth + 1)
                if part.get_content_maintype() != "multipart":
                    break
    return found
