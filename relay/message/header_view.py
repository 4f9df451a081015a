"""What the header says, decoded on demand (RFC 5322 3.6, RFC 2047, RFC 2369, RFC 3834, RFC 4021).

Reads fields that anybody may have written: nothing here is proof of anything. Never raises for content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from relay.message.addresses import Mailbox, parse_mailboxes
from relay.message.fields import HeaderFields
from relay.message.words import decode_words

_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,900}>")
_MOST_IDS = 1_000
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,5}")
_IMPORTANCE = {
    "high": "high",
    "urgent": "high",
    "highest": "high",
    "1": "high",
    "2": "high",
    "low": "low",
    "lowest": "low",
    "non-urgent": "low",
    "4": "low",
    "5": "low",
}


def parse_date(untrusted_value: bytes | None) -> datetime | None:
    """Return the aware time of a Date field (RFC 5322 3.3), or None. `-0000` and no zone mean UTC."""
    if not untrusted_value or len(untrusted_value) > 200:
        return None
    try:
        found = parsedate_to_datetime(untrusted_value.decode("ascii", "replace"))
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        found.astimezone(UTC)  # the first and last year may not have a UTC time
    except (TypeError, ValueError, IndexError, OverflowError, AttributeError):
        return None
    return found


def parse_message_ids(untrusted_value: bytes | None) -> tuple[str, ...]:
    """Return the message ids of a field with their angle brackets, at most 1,000 (RFC 5322 3.6.4)."""
    if not untrusted_value:
        return ()
    found = _MESSAGE_ID.findall(untrusted_value)
    return tuple(one.decode("utf-8", "replace") for one in found[-_MOST_IDS:])


class HeaderView:
    """Accessors over one header. Each call reads anew; keep what is needed often."""

    fields: HeaderFields

    def __init__(self, fields: HeaderFields) -> None:
        self.fields = fields

    def header(self, name: str) -> str | None:
        """Return the first field of that name, unfolded and decoded (RFC 2047, RFC 6532), or None."""
        value = self.fields.get(name)
        return None if value is None else decode_words(value)

    def headers(self, name: str) -> tuple[str, ...]:
        """Return all fields of that name, decoded, in order."""
        return tuple(decode_words(field.value) for field in self.fields.get_all(name))

    def decoded_headers(self) -> Mapping[str, tuple[str, ...]]:
        """Return every field, decoded, by lower-case name."""
        return {name: self.headers(name) for name in self.fields.names}

    def _mailboxes(self, name: str) -> tuple[Mailbox, ...]:
        found: list[Mailbox] = []
        for field in self.fields.get_all(name):
            found += parse_mailboxes(field.value)
        return tuple(found)

    def _keyword(self, name: str) -> str | None:
        """The first word of a field, lower case, comments and parameters cut."""
        value = self.fields.get(name)
        if value is None:
            return None
        words = re.split(rb"[;(\s]", value, maxsplit=1)
        return words[0].decode("ascii", "replace").lower() or None

    @property
    def subject(self) -> str:
        """The decoded subject, empty when there is none."""
        return self.header("Subject") or ""

    @property
    def author(self) -> Mailbox | None:
        """The first mailbox of the first From field (RFC 5322 3.6.2)."""
        authors = self.authors
        return authors[0] if authors else None

    @property
    def authors(self) -> tuple[Mailbox, ...]:
        """All mailboxes of all From fields."""
        return self._mailboxes("From")

    @property
    def sender(self) -> Mailbox | None:
        """The Sender field's mailbox: who sent it for the author."""
        found = self._mailboxes("Sender")
        return found[0] if found else None

    @property
    def to(self) -> tuple[Mailbox, ...]:
        """The mailboxes of To."""
        return self._mailboxes("To")

    @property
    def cc(self) -> tuple[Mailbox, ...]:
        """The mailboxes of Cc."""
        return self._mailboxes("Cc")

    @property
    def bcc(self) -> tuple[Mailbox, ...]:
        """The mailboxes of Bcc, which must not leave."""
        return self._mailboxes("Bcc")

    @property
    def reply_to(self) -> tuple[Mailbox, ...]:
        """The mailboxes of Reply-To."""
        return self._mailboxes("Reply-To")

    @property
    def date(self) -> datetime | None:
        """The Date field, aware, or None when missing or broken."""
        return parse_date(self.fields.get("Date"))

    @property
    def message_id(self) -> str | None:
        """The Message-ID with its angle brackets."""
        found = parse_message_ids(self.fields.get("Message-ID"))
        return found[0] if found else None

    @property
    def references(self) -> tuple[str, ...]:
        """The ids of References, with angle brackets, in order."""
        return parse_message_ids(self.fields.get("References"))

    @property
    def in_reply_to(self) -> tuple[str, ...]:
        """The ids of In-Reply-To."""
        return parse_message_ids(self.fields.get("In-Reply-To"))

    @property
    def auto_submitted(self) -> str | None:
        """The keyword of Auto-Submitted in lower case (RFC 3834 5), None when absent."""
        return self._keyword("Auto-Submitted")

    @property
    def sensitivity(self) -> str | None:
        """`personal`, `private`, `company-confidential` or another lower-case word (RFC 4021), None if absent."""
        return self._keyword("Sensitivity")

    @property
    def importance(self) -> str:
        """`high`, `normal` or `low`, from Importance, Priority or X-Priority."""
        for name in ("Importance", "Priority", "X-Priority", "X-MSMail-Priority"):
            word = self._keyword(name)
            if word is not None:
                return _IMPORTANCE.get(word, "normal")
        return "normal"

    @property
    def list_fields(self) -> Mapping[str, str]:
        """The List-* fields (RFC 2369, RFC 2919), lower-case name to decoded text."""
        return {name: self.header(name) or "" for name in self.fields.names if name.startswith("list-")}

    @property
    def is_auto_submitted(self) -> bool:
        """Tell whether a program sent it (RFC 3834 5, and the older habits of vacation programs)."""
        word = self.auto_submitted
        if word is not None:
            return word != "no"
        return (
            "X-Autoreply" in self.fields
            or "X-Autorespond" in self.fields
            or self._keyword("Precedence") == "auto_reply"
        )

    @property
    def is_list(self) -> bool:
        """Tell whether a mailing list distributed it."""
        if any(name in self.fields for name in ("List-Id", "List-Post", "Mailing-List", "X-Mailing-List")):
            return True
        return self._keyword("Precedence") == "list"

    @property
    def is_bulk(self) -> bool:
        """Tell whether it calls itself bulk mail: Precedence bulk or junk, or List-Unsubscribe."""
        return "List-Unsubscribe" in self.fields or self._keyword("Precedence") in ("bulk", "junk")


def find_language_tag(untrusted_value: bytes | None) -> str | None:
    """Return the first language tag of a Content-Language field (RFC 3282 2), or None."""
    if not untrusted_value:
        return None
    found = _LANGUAGE.match(untrusted_value.decode("ascii", "replace").strip())
    return found[0] if found else None
