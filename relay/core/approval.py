"""The two kinds of mail that may leave: protected as decided, or approved to go in clear by a stored decision.

Deliver accepts these values and nothing else; they are made from what the store holds, never from a mail's own headers.
What is neither raises ApprovalError, which delays the mail and never sends it (architecture: one mail, one direction).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from relay.core.decision import Method
from relay.core.errors import LetterlockError
from relay.core.ids import is_id

PROTECTING = frozenset({Method.PDF, Method.WEBMAIL, Method.SMIME, Method.OPENPGP})
"""Methods whose result may leave as ProtectedMessage."""

CLEAR = frozenset({Method.PASS, Method.FORWARD})
"""Methods that a decision may name to let a mail leave in clear."""


class ApprovalError(LetterlockError):
    """Nothing stored allows this copy to leave. The copy waits for a person."""

    status = "4.7.0"
    public = "Mail is not approved for sending"


def _check_ids(message_id: str, decision_id: str) -> None:
    if not is_id(message_id):
        raise ApprovalError("approval without a message id")
    if not is_id(decision_id):
        raise ApprovalError("approval without the id of a stored decision")


@dataclass(frozen=True, slots=True)
class ProtectedMessage:
    """A stored variant that meets the decided protection: the guard has parsed it again and said so."""

    message_id: str
    variant: int
    """Number of the stored result, 1 or more; variant 0 is the mail as it came in and is never protected."""
    method: Method
    decision_id: str

    def __post_init__(self) -> None:
        _check_ids(self.message_id, self.decision_id)
        if self.method not in PROTECTING:
            raise ApprovalError(f"{self.method!r} protects nothing")
        if self.variant < 1:
            raise ApprovalError("the mail as it came in is not a protected variant")


@dataclass(frozen=True, slots=True)
class ApprovedClear:
    """A variant that may leave in clear because the named stored decision says so."""

    message_id: str
    variant: int
    """0 for the mail as it came in, 1 or more for one with changed headers or a mail of our own."""
    decision_id: str

    def __post_init__(self) -> None:
        _check_ids(self.message_id, self.decision_id)
        if self.variant < 0:
            raise ApprovalError("a variant's number is 0 or more")


Approval: TypeAlias = ProtectedMessage | ApprovedClear


def approve(message_id: str, variant: int, decision_id: str, method: Method) -> Approval:
    """Make the approval that a stored decision gives to one variant of its message.

    Raises ApprovalError when the decision's method lets nothing leave (hold, reject, discard), or when a protecting
    method stands beside the unprotected original.
    """
    if method in PROTECTING:
        return ProtectedMessage(message_id, variant, method, decision_id)
    if method in CLEAR:
        return ApprovedClear(message_id, variant, decision_id)
    raise ApprovalError(f"a decision of {method!r} lets nothing leave")


def check_approval(value: object, message_id: str, variant: int) -> None:
    """Check at run time that a value is an approval for exactly this variant. Raises ApprovalError.

    Exact types only: a subclass or a look-alike is refused.
    """
    if type(value) is not ProtectedMessage and type(value) is not ApprovedClear:
        raise ApprovalError("only ProtectedMessage and ApprovedClear may leave")
    if value.message_id != message_id or value.variant != variant:
        raise ApprovalError("the approval is for another message or variant")
