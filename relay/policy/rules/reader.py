"""From a condition's JSON to the condition: the one list of questions that rules can ask.

A JSON object of one key is that question; of several keys, all of them. To add a question: one file beside this one
and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.core.documents.keywords import Meaning
from relay.core.documents.reading import DocumentError, Fields, check_items
from relay.policy.rules.attachments import read_attachments
from relay.policy.rules.condition import Always, Condition, ConditionReader
from relay.policy.rules.group import AllOf, AnyOf, NotOf
from relay.policy.rules.header import read_header
from relay.policy.rules.keyword import read_keyword
from relay.policy.rules.kind import read_automatic, read_encrypted, read_kind, read_signed
from relay.policy.rules.listener import read_client, read_direction, read_listener, read_side
from relay.policy.rules.marking import read_priority, read_sensitivity
from relay.policy.rules.moment import read_received
from relay.policy.rules.recipient import read_possible, read_recipient, read_recipient_domain
from relay.policy.rules.sender import (
    read_login,
    read_reverse_path,
    read_sender,
    read_sender_domain,
    read_sender_field,
)
from relay.policy.rules.size import read_size

QUESTIONS: Mapping[str, ConditionReader] = {
    "sender": read_sender,
    "sender_domain": read_sender_domain,
    "sender_field": read_sender_field,
    "reverse_path": read_reverse_path,
    "login": read_login,
    "recipient": read_recipient,
    "recipient_domain": read_recipient_domain,
    "possible": read_possible,
    "header": read_header,
    "size": read_size,
    "attachments": read_attachments,
    "listener": read_listener,
    "side": read_side,
    "client": read_client,
    "direction": read_direction,
    "sensitivity": read_sensitivity,
    "priority": read_priority,
    "kind": read_kind,
    "encrypted": read_encrypted,
    "signed": read_signed,
    "automatic": read_automatic,
    "received": read_received,
}
"""All questions but the groups and `keyword`, which needs the organisation's table."""

_DEEPEST = 16


def read_condition(untrusted_value: object, path: str, table: Mapping[str, Meaning], depth: int = 0) -> Condition:
    """Read a condition; None fits every mail. Raises DocumentError that names the key and the fix."""
    if untrusted_value is None and depth == 0:
        return Always()
    if depth > _DEEPEST:
        raise DocumentError(path, "is too deep", "Split it into several rules")
    fields = Fields(untrusted_value, path)
    parts: list[Condition] = []
    for name in ("all", "any"):
        if fields.has(name):
            inner = check_items(
                fields.raw(name), fields.at(name), lambda value, at: read_condition(value, at, table, depth + 1)
            )
            if not inner:
                raise DocumentError(fields.at(name), "is empty", "Name at least one condition")
            parts.append(AllOf(inner) if name == "all" else AnyOf(inner))
    if fields.has("not"):
        if fields.raw("not") is None:
            raise DocumentError(fields.at("not"), "is empty", "Name a condition")
        parts.append(NotOf(read_condition(fields.raw("not"), fields.at("not"), table, depth + 1)))
    if fields.has("keyword"):
        parts.append(read_keyword(fields.raw("keyword"), fields.at("keyword"), table))
    for name, read in QUESTIONS.items():
        if fields.has(name):
            parts.append(read(fields.raw(name), fields.at(name)))
        else:
            fields.raw(name, None)  # so that the error for a misspelt key can name its neighbour
    fields.raw("keyword", None)
    fields.finish()
    if not parts:
        raise DocumentError(path, "asks nothing", f"Use one of: all, any, not, keyword, {', '.join(QUESTIONS)}")
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))
