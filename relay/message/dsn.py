"""Delivery status notifications (RFC 3464, RFC 3461, RFC 6533), human part in English and German.

Returns protected content to nobody: header fields at most, and not even the subject when the mail was confidential.
Never answers a null reverse-path: `is_dsn_wanted` does not know it, the caller looks first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import BinaryIO

from relay.message.addresses import Mailbox, format_mailboxes
from relay.message.compose import make_message_id, write_thread_fields
from relay.message.encode import encode_text, new_boundary, read_chunks
from relay.message.fields import HeaderFields
from relay.message.header_view import parse_message_ids
from relay.message.headers import encode_field
from relay.message.texts import MailTexts
from relay.message.words import clean_text, fold_tokens

_RETURNED_OCTETS = 64 * 1024
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,30}")

# Of a confidential mail only these go back: the subject also stands in Thread-Topic and its like.
_NEUTRAL_FIELDS = frozenset(
    {"received", "from", "sender", "reply-to", "to", "cc", "date", "message-id", "in-reply-to", "references"}
)


class Action(StrEnum):
    """The Action field (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class DsnRecipient:
    """The per-recipient fields (RFC 3464 2.3)."""

    forward_path: str
    action: Action
    status: str
    """Enhanced status, `5.1.1`."""
    orcpt: str | None = None
    """As given in RCPT, `rfc822;` and xtext (RFC 3461 4.2)."""
    diagnostic: str = ""
    """The next hop's reply, one line; only when there was an SMTP reply."""
    explanation: tuple[tuple[str, str], ...] = ()
    """Words for people by language, (("de", "..."), ("en", "...")), where the cause was ours."""
    remote_mta: str = ""
    last_attempt: datetime | None = None
    will_retry_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DsnReport:
    """One notification about one message."""

    reporting_mta: str
    author: Mailbox
    """Whom it comes from: postmaster or mailer-daemon of our host."""
    to: str
    """The reverse-path it goes to."""
    arrival: datetime
    date: datetime
    recipients: tuple[DsnRecipient, ...]
    envid: str | None = None
    """xtext as given in MAIL (RFC 3461 4.4)."""
    original_fields: HeaderFields | None = None
    ret: str | None = None
    """FULL or HDRS; FULL is obeyed only with `original`."""
    original: BinaryIO | None = None
    """The clear original, given only when it may go back in full and was not to be protected."""
    show_subject: bool = True
    """False for a confidential mail: the returned fields then lack the subject."""
    languages: tuple[str, ...] = ("de", "en")
    smtputf8: bool = False


def is_dsn_wanted(notify: frozenset[str] | None, action: Action) -> bool:
    """Tell whether this recipient's NOTIFY asks for such a report (RFC 3461 4.1).

    Without NOTIFY failures and delays are told. NEVER means never; success covers relayed and expanded
    (RFC 3461 5.2.2, 5.2.7).
    """
    if notify is None:
        return action in (Action.FAILED, Action.DELAYED)
    if "NEVER" in notify:
        return False
    if action is Action.FAILED:
        return "FAILURE" in notify
    return "DELAY" in notify if action is Action.DELAYED else "SUCCESS" in notify


def decode_xtext(untrusted_text: str) -> str:
    """Decode xtext (RFC 3461 4); what is not xtext comes back as it is. Control characters become spaces."""
    octets = _XTEXT.sub(lambda found: chr(int(found[1], 16)), untrusted_text)
    try:
        return clean_text(octets.encode("latin-1").decode("utf-8"))
    except UnicodeError:
        return clean_text(octets)


def encode_xtext(text: str) -> str:
    """Encode as xtext (RFC 3461 4): printable ASCII but for `+` and `=`, the rest as +HH of its UTF-8."""
    return "".join(
        chr(octet) if 0x21 <= octet <= 0x7E and octet not in b"+=" else f"+{octet:02X}"
        for octet in text.encode("utf-8")
    )


def write_dsn(report: DsnReport, texts: MailTexts | None = None) -> Iterator[bytes]:
    """Yield the notification in pieces, ready for the spool; its reverse-path is the null one."""
    boundary = new_boundary()
    is_full = report.ret is not None and report.ret.upper() == "FULL" and report.original is not None
    is_global = not all(one.forward_path.isascii() for one in report.recipients) and report.smtputf8
    subject, words = _write_words(report, texts or MailTexts())
    yield b"".join(
        [
            format_mailboxes("From", [report.author]),
            format_mailboxes("To", [Mailbox("", report.to)]),
            encode_field("Subject", subject),
            encode_field("Date", format_datetime(report.date)),
            encode_field("Message-ID", make_message_id(report.reporting_mta)),
            write_thread_fields(_message_id_of(report)),
            # RFC 3834 5.2: a notification is auto-replied, and nobody is to answer it.
            b"Auto-Submitted: auto-replied\r\n",
            b"MIME-Version: 1.0\r\n",
            # RFC 3464 2, RFC 6522 3
            b"Content-Type: multipart/report; report-type=delivery-status;\r\n",
            b' boundary="%s"\r\n\r\n' % boundary,
            b"--%s\r\n" % boundary,
            encode_text(words, "plain"),
            b"\r\n--%s\r\n" % boundary,
            _write_status(report, is_global=is_global),
            b"\r\n--%s\r\n" % boundary,
        ]
    )
    if is_full and report.original is not None:
        report.original.seek(0)
        # RFC 6533 4: a message with UTF-8 in its header is message/global.
        kind = b"global" if report.smtputf8 else b"rfc822"
        yield b"Content-Type: message/%s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" % kind
        yield from read_chunks(report.original)
    else:
        yield _write_returned_fields(report)
    yield b"\r\n--%s--\r\n" % boundary


def _message_id_of(report: DsnReport) -> tuple[str, ...]:
    return parse_message_ids(report.original_fields.get("Message-ID")) if report.original_fields else ()


# --- the part for people ----------------------------------------------------------------------------------------------


def _write_words(report: DsnReport, texts: MailTexts) -> tuple[str, str]:
    action = report.recipients[0].action if report.recipients else Action.FAILED
    until = max((one.will_retry_until for one in report.recipients if one.will_retry_until), default=None)
    subject = ""
    sections: list[str] = []
    for language in report.languages or ("en",):
        values = {
            "recipients": "\n\n".join(_describe(one, language) for one in report.recipients),
            "until": until.strftime("%d.%m.%Y %H:%M %Z" if language == "de" else "%Y-%m-%d %H:%M %Z") if until else "",
        }
        rendered = texts.render(f"dsn-{action.value}", language, values)
        subject = subject or rendered.subject
        sections.append(rendered.text)
    return subject, f"\n{'-' * 74}\n\n".join(sections)


def _describe(one: DsnRecipient, language: str) -> str:
    words = dict(one.explanation)
    text = words.get(language) or words.get("en") or one.diagnostic
    address = clean_text(one.forward_path)
    return f"{address}\n    {clean_text(one.status)} {clean_text(text)}".rstrip()


# --- the part for programs --------------------------------------------------------------------------------------------


def _write_status(report: DsnReport, *, is_global: bool) -> bytes:
    """message/delivery-status (RFC 3464 2.1), or message/global-delivery-status (RFC 6533 3)."""
    groups = [_message_group(report)]
    groups += [_recipient_group(one, is_global=is_global) for one in report.recipients]
    kind = b"global-delivery-status" if is_global else b"delivery-status"
    encoding = b"Content-Transfer-Encoding: 8bit\r\n" if is_global else b""
    return b"Content-Type: message/%s\r\n%s\r\n" % (kind, encoding) + b"\r\n".join(groups)


def _message_group(report: DsnReport) -> bytes:
    lines = []
    if report.envid:
        lines.append(_line("Original-Envelope-Id", _ascii(decode_xtext(report.envid))))
    lines.append(_line("Reporting-MTA", f"dns; {report.reporting_mta}"))
    lines.append(_line("Arrival-Date", format_datetime(report.arrival)))
    return b"".join(lines)


def _recipient_group(one: DsnRecipient, *, is_global: bool) -> bytes:
    lines = []
    if one.orcpt:
        kind, semicolon, address = one.orcpt.partition(";")
        if semicolon and _ADDRESS_TYPE.fullmatch(kind):
            lines.append(_address_line("Original-Recipient", kind, decode_xtext(address), is_global=is_global))
    lines.append(_address_line("Final-Recipient", "rfc822", one.forward_path, is_global=is_global))
    lines.append(_line("Action", one.action.value))
    status = one.status if _STATUS.fullmatch(one.status) else "5.0.0" if one.action is Action.FAILED else "4.0.0"
    lines.append(_line("Status", status))
    if one.remote_mta:
        lines.append(_line("Remote-MTA", f"dns; {_ascii(one.remote_mta)}"))
    if one.diagnostic:
        lines.append(_line("Diagnostic-Code", f"smtp; {_ascii(one.diagnostic)[:900]}"))
    if one.last_attempt:
        lines.append(_line("Last-Attempt-Date", format_datetime(one.last_attempt)))
    if one.will_retry_until and one.action is Action.DELAYED:
        # RFC 3464 2.3.9: for delayed only.
        lines.append(_line("Will-Retry-Until", format_datetime(one.will_retry_until)))
    return b"".join(lines)


def _address_line(name: str, kind: str, address: str, *, is_global: bool) -> bytes:
    text = clean_text(address)
    if text.isascii():
        return _line(name, f"{kind}; {text}")
    if is_global:
        return f"{name}: utf-8; {text}\r\n".encode()
    # RFC 6533 3: utf-8-addr-xtext where the way back knows no UTF-8.
    escaped = "".join(c if c.isascii() and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in text)
    return _line(name, f"utf-8; {escaped}")


def _ascii(text: str) -> str:
    return clean_text(text).encode("ascii", "replace").decode("ascii")


def _line(name: str, text: str) -> bytes:
    # Structured fields: no RFC 2047 words here, whatever the text looks like.
    return fold_tokens(f"{name}:".encode("ascii"), [token.encode("ascii", "replace") for token in text.split()])


def _write_returned_fields(report: DsnReport) -> bytes:
    """text/rfc822-headers (RFC 6522 4): the sender's own fields, whole fields up to 64 KiB."""
    out: list[bytes] = []
    room = _RETURNED_OCTETS
    for field in report.original_fields or ():
        if not report.show_subject and field.name.lower() not in _NEUTRAL_FIELDS:
            continue
        raw = field.raw.rstrip(b"\r\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
        room -= len(raw)
        if room < 0:
            break
        out.append(raw)
    block = b"".join(out)
    encoding = b"" if block.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
    return b"Content-Type: text/rfc822-headers\r\n%s\r\n" % encoding + block
