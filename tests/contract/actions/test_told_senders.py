"""What a sender is told besides passwords: that a wish was not granted, and what a report shows of a mail."""

from __future__ import annotations

import io
import json
import re

import pikepdf
import pytest

from relay.store.repositories.events import events_of
from tests.contract.actions.stage import ANNA, JONAS, Stage, text_of

MAY_NOT = "Clear text was asked for, but this sender may not send in the clear."


def test_a_refused_wish_is_told_with_the_password_and_later_alone(stage: Stage) -> None:
    first = stage.send(subject="{plain} Contract")
    stage.work()
    assert stage.states(first) == {JONAS: "queued"}
    (notice,) = stage.told(ANNA)
    assert MAY_NOT in text_of(notice)
    assert "assword" in str(notice["Subject"])
    stage.clock.advance(1000)
    second = stage.send(subject="{plain} Contract")
    stage.work()
    with stage.db.reading() as tx:
        decided = next(json.loads(one.detail) for one in events_of(tx, second) if one.kind == "copy.decided")
    assert decided["warnings"] == [MAY_NOT]
    (notice,) = stage.told(ANNA)
    assert MAY_NOT in text_of(notice)
    assert JONAS in text_of(notice)
    assert "assword" not in text_of(notice)


def test_the_cipher_s_warning_comes_with_the_password_and_not_with_each_mail(stage: Stage) -> None:
    stage.change(policy={"switches": {"cipher": "aes-128"}})
    stage.send()
    stage.work()
    (notice,) = stage.told(ANNA)
    assert "AES-128" in text_of(notice)
    stage.clock.advance(1000)
    stage.send()
    stage.work()
    assert not stage.told(ANNA)


def test_a_policy_may_want_passwords_of_digits(stage: Stage) -> None:
    """New ones only: what a pair has stays."""
    digits = re.compile(r"(?<![\w-])\d{4}(?:-\d{4}){5}(?![\w-])")
    stage.send(subject="{pdf} One")
    stage.work()
    (old,) = stage.told(ANNA)
    assert not digits.search(text_of(old))
    stage.clock.advance(1000)
    stage.change(policy={"switches": {"password_form": "digits"}})
    stage.send(subject="{password} Two")
    stage.work()
    (again,) = stage.told(ANNA)
    assert not digits.search(text_of(again))
    stage.clock.advance(1000)
    message_id = stage.send("kim@partner.example", subject="Three")
    stage.work()
    (new,) = stage.told(ANNA)
    found = digits.search(text_of(new))
    assert found is not None
    (pdf,) = [one for one in stage.left(message_id, "kim@partner.example").walk() if one.get_filename()]
    octets = pdf.get_payload(decode=True)
    assert isinstance(octets, bytes)
    with pikepdf.open(io.BytesIO(octets), password=found[0]) as opened:
        assert len(opened.pages)


@pytest.mark.parametrize(
    ("switches", "reverse_path", "is_shown"),
    [({}, ANNA, True), ({"subject": "generic"}, ANNA, False), ({}, "bounces@agency.example", False)],
)
def test_a_report_shows_the_subject_where_policy_keeps_it_and_we_read_it(
    stage: Stage, switches: dict[str, str], reverse_path: str, is_shown: bool
) -> None:
    stage.change(policy={"switches": switches})
    fields = {"Thread_Topic": "Merger 4711", "X_Case": "Merger 4711"}
    message_id = stage.send(subject="Merger 4711", reverse_path=reverse_path, **fields)
    stage.work()
    stage.clock.advance(20)
    stage.deliver(lambda _, command: "550 5.1.1 no" if command.startswith("RCPT") else None)
    assert stage.states(message_id) == {JONAS: "failed"}
    (report,) = (one for one in stage.told(reverse_path) if one.get_content_type() == "multipart/report")
    assert ("4711" in report.as_string()) is is_shown
    assert "<one@bank.example>" in report.as_string()
