"""keyd's table: which role may use which key operation, for which purpose, on which kind of value.

The role is the socket by which a caller came in, never what it says. What is not in the table is refused. Pure: no I/O,
no clock. smtpd has no role here: it holds the spool's public key and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.core.errors import GrantRefusedError
from relay.core.wire.contexts import MESSAGE_LABEL, NEXT_HOP_LABEL, PAIR_LABEL

MAX_WORD = 200
"""Characters of a purpose, subject, actor or message id; they stand in the audit log."""


class Role(StrEnum):
    """Who sits behind a socket of keyd."""

    WORKER = "worker"
    DELIVER = "deliver"
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


UNLOGGED = frozenset({Operation.SPOOL_PUBLIC_KEY, Operation.AUDIT_HEAD, Operation.TEST})
"""Use no key on anybody's value; every role may ask, and a health probe a second would bury the log."""

CHANGES = frozenset({Operation.BEGIN_EPOCH, Operation.DESTROY_EPOCH})
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

TABLE: tuple[_Rule, ...] = (
    _Rule(Role.WORKER, Operation.OPEN_MAIL_KEY, _words("decide", "protect")),
    _Rule(Role.WORKER, Operation.OPEN, _words("protect", "notice"), _PDF_PASSWORDS),
    _Rule(Role.WORKER, Operation.SEAL, labels=_PDF_PASSWORDS),
    _Rule(Role.DELIVER, Operation.OPEN_MAIL_KEY, _words("deliver")),
    _Rule(Role.DELIVER, Operation.OPEN, _words("deliver"), _words(NEXT_HOP_LABEL)),
    _Rule(Role.SCHEDULER, Operation.REWRAP_MAIL_KEY, _words("rewrap")),
    _Rule(Role.SCHEDULER, Operation.BEGIN_EPOCH),
    _Rule(Role.SCHEDULER, Operation.DESTROY_EPOCH),
    _Rule(Role.OPERATOR, Operation.OPEN_MAIL_KEY, _words("show", "trace")),
    _Rule(Role.OPERATOR, Operation.OPEN, _words("show"), _PDF_PASSWORDS),
    _Rule(Role.OPERATOR, Operation.SEAL, labels=_PDF_PASSWORDS | {NEXT_HOP_LABEL}),
    _Rule(Role.OPERATOR, Operation.REWRAP_MAIL_KEY, _words("rewrap")),
    _Rule(Role.OPERATOR, Operation.BEGIN_EPOCH),
    _Rule(Role.OPERATOR, Operation.DESTROY_EPOCH),
)

_RULES = {(rule.role, rule.operation): rule for rule in TABLE}
_SERVICE_ACTORS = ("process:", "system:")
_ACTORS = {
    Role.WORKER: _SERVICE_ACTORS,
    Role.DELIVER: _SERVICE_ACTORS,
    Role.SCHEDULER: _SERVICE_ACTORS,
    # Whoever sits at the console is a person, and the log must be able to say which.
    Role.OPERATOR: ("operator:",),
}


def check_use(use: Use) -> None:
    """Return when the table allows this use. Raises GrantRefusedError that names role, operation and purpose."""
    if use.operation in UNLOGGED:
        return
    rule = _RULES.get((use.role, use.operation))
    if rule is None:
        raise GrantRefusedError(f"{use.role} may not {use.operation}")
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
