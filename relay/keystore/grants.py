"""keyd's table: which role may use which key operation, for which purpose, on which kind of value.

The role is the socket by which a caller came in, never what it says. What is not in the table is refused. Pure: no I/O,
no clock. smtpd has no role here: it holds the spool's public key and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.core.errors import GrantRefusedError
from relay.core.wire.contexts import (
    CAPSULE_LABEL,
    JOIN_LABEL,
    MESSAGE_LABEL,
    NEXT_HOP_LABEL,
    PAIR_LABEL,
    REPLY_CODE_LABEL,
)

MAX_WORD = 200
"""Characters of a purpose, subject, actor or message id; they stand in the audit log."""


class Role(StrEnum):
    """Who sits behind a socket of keyd."""

    WORKER = "worker"
    DELIVER = "deliver"
    LINK = "link"
    SCHEDULER = "scheduler"
    OPERATOR = "operator"


class Operation(StrEnum):
    """What keyd can be asked."""

    SEAL = "seal"
    OPEN = "open"
    OPEN_MAIL_KEY = "open_mail_key"
    REWRAP_MAIL_KEY = "rewrap_mail_key"
    BEGIN_EPOCH = "begin_epoch"
    DESTROY_EPOCH = "destroy_epoch"
    SPOOL_PUBLIC_KEY = "spool_public_key"
    AUDIT_HEAD = "audit_head"
    TEST = "test"
    CREATE_CARD = "create_card"
    LIST_CARDS = "list_cards"
    MAILBOX_NEW = "mailbox_new"
    MAILBOX_NEXT = "mailbox_next"
    SIGN_MANIFEST = "sign_manifest"
    OPEN_ITEM = "open_item"
    CHECK_ESCROW = "check_escrow"


UNLOGGED = frozenset({Operation.SPOOL_PUBLIC_KEY, Operation.AUDIT_HEAD, Operation.TEST, Operation.LIST_CARDS})
"""Use no key on anybody's value; every role may ask, and a health probe a second would bury the log."""

CHANGES = frozenset({Operation.BEGIN_EPOCH, Operation.DESTROY_EPOCH, Operation.CREATE_CARD})
"""Change the token; never asked twice by the client on its own."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a key that somebody asks for."""

    role: Role
    operation: Operation
    purpose: str = ""
    subject: str = ""
    actor: str = ""
    label: str = ""
    """First element of a small value's context; empty for the other operations."""


@dataclass(frozen=True, slots=True)
class _Rule:
    role: Role
    operation: Operation
    purposes: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()


def _words(*words: str) -> frozenset[str]:
    return frozenset(words)


_PDF_PASSWORDS = _words(PAIR_LABEL, MESSAGE_LABEL)
_MAILBOX_VALUES = _words(CAPSULE_LABEL, JOIN_LABEL, REPLY_CODE_LABEL)
_MAILBOX = _words("protect", "mailbox")
"""What a mailbox is made, pushed or read for: a mail under way, or the account itself."""

