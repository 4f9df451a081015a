"""What lets a mail leave: exactly the table of methods, for exactly one variant, by a stored decision."""

from __future__ import annotations

import pytest

from relay.core.approval import ApprovalError, ApprovedClear, ProtectedMessage, approve, check_approval
from relay.core.decision import Method
from relay.core.ids import new_id

M, D = new_id(), new_id()


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("variant", [-1, 0, 1, 2])
def test_table_of_methods(method, variant):
    protecting = method in (Method.PDF, Method.WEBMAIL, Method.SMIME, Method.OPENPGP)
    clear = method in (Method.PASS, Method.FORWARD)
    if (protecting and variant >= 1) or (clear and variant >= 0):
        approval = approve(M, variant, D, method)
        assert type(approval) is (ProtectedMessage if protecting else ApprovedClear)
        check_approval(approval, M, variant)
        with pytest.raises(ApprovalError):
            check_approval(approval, M, variant + 1)
        with pytest.raises(ApprovalError):
            check_approval(approval, new_id(), variant)
    else:
        with pytest.raises(ApprovalError):
            approve(M, variant, D, method)


@pytest.mark.parametrize("bad", ["", "x", "A" * 22 + "=", None])
def test_no_approval_without_ids(bad):
    for make in (lambda: ApprovedClear(M, 0, bad), lambda: ProtectedMessage(M, 1, Method.PDF, bad)):
        with pytest.raises((ApprovalError, TypeError)):
            make()


def test_approval_error_delays():
    assert ApprovalError.temporary
    assert ApprovalError.status.startswith("4.")
