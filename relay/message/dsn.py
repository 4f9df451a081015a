"""Delivery status notifications (RFC 3464, RFC 3461), human part in English and German.

Returns protected content to nobody: header fields at most, and not even the subject when the mail was confidential.
Never answers a null reverse-path: `is_dsn_wanted` does not know it, the caller looks first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO

from relay.message.addresses import Mailbox
from relay.message.fields import HeaderFields


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
    """Tell whether this recipient's NOTIFY asks for such a report; without NOTIFY only failures and delays are told."""
    raise NotImplementedError


def decode_xtext(untrusted_text: str) -> str:
    """Decode xtext (RFC 3461 4); what is not xtext comes back as it is."""
    raise NotImplementedError


def encode_xtext(text: str) -> str:
    """Encode as xtext (RFC 3461 4)."""
    raise NotImplementedError


def write_dsn(report: DsnReport) -> Iterator[bytes]:
    """Yield the notification in pieces, ready for the spool; its reverse-path is the null one."""
    raise NotImplementedError
