"""What the writer asks for: keywords in the subject, X- header fields, Sensitivity (B7). Says what is wished, not what
is granted.

Wishes count only in mail of own senders that the inside hands over; a forged field from elsewhere is never looked at.
A field value that nobody knows is a problem, not a guess: the writer asked for something, so the mail is held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from relay.core.decision import HeaderChange, Method, Reason
from relay.core.documents.keywords import COMMANDS, KeywordsDocument, Meaning
from relay.policy.facts import Facts, MailKind

_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0"})
_PROTECTING = {Meaning.PDF: Method.PDF, Meaning.WEBMAIL: Method.WEBMAIL}


@dataclass(frozen=True, slots=True)
class Wishes:
    """The writer's wishes. Of several protecting methods the first in the subject counts, then the header's."""

    method: Method | None = None
    method_source: str = ""
    method_reason: Reason = Reason.KEYWORD
    is_plain: bool = False
    plain_reason: Reason = Reason.KEYWORD
    plain_source: str = ""
    is_confidential: bool = False
    confidential_reason: Reason = Reason.KEYWORD
    confidential_source: str = ""
    shows_password: bool = False
    renews_password: bool = False
    command: str = ""
    """`resend`, `reset` or `revoke`: this is no mail but an order."""
    strip: tuple[str, ...] = ()
    removals: tuple[HeaderChange, ...] = ()
    """Wish fields that must not leave."""
    problem: str = ""
    """Set when a wish cannot be understood; names the field, never its value."""


NO_WISHES = Wishes()


def has_wishes(facts: Facts, keywords: KeywordsDocument) -> bool:
    """Tell quickly whether there is anything to read."""
    if facts.keywords or facts.sensitivity is not None:
        return True
    headers = facts.headers
    words = keywords.headers
    return any(name in headers for name in words.names())


def read_wishes(facts: Facts, keywords: KeywordsDocument) -> Wishes:
    """Read all wishes of one message. Never raises."""
    if not has_wishes(facts, keywords):
        return NO_WISHES
    words = keywords.headers
    method, source, reason = _method_from_subject(facts, keywords)
    meanings = {keywords.keywords[token] for token in facts.keywords if token in keywords.keywords}
    asked = _values(facts, words.method)
    problem = "" if asked <= {"pdf", "webmail", "plain"} else words.method
    if method is None:
        if len(asked & {"pdf", "webmail"}) > 1:
            problem = words.method
        for name in ("pdf", "webmail"):
            if name in asked:
                method, source, reason = Method(name), f"field {words.method}", Reason.HEADER
    secret = _values(facts, words.confidential)
    if not secret <= _YES | _NO:
        problem = words.confidential
    password = _values(facts, words.password)
    if not password <= {"show", "new"}:
        problem = words.password
    commands = [meaning.value for token in facts.keywords if (meaning := keywords.keywords.get(token)) in COMMANDS]
    orders = _values(facts, words.mailbox)
    if not orders <= {command.value for command in COMMANDS} or len(orders) > 1:
        problem = words.mailbox
    is_confidential, confidential_reason, confidential_source = _confidential(facts, keywords, bool(secret & _YES))
    wishes = Wishes(
        method=method,
        method_source=source,
        method_reason=reason,
        is_plain=Meaning.PLAIN in meanings or "plain" in asked,
        plain_reason=Reason.KEYWORD if Meaning.PLAIN in meanings else Reason.HEADER,
        plain_source=f"{'keyword' if Meaning.PLAIN in meanings else 'field'} plain",
        is_confidential=is_confidential,
        confidential_reason=confidential_reason,
        confidential_source=confidential_source,
        shows_password=Meaning.PASSWORD in meanings or "show" in password,
        renews_password=Meaning.NEW_PASSWORD in meanings or "new" in password,
        command=next(iter((*commands, *sorted(orders))), ""),
        strip=facts.keywords,
        removals=tuple(HeaderChange(name, None) for name in words.names() if name in facts.headers),
        problem=problem,
    )
    if facts.kind in (MailKind.DSN, MailKind.MDN, MailKind.AUTO_REPLY):
        # A robot repeats the subject of whoever wrote to it: that person must not get clear text or a new password.
        return replace(wishes, is_plain=False, shows_password=False, renews_password=False, command="")
    return wishes


def _values(facts: Facts, name: str) -> set[str]:
    return {value.strip().lower() for value in facts.headers.get(name, ())}


def _method_from_subject(facts: Facts, keywords: KeywordsDocument) -> tuple[Method | None, str, Reason]:
    for token in facts.keywords:
        meaning = keywords.keywords.get(token)
        if meaning in _PROTECTING:
            return _PROTECTING[meaning], f"keyword {token}", Reason.KEYWORD
    return None, "", Reason.KEYWORD


def _confidential(facts: Facts, keywords: KeywordsDocument, by_field: bool) -> tuple[bool, Reason, str]:
    for token in facts.keywords:
        if keywords.keywords.get(token) is Meaning.CONFIDENTIAL:
            return True, Reason.KEYWORD, f"keyword {token}"
    if by_field:
        return True, Reason.HEADER, f"field {keywords.headers.confidential}"
    if facts.sensitivity is not None and facts.sensitivity in keywords.sensitivities:
        return True, Reason.SENSITIVITY, "field sensitivity"
    return False, Reason.KEYWORD, ""
