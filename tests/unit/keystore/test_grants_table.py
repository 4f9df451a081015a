"""The table of uses, looked at as a whole: what it allows is written here a second time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import GrantRefusedError
from relay.core.wire.contexts import (
    CAPSULE_LABEL,
    JOIN_LABEL,
    MESSAGE_LABEL,
    NEXT_HOP_LABEL,
    PAIR_LABEL,
    PROBE_LABEL,
    REPLY_CODE_LABEL,
)
from relay.keystore.grants import UNLOGGED, Operation, Role, Use, check_use

PURPOSES = ("", "decide", "protect", "notice", "deliver", "rewrap", "show", "trace", "mailbox", "else")
PASSWORDS = (PAIR_LABEL, MESSAGE_LABEL)
MAILBOX = (CAPSULE_LABEL, JOIN_LABEL, REPLY_CODE_LABEL)
UNPORTED = ("letterlock/mailbox-key", "letterlock/mailbox-seed")
LABELS = ("", *PASSWORDS, *MAILBOX, *UNPORTED, NEXT_HOP_LABEL, PROBE_LABEL)
ALLOWED = {
    *((Role.WORKER, Operation.OPEN_MAIL_KEY, purpose) for purpose in ("decide", "protect")),
    *((Role.WORKER, Operation.OPEN, purpose, label) for purpose in ("protect", "notice") for label in PASSWORDS),
    (Role.DELIVER, Operation.OPEN_MAIL_KEY, "deliver"),
    (Role.DELIVER, Operation.OPEN, "deliver", NEXT_HOP_LABEL),
    (Role.SCHEDULER, Operation.REWRAP_MAIL_KEY, "rewrap"),
    (Role.OPERATOR, Operation.REWRAP_MAIL_KEY, "rewrap"),
    *((Role.OPERATOR, Operation.OPEN_MAIL_KEY, purpose) for purpose in ("show", "trace")),
    *((Role.OPERATOR, Operation.OPEN, "show", label) for label in PASSWORDS),
    *((Role.WORKER, Operation.OPEN, purpose, label) for purpose in ("protect", "mailbox") for label in MAILBOX),
    *((role, Operation.OPEN, "mailbox", label) for role in (Role.LINK, Role.OPERATOR) for label in MAILBOX),
    *((Role.WORKER, Operation.MAILBOX_NEW, purpose) for purpose in ("protect", "mailbox")),
    *((Role.WORKER, Operation.MAILBOX_NEXT, purpose) for purpose in ("protect", "mailbox")),
    *((Role.WORKER, Operation.SIGN_MANIFEST, purpose) for purpose in ("protect", "mailbox")),
    (Role.LINK, Operation.MAILBOX_NEXT, "mailbox"),
    (Role.LINK, Operation.SIGN_MANIFEST, "mailbox"),
    (Role.LINK, Operation.OPEN_ITEM, "mailbox"),
    (Role.LINK, Operation.CHECK_ESCROW, "mailbox"),
    (Role.OPERATOR, Operation.MAILBOX_NEXT, "mailbox"),
}
SEALERS = {
    *((role, label) for role in (Role.WORKER, Role.LINK) for label in (*PASSWORDS, *MAILBOX)),
    *((Role.OPERATOR, label) for label in (*PASSWORDS, *MAILBOX, NEXT_HOP_LABEL)),
}
EPOCH_ROLES = {Role.SCHEDULER, Role.OPERATOR}


def actor_of(role: Role) -> str:
    return "operator:admin" if role is Role.OPERATOR else f"process:{role}"


def is_allowed(use: Use) -> bool:
    try:
        check_use(use)
    except GrantRefusedError:
        return False
    return True


def test_every_combination_is_as_written_here() -> None:
    for role, operation, purpose, label in itertools.product(Role, Operation, PURPOSES, LABELS):
        use = Use(role, operation, purpose, "copy-1", actor_of(role), label)
        if operation in UNLOGGED:
            expected = True
        elif operation is Operation.SEAL:
            expected = (role, label) in SEALERS
        elif operation in (Operation.BEGIN_EPOCH, Operation.DESTROY_EPOCH):
            expected = role in EPOCH_ROLES
        elif operation is Operation.CREATE_CARD:
            expected = role is Role.OPERATOR
        elif operation is Operation.OPEN:
            expected = (role, operation, purpose, label) in ALLOWED
        else:
            expected = (role, operation, purpose) in ALLOWED
        assert is_allowed(use) is expected, use


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("actor", ["", "process:", "operator:", "user:anna", "peer:x", "Process:worker", "worker"])
def test_a_role_speaks_for_its_own_kind_of_actor_only(role: Role, actor: str) -> None:
    purpose, operation = {
        Role.WORKER: ("protect", Operation.OPEN_MAIL_KEY),
        Role.DELIVER: ("deliver", Operation.OPEN_MAIL_KEY),
        Role.LINK: ("mailbox", Operation.OPEN_ITEM),
        Role.SCHEDULER: ("rewrap", Operation.REWRAP_MAIL_KEY),
        Role.OPERATOR: ("show", Operation.OPEN_MAIL_KEY),
    }[role]
    assert is_allowed(Use(role, operation, purpose, "message-1", actor_of(role)))
    assert not is_allowed(Use(role, operation, purpose, "message-1", actor))
    assert not is_allowed(Use(role, operation, purpose, "", actor_of(role)))


@given(role=st.sampled_from(Role), purpose=st.text(max_size=9), actor=st.text(max_size=12), label=st.text(max_size=30))
def test_words_of_no_table_open_nothing(role: Role, purpose: str, actor: str, label: str) -> None:
    if purpose not in PURPOSES:
        assert not is_allowed(Use(role, Operation.OPEN_MAIL_KEY, purpose, "x", actor, label))
    if label not in LABELS:
        assert not is_allowed(Use(role, Operation.OPEN, "protect", "x", actor, label))
        assert not is_allowed(Use(role, Operation.SEAL, label=label))


def test_no_role_is_smtpd() -> None:
    assert {str(role) for role in Role} == {"worker", "deliver", "link", "scheduler", "operator"}
