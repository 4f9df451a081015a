"""Document `keywords`: what a writer may ask for by a word in the subject, by a header field, or by Sensitivity (B7).

Every word is redefinable. Subject words are matched after RFC 2047 decoding without regard to case and are stripped
before sending. Wishes count in mail of own senders to the outside only. RFC 2156 5.3.4 names the sensitivities.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from relay.core.documents.patterns import PatternSet, fold_text, read_address_pattern
from relay.core.documents.reading import (
    DocumentError,
    Fields,
    Json,
    JsonObject,
    check_choice,
    check_text,
)

_FIELD_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,75}")
_STANDARD_FIELDS = frozenset({"from", "to", "cc", "bcc", "sender", "reply-to", "date", "message-id", "subject"})


class Meaning(StrEnum):
    """What a keyword asks for."""

    PDF = "pdf"
    WEBMAIL = "webmail"
    PLAIN = "plain"
    """Send in the clear, where allowed."""
    CONFIDENTIAL = "confidential"
    """Protect even where a rule would pass, and put no subject in the clear."""
    PASSWORD = "password"  # noqa: S105 - a keyword's meaning
    """Tell the sender the pair's password again."""
    NEW_PASSWORD = "new_password"  # noqa: S105 - a keyword's meaning
    """Make a new password for the pair first."""
    MARK = "mark"
    """Means nothing by itself; rules can ask for the word."""
    RESEND = "resend"
    """No mail but an order: a partner who has not opened the mailbox gets a new notice, the sender a first password."""
    RESET = "reset"
    """No mail but an order: the partner's mailbox gets a new first password."""
    REVOKE = "revoke"
    """No mail but an order: the mail that this one answers is taken back from the partner's mailbox."""


COMMANDS = frozenset({Meaning.RESEND, Meaning.RESET, Meaning.REVOKE})
"""A mail with one of these is carried out and never delivered."""


SHIPPED_KEYWORDS: Mapping[str, Meaning] = {
    "{pdf}": Meaning.PDF,
    "{webmail}": Meaning.WEBMAIL,
    "{plain}": Meaning.PLAIN,
    "{confidential}": Meaning.CONFIDENTIAL,
    "{password}": Meaning.PASSWORD,
    "{new_password}": Meaning.NEW_PASSWORD,
    "{resend}": Meaning.RESEND,
    "{reset}": Meaning.RESET,
    "{revoke}": Meaning.REVOKE,
}
"""The table as shipped; a document without the key `keywords` has this one."""


class Sensitivity(StrEnum):
    """Values of the Sensitivity field (RFC 2156 5.3.4)."""

    PERSONAL = "personal"
    PRIVATE = "private"
    COMPANY_CONFIDENTIAL = "company-confidential"


@dataclass(frozen=True, slots=True)
class PlainPermission:
    """Who may ask for clear text, and to whom. Both must fit; shipped: nobody."""

    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class HeaderWords:
    """Names of the header fields that ask for the same, lower case. Values: see docs/policy.md."""

    method: str = "x-letterlock-method"
    """`pdf`, `webmail` or `plain`."""
    confidential: str = "x-letterlock-confidential"
    """`yes` or `no`."""
    password: str = "x-letterlock-password"  # noqa: S105 - a field name
    """`show` or `new`."""
    mailbox: str = "x-letterlock-mailbox"
    """`resend`, `reset` or `revoke`."""

    def names(self) -> tuple[str, str, str, str]:
        """Return the names."""
        return (self.method, self.confidential, self.password, self.mailbox)