TABLE: tuple[_Rule, ...] = (
    _Rule(Role.WORKER, Operation.OPEN_MAIL_KEY, _words("decide", "protect")),
    _Rule(Role.WORKER, Operation.OPEN, _words("protect", "notice"), _PDF_PASSWORDS),
    _Rule(Role.WORKER, Operation.OPEN, _MAILBOX, _MAILBOX_VALUES),
    _Rule(Role.WORKER, Operation.SEAL, labels=_PDF_PASSWORDS | _MAILBOX_VALUES),
    _Rule(Role.WORKER, Operation.MAILBOX_NEW, _MAILBOX),
    _Rule(Role.WORKER, Operation.MAILBOX_NEXT, _MAILBOX),
    _Rule(Role.WORKER, Operation.SIGN_MANIFEST, _MAILBOX),
    _Rule(Role.DELIVER, Operation.OPEN_MAIL_KEY, _words("deliver")),
    _Rule(Role.DELIVER, Operation.OPEN, _words("deliver"), _words(NEXT_HOP_LABEL)),
    # The one process that speaks with the DMZ: it opens what came from there, and no spooled mail.
    _Rule(Role.LINK, Operation.OPEN, _words("mailbox"), _MAILBOX_VALUES),
    _Rule(Role.LINK, Operation.SEAL, labels=_PDF_PASSWORDS | _MAILBOX_VALUES),
    _Rule(Role.LINK, Operation.MAILBOX_NEXT, _words("mailbox")),
    _Rule(Role.LINK, Operation.SIGN_MANIFEST, _words("mailbox")),
    _Rule(Role.LINK, Operation.OPEN_ITEM, _words("mailbox")),
    _Rule(Role.LINK, Operation.CHECK_ESCROW, _words("mailbox")),
    _Rule(Role.SCHEDULER, Operation.REWRAP_MAIL_KEY, _words("rewrap")),
    _Rule(Role.SCHEDULER, Operation.BEGIN_EPOCH),
    _Rule(Role.SCHEDULER, Operation.DESTROY_EPOCH),
    _Rule(Role.OPERATOR, Operation.OPEN_MAIL_KEY, _words("show", "trace")),
    _Rule(Role.OPERATOR, Operation.OPEN, _words("show"), _PDF_PASSWORDS),
    _Rule(Role.OPERATOR, Operation.OPEN, _words("mailbox"), _MAILBOX_VALUES),
    _Rule(Role.OPERATOR, Operation.SEAL, labels=_PDF_PASSWORDS | _MAILBOX_VALUES | {NEXT_HOP_LABEL}),
    _Rule(Role.OPERATOR, Operation.MAILBOX_NEXT, _words("mailbox")),
    _Rule(Role.OPERATOR, Operation.CREATE_CARD),
    _Rule(Role.OPERATOR, Operation.REWRAP_MAIL_KEY, _words("rewrap")),
    _Rule(Role.OPERATOR, Operation.BEGIN_EPOCH),
    _Rule(Role.OPERATOR, Operation.DESTROY_EPOCH),
)

_RULES: dict[tuple[Role, Operation], tuple[_Rule, ...]] = {
    (role, operation): tuple(rule for rule in TABLE if (rule.role, rule.operation) == (role, operation))
    for role in Role
    for operation in Operation
}
_SERVICE_ACTORS = ("process:", "system:")
_ACTORS = {
    Role.WORKER: _SERVICE_ACTORS,
    Role.DELIVER: _SERVICE_ACTORS,
    Role.LINK: _SERVICE_ACTORS,
    Role.SCHEDULER: _SERVICE_ACTORS,
    # Whoever sits at the console is a person, and the log must be able to say which.
    Role.OPERATOR: ("operator:",),
}


def check_use(use: Use) -> None:
    """Return when the table allows this use. Raises GrantRefusedError that names role, operation and purpose."""
    if use.operation in UNLOGGED:
        return
    rules = _RULES[use.role, use.operation]
    if not rules:
        raise GrantRefusedError(f"{use.role} may not {use.operation}")
    # Two rules of one operation differ in the kind of value; the first that knows the kind judges.
    rule = next((rule for rule in rules if not rule.labels or use.label in rule.labels), rules[0])
    if rule.purposes and use.purpose not in rule.purposes:
        raise GrantRefusedError(f"{use.role} may not {use.operation} for this purpose")
    if rule.purposes and not use.subject:
        raise GrantRefusedError("a grant names the stored thing that allows it")
    if rule.labels and use.label not in rule.labels:
        raise GrantRefusedError(f"{use.role} may not {use.operation} a value of this kind")
    # The port's seal carries no grant: what is sealed can be opened by a grant only.
    if use.operation is not Operation.SEAL and not _is_actor(use.actor, _ACTORS[use.role]):
        raise GrantRefusedError(f"{use.role} does not speak for this actor")


def _is_actor(untrusted_actor: str, kinds: tuple[str, ...]) -> bool:
    return any(untrusted_actor.startswith(kind) and len(untrusted_actor) > len(kind) for kind in kinds)
