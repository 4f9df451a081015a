"""Reads other servers' delivery status notifications (RFC 3464): what became of whom, and in which words.

Everything in here is a stranger's claim. Takes the few fields that a person needs, bounded and cleaned, and no text of
the returned mail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.core.errors import MessageError
from relay.message.fields import HeaderFields, parse_fields
from relay.message.limits import ParseLimits
from relay.message.parse import ParsedMessage
from relay.message.words import clean_text

_MOST_OCTETS = 64 * 1024
_MOST_RECIPIENTS = 20
_MOST_TEXT = 300
_ACTION = re.compile(r"(failed|delayed|delivered|relayed|expanded)\b", re.IGNORECASE)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_BLANK = re.compile(rb"\r?\n[ \t]*\r?\n")


@dataclass(frozen=True, slots=True)
class UntrustedReport:
    """What a notification says of one recipient."""

    action: str
    """`failed`, `delayed`, `delivered`, `relayed`, `expanded`."""
    status: str
    """Enhanced status code (RFC 3463), empty when there is none."""
    diagnostic: str
    """The refusing server's words, one line, at most 300 characters."""


def read_delivery_reports(message: ParsedMessage) -> tuple[UntrustedReport, ...]:
    """Return what the message's delivery-status part says, recipient by recipient; nothing where it has none."""
    for file in message.attachments():
        if file.media_type in ("message/delivery-status", "message/global-delivery-status"):
            with file.open() as stream:
                return _read_status(stream.read(_MOST_OCTETS))
    return ()


def _read_status(untrusted_octets: bytes) -> tuple[UntrustedReport, ...]:
    reports: list[UntrustedReport] = []
    # RFC 3464 2.1: the first block is about the message, each further one about a recipient.
    for block in _BLANK.split(untrusted_octets.strip())[1 : _MOST_RECIPIENTS + 1]:
        try:
            fields, _ = parse_fields(block + b"\r\n", ParseLimits())
        except MessageError:
            continue
        action = _ACTION.match(_text(fields, "Action"))
        if action is None:
            continue
        status = _STATUS.search(_text(fields, "Status"))
        diagnostic = _text(fields, "Diagnostic-Code").partition(";")[2].strip()
        reports.append(UntrustedReport(action[1].lower(), status[0] if status else "", diagnostic[:_MOST_TEXT]))
    return tuple(reports)


def _text(fields: HeaderFields, name: str) -> str:
    value = fields.get(name)
    return " ".join(clean_text(value.decode("utf-8", "replace")).split()) if value else ""