@dataclass(frozen=True, slots=True)
class KeywordsDocument:
    """Keyword table (token in folded form -> meaning), header fields, sensitivities, and who may ask for clear text."""

    KIND: ClassVar[str] = "keywords"

    keywords: Mapping[str, Meaning] = field(default_factory=dict)
    plain: PlainPermission = PlainPermission()
    headers: HeaderWords = HeaderWords()
    sensitivities: tuple[Sensitivity, ...] = (Sensitivity.COMPANY_CONFIDENTIAL,)
    """Those that mean confidential."""

    @classmethod
    def from_json(cls, untrusted_value: object) -> KeywordsDocument:
        """Read and check. Raises DocumentError that names the key and the fix."""
        fields = Fields(untrusted_value, cls.KIND)
        raw = dict(SHIPPED_KEYWORDS)
        if fields.has("keywords"):
            raw = fields.mapping("keywords", lambda value, path: check_choice(value, path, Meaning))
        keywords: dict[str, Meaning] = {}
        for token, meaning in raw.items():
            folded = _check_token(token, f"{fields.at('keywords')}.{token[:40]}")
            if folded in keywords:
                raise DocumentError(fields.at("keywords"), "has a keyword twice", "Case makes no difference; keep one")
            keywords[folded] = meaning
        document = cls(
            keywords,
            _read_plain(fields.raw("plain", {}), fields.at("plain")),
            _read_headers(fields.raw("headers", {}), fields.at("headers")),
            fields.items(
                "sensitivities",
                lambda value, path: check_choice(value, path, Sensitivity),
                (Sensitivity.COMPANY_CONFIDENTIAL,),
            ),
        )
        fields.finish()
        return document

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        keywords: dict[str, Json] = {token: meaning.value for token, meaning in self.keywords.items()}
        return {
            "keywords": keywords,
            "plain": {"senders": list(self.plain.senders), "recipients": list(self.plain.recipients)},
            "headers": {
                "method": self.headers.method,
                "confidential": self.headers.confidential,
                "password": self.headers.password,
                "mailbox": self.headers.mailbox,
            },
            "sensitivities": [word.value for word in self.sensitivities],
        }

    def tokens(self) -> tuple[str, ...]:
        """Return the tokens to look for in a subject, folded."""
        return tuple(self.keywords)

    def is_plain_allowed(self, sender: str, recipient: str) -> bool:
        """Tell whether this sender may ask for clear text to this recipient (normal forms)."""
        senders, recipients = PatternSet(self.plain.senders), PatternSet(self.plain.recipients)
        return senders.matches(sender) and recipients.matches(recipient)


def _check_token(untrusted_token: str, path: str) -> str:
    token = check_text(untrusted_token, path, longest=60)
    if len(token.strip()) < 3 or token != token.strip() or any(c in token for c in "\t\r\n"):
        raise DocumentError(path, "is not usable as a keyword", "Use 3 to 60 characters without space at the ends")
    if token.isalnum():
        # A bare word would be found in the middle of ordinary subjects.
        raise DocumentError(path, "is an ordinary word", "Add brackets or another sign, like {pdf} or [pdf]")
    return fold_text(token)


def _read_plain(untrusted_value: object, path: str) -> PlainPermission:
    fields = Fields(untrusted_value, path)
    plain = PlainPermission(
        fields.items("senders", read_address_pattern, ()), fields.items("recipients", read_address_pattern, ("*",))
    )
    fields.finish()
    return plain


def _read_headers(untrusted_value: object, path: str) -> HeaderWords:
    fields = Fields(untrusted_value, path)
    shipped = HeaderWords()
    words = HeaderWords(
        *(
            _read_field_name(fields, key, getattr(shipped, key))
            for key in ("method", "confidential", "password", "mailbox")
        )
    )
    fields.finish()
    if len(set(words.names())) < len(words.names()):
        raise DocumentError(path, "uses one field name twice", "Give each wish a field of its own")
    return words


def _read_field_name(fields: Fields, key: str, default: str) -> str:
    name = fields.line(key, default).lower()
    if not _FIELD_NAME.fullmatch(name) or name in _STANDARD_FIELDS:
        raise DocumentError(fields.at(key), "is not usable as a field name", "Write it like X-Letterlock-Method")
    return name
