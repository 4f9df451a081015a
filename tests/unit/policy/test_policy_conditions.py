"""Truth table per condition (features B1): each question answered yes and no, strict and not."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.decision import Method
from relay.core.documents.reading import DocumentError
from relay.core.envelope import Side
from relay.policy.facts import AttachmentFacts, Facts
from relay.policy.rules.reader import QUESTIONS, read_condition
from tests.unit.policy.cases import ANNA, BEN, JONAS, STRANGER, fits, organisation, recipient

BASE: dict[str, Any] = {"side": Side.INSIDE, "authors": (ANNA,), "reverse_path": ANNA}


def given(**changed: Any) -> Facts:
    return Facts(**{**BASE, **changed})


FILES = (AttachmentFacts("Plan.PDF", "application/pdf", 900), AttachmentFacts("run.exe", "application/x-dosexec", 100))

TABLE: list[tuple[object, dict[str, Any], bool]] = [
    ({"sender": [ANNA]}, {}, True),
    ({"sender": ["ANNA@Bank.Example"]}, {}, True),
    ({"sender": [BEN]}, {}, False),
    ({"sender": ["*@bank.example"]}, {}, True),
    ({"sender": ["an*@bank.example"]}, {}, True),
    ({"sender": ["*@*.example"]}, {}, True),
    ({"sender": ["*@*.bank.example"]}, {}, False),
    ({"sender": ["*"]}, {}, True),
    ({"sender": ["*"]}, {"authors": (), "reverse_path": ""}, False),
    ({"sender": [ANNA]}, {"authors": (), "reverse_path": ANNA}, True),
    ({"sender": [ANNA]}, {"authors": (BEN,), "reverse_path": ANNA}, False),
    ({"sender_domain": ["bank.example"]}, {}, True),
    ({"sender_domain": ["*.bank.example"]}, {}, False),
    ({"sender_domain": ["bank.exampl"]}, {}, False),
    ({"sender_field": [BEN]}, {}, False),
    ({"sender_field": [BEN]}, {"sender": BEN}, True),
    ({"reverse_path": [ANNA]}, {}, True),
    ({"reverse_path": [BEN]}, {}, False),
    ({"reverse_path": ["<>"]}, {}, False),
    ({"reverse_path": ["<>"]}, {"reverse_path": ""}, True),
    ({"reverse_path": ["*"]}, {"reverse_path": ""}, False),
    ({"login": ["erp*"]}, {"login": "ERP-1"}, True),
    ({"login": ["erp*"]}, {"login": "anna"}, False),
    ({"login": ["*"]}, {}, False),
    ({"recipient": [JONAS]}, {}, True),
    ({"recipient": [STRANGER]}, {}, False),
    ({"recipient": ["*@partner.example"]}, {}, True),
    ({"recipient_domain": ["partner.example"]}, {}, True),
    ({"recipient_domain": ["*.partner.example"]}, {}, False),
    ({"recipient_domain": ["partner.*"]}, {}, True),
    ({"possible": ["pdf"]}, {}, True),
    ({"possible": ["smime", "openpgp"]}, {}, False),
    ({"keyword": ["pdf"]}, {"keywords": ("{pdf}",)}, True),
    ({"keyword": ["{PDF}"]}, {"keywords": ("{pdf}",)}, True),
    ({"keyword": ["pdf"]}, {"keywords": ("{plain}",)}, False),
    ({"keyword": ["pdf"]}, {}, False),
    ({"header": {"name": "X-Class"}}, {"headers": {"x-class": ("a",)}}, True),
    ({"header": {"name": "X-Class"}}, {}, False),
    ({"header": {"name": "X-Class", "is": ["int*"]}}, {"headers": {"x-class": ("INTERN",)}}, True),
    ({"header": {"name": "X-Class", "is": ["int*"]}}, {"headers": {"x-class": ("public",)}}, False),
    ({"header": {"name": "X-Class", "is": ["*"]}}, {}, False),
    ({"header": {"name": "X-Class", "is": ["straße"]}}, {"headers": {"x-class": ("STRASSE",)}}, True),
    ({"size": {"over": 99}}, {"size": 100}, True),
    ({"size": {"over": 100}}, {"size": 100}, False),
    ({"size": {"under": 101}}, {"size": 100}, True),
    ({"size": {"under": 100}}, {"size": 100}, False),
    ({"size": {"over": 99, "under": 101}}, {"size": 100}, True),
    ({"attachments": {"count": {"over": 0}}}, {"attachments": FILES}, True),
    ({"attachments": {"count": {"over": 0}}}, {}, False),
    ({"attachments": {"count": {"under": 1}}}, {}, True),
    ({"attachments": {"total": {"over": 999}}}, {"attachments": FILES}, True),
    ({"attachments": {"total": {"over": 1000}}}, {"attachments": FILES}, False),
    ({"attachments": {"extensions": ["exe"]}}, {"attachments": FILES}, True),
    ({"attachments": {"extensions": [".EXE"]}}, {"attachments": FILES}, True),
    ({"attachments": {"extensions": ["xe"]}}, {"attachments": FILES}, False),
    ({"attachments": {"names": ["plan*"]}}, {"attachments": FILES}, True),
    ({"attachments": {"names": ["*plan"]}}, {"attachments": FILES}, False),
    ({"attachments": {"types": ["application/x-*"]}}, {"attachments": FILES}, True),
    ({"attachments": {"types": ["image/*"]}}, {"attachments": FILES}, False),
    ({"attachments": {"types": ["*"]}}, {}, False),
    ({"listener": ["in*"]}, {"listener": "inside"}, True),
    ({"listener": ["mx"]}, {"listener": "inside"}, False),
    ({"side": ["inside"]}, {}, True),
    ({"side": ["outside", "submission"]}, {}, False),
    ({"client": ["10.0.0.0/8"]}, {"client_ip": "10.1.2.3"}, True),
    ({"client": ["10.0.0.0/8"]}, {"client_ip": "::ffff:10.1.2.3"}, True),
    ({"client": ["10.0.0.0/8"]}, {"client_ip": "2001:db8::1"}, False),
    ({"client": ["2001:db8::/32"]}, {"client_ip": "2001:db8::1"}, True),
    ({"client": ["0.0.0.0/0"]}, {"client_ip": ""}, False),
    ({"direction": ["outbound"]}, {}, True),
    ({"direction": ["outbound"]}, {"side": Side.OUTSIDE}, False),
    ({"direction": ["transit"]}, {"side": Side.OUTSIDE}, True),
    ({"sensitivity": ["private"]}, {"sensitivity": "private"}, True),
    ({"sensitivity": ["private"]}, {"sensitivity": "personal"}, False),
    ({"sensitivity": ["private"]}, {}, False),
    ({"priority": ["high"]}, {"priority": "high"}, True),
    ({"priority": ["high"]}, {}, False),
    ({"kind": ["ordinary"]}, {}, True),
    ({"kind": ["dsn"]}, {"is_dsn": True, "reverse_path": ""}, True),
    ({"kind": ["dsn"]}, {"is_dsn": True}, False),
    ({"kind": ["mdn"]}, {"is_mdn": True, "reverse_path": ""}, True),
    ({"kind": ["auto-reply"]}, {"auto_submitted": "auto-replied"}, True),
    ({"kind": ["auto-reply"]}, {"auto_submitted": "auto-replied", "attachments": FILES}, False),
    ({"kind": ["auto-reply"]}, {"auto_submitted": "auto-replied", "size": 65537}, False),
    ({"kind": ["auto-reply"]}, {"auto_submitted": "auto-generated"}, False),
    ({"kind": ["auto-reply"]}, {"auto_submitted": "auto-generated", "reverse_path": ""}, True),
    ({"kind": ["auto-reply"]}, {"auto_submitted": "no", "reverse_path": ""}, False),
    ({"kind": ["encrypted"]}, {"is_encrypted": True}, True),
    ({"kind": ["invitation"]}, {"is_invitation": True}, True),
    ({"kind": ["list"]}, {"is_list": True}, True),
    ({"encrypted": True}, {"is_encrypted": True}, True),
    ({"encrypted": False}, {"is_encrypted": True}, False),
    ({"signed": True}, {}, False),
    ({"signed": True}, {"is_signed": True}, True),
    ({"automatic": True}, {"is_auto_submitted": True}, True),
    ({"automatic": False}, {}, True),
    ({"automatic": True}, {}, False),
    ({"received": {"from": 10}}, {"time_ms": 10}, True),
    ({"received": {"until": 10}}, {"time_ms": 10}, False),
    ({"received": {"from": 5, "until": 10}}, {"time_ms": 9}, True),
    ({"sender": [ANNA], "recipient": [JONAS]}, {}, True),
    ({"sender": [ANNA], "recipient": [STRANGER]}, {}, False),
    ({"all": [{"sender": [ANNA]}, {"size": {"over": 5}}]}, {"size": 6}, True),
    ({"all": [{"sender": [ANNA]}, {"size": {"over": 5}}]}, {"size": 5}, False),
    ({"any": [{"sender": [BEN]}, {"size": {"over": 5}}]}, {"size": 6}, True),
    ({"any": [{"sender": [BEN]}, {"size": {"over": 5}}]}, {"size": 5}, False),
    ({"not": {"sender": [BEN]}}, {}, True),
    ({"not": {"sender": [ANNA]}}, {}, False),
    (None, {}, True),
]


@pytest.mark.parametrize(("condition", "changed", "answer"), TABLE)
def test_condition_answers(condition: object, changed: dict[str, Any], answer: bool) -> None:
    assert fits(condition, given(**changed)) is answer


def test_every_question_stands_in_the_table_with_yes_and_no() -> None:
    answers: dict[str, set[bool]] = {}
    for condition, _, answer in TABLE:
        if isinstance(condition, dict) and len(condition) == 1:
            answers.setdefault(next(iter(condition)), set()).add(answer)
    for name in (*QUESTIONS, "keyword", "all", "any", "not"):
        assert answers.get(name) == {True, False}, name


STRICT: list[tuple[object, dict[str, Any], bool, bool]] = [
    # condition, facts, lenient, strict
    ({"sender": [ANNA]}, {"authors": (ANNA, BEN)}, True, False),
    ({"sender": ["*@bank.example"]}, {"authors": (ANNA, BEN)}, True, True),
    ({"sender": [ANNA]}, {"is_from_readable": False}, True, False),
    ({"sender_domain": ["bank.example"]}, {"authors": (ANNA, STRANGER)}, True, False),
    ({"not": {"sender": [ANNA]}}, {"authors": (ANNA, BEN)}, True, False),
    ({"not": {"not": {"sender": [ANNA]}}}, {"authors": (ANNA, BEN)}, True, False),
    ({"header": {"name": "x-class", "is": ["public"]}}, {"headers": {"x-class": ("public", "secret")}}, True, False),
    ({"header": {"name": "x-class", "is": ["public"]}}, {"headers": {"x-class": ("x" * 10_001,)}}, True, False),
    ({"attachments": {"extensions": ["pdf"]}}, {"attachments": FILES}, True, False),
    ({"attachments": {"types": ["application/*"]}}, {"attachments": FILES}, True, True),
    ({"attachments": {"types": ["*"]}}, {}, False, False),
    ({"sender": ["*"]}, {"authors": (), "reverse_path": ""}, False, False),
]


@pytest.mark.parametrize(("condition", "changed", "lenient", "strict"), STRICT)
def test_rule_that_lowers_protection_must_hold_for_all(
    condition: object, changed: dict[str, Any], lenient: bool, strict: bool
) -> None:
    assert fits(condition, given(**changed)) is lenient
    assert fits(condition, given(**changed), strict=True) is strict


@pytest.mark.parametrize(
    ("condition", "key"),
    [
        ({}, "when"),
        ({"sendr": [ANNA]}, "when.sendr"),
        ({"sender": []}, "when.sender"),
        ({"sender": ANNA}, "when.sender"),
        ({"sender": ["bank.example"]}, "when.sender[0]"),
        ({"recipient_domain": ["*@partner.example"]}, "when.recipient_domain[0]"),
        ({"all": []}, "when.all"),
        ({"all": [{"any": [{"size": {}}]}]}, "when.all[0].any[0].size"),
        ({"all": [None]}, "when.all[0]"),
        ({"not": None}, "when.not"),
        ({"size": {"over": "1"}}, "when.size.over"),
        ({"size": {"over": True}}, "when.size.over"),
        ({"size": {"over": 5, "under": 6}}, "when.size"),
        ({"attachments": {}}, "when.attachments"),
        ({"attachments": {"count": {"over": 0}, "nmes": ["a"]}}, "when.attachments.nmes"),
        ({"header": {"name": "X Class"}}, "when.header.name"),
        ({"header": {"name": "X-Class", "is": []}}, "when.header.is"),
        ({"side": ["above"]}, "when.side[0]"),
        ({"client": ["10.0.0.1/8"]}, "when.client[0]"),
        ({"keyword": ["{nothing}"]}, "when.keyword[0]"),
        ({"received": {"from": 5, "until": 5}}, "when.received"),
        ({"encrypted": "yes"}, "when.encrypted"),
        ("sender", "when"),
    ],
)
def test_bad_condition_names_the_key(condition: object, key: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_condition(condition, "when", organisation().keywords.keywords)
    assert caught.value.key == key
    assert caught.value.fix


def test_misspelt_question_names_its_neighbour() -> None:
    with pytest.raises(DocumentError, match="sender"):
        read_condition({"sendr": [ANNA]}, "when", {})


def test_deep_condition_is_refused() -> None:
    deep: object = {"sender": [ANNA]}
    for _ in range(40):
        deep = {"not": deep}
    with pytest.raises(DocumentError, match="too deep"):
        read_condition(deep, "when", {})


def test_possible_asks_the_recipient() -> None:
    to = recipient(possible=(Method.SMIME,))
    assert fits({"possible": ["smime", "openpgp"]}, given(), to)
    assert not fits({"possible": ["openpgp"]}, given(), to)
