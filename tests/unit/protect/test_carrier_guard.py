"""The last look at a carrier mail's header: what may stand in it, and that a rule's changes were made."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from relay.core.decision import HeaderChange
from relay.core.documents.brands import Brand
from relay.core.errors import ProtectionError
from relay.message.parse import parse_message
from relay.protect.branding import make_branding
from relay.protect.guard import check_carrier
from relay.protect.pdf import PdfJob

HEAD = b"From: anna@bank.example\r\nReply-To: team@bank.example\r\nSubject: Protected message\r\n"
CHANGES = (HeaderChange("X-Class", "bank"), HeaderChange("Reply-To", None))


def make_job(*changes: HeaderChange, show_subject: bool = True) -> PdfJob:
    return PdfJob(
        parsed=parse_message(io.BytesIO(HEAD)),
        subject="Secret plan",
        show_subject=show_subject,
        branding=make_branding(Brand("default", "Example Bank")),
        language="en",
        languages=("en",),
        password="dghz-4eb6-7gnc-xxd6",
        is_pair_password=True,
        is_chosen=False,
        pair_owner="anna@bank.example",
        cipher="aes-256",
        hostname="gw.bank.example",
        received=datetime(2026, 11, 20, tzinfo=UTC),
        headers=changes,
    )


def test_kept_fields_and_those_that_a_rule_adds_may_stand() -> None:
    check_carrier(HEAD + b"List-Id: x\r\n\r\n", make_job())
    check_carrier(HEAD.replace(b"Reply-To", b"x-class") + b"\r\n", make_job(*CHANGES))


@pytest.mark.parametrize(
    ("head", "changes", "problem"),
    [
        (HEAD + b"X-Class: bank\r\n\r\n", (), "has the field x-class"),
        (HEAD + b"X-Other: bank\r\n\r\n", CHANGES[:1], "has the field x-other"),
        (HEAD + b"Bcc: hidden@bank.example\r\n\r\n", CHANGES, "has the field "),
        (HEAD + b"\r\n", CHANGES, "has the field reply-to"),
        (HEAD, (), "not in its first piece"),
    ],
)
def test_everything_else_stops_the_mail(head: bytes, changes: tuple[HeaderChange, ...], problem: str) -> None:
    with pytest.raises(ProtectionError, match=problem) as caught:
        check_carrier(head, make_job(*changes))
    assert not caught.value.temporary


def test_a_hidden_subject_must_not_show() -> None:
    head = HEAD.replace(b"Protected message", b"=?utf-8?q?Re=3A_Secret_plan?=") + b"\r\n"
    check_carrier(head, make_job())
    with pytest.raises(ProtectionError, match="confidential subject"):
        check_carrier(head, make_job(show_subject=False))
