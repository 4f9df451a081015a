"""Lint finds what fails open, what is never reached, what is not yet possible; and is silent on what is sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.core.decision import Method
from relay.core.documents.policy import PolicyDocument
from relay.policy.lint import Severity, lint_organisation, render_findings
from tests.unit.policy.cases import ANNA, JONAS, organisation


def codes(**parts: Any) -> set[tuple[str, str]]:
    """Return code and path of all findings but the note on foreign senders."""
    found = lint_organisation(organisation(**parts))
    return {(one.code, one.path) for one in found if one.code != "foreign-pass"}


def rule(name: str, action: object, when: object = None, **more: object) -> dict[str, object]:
    return {"id": name, "when": when, "then": [action if isinstance(action, dict) else {"action": action}], **more}


def test_shipped_policy_has_one_note() -> None:
    found = lint_organisation(organisation())
    assert [(one.code, one.severity) for one in found] == [("foreign-pass", Severity.NOTE)]
    assert codes(switches={"foreign_senders": "hold"}) == set()
    assert render_findings(()) == "No findings."


@pytest.mark.parametrize(
    ("parts", "code", "path", "severity"),
    [
        ({"rules": [rule("a", "pass")]}, "fail-open", "policy.rules[0]", Severity.ERROR),
        ({"rules": [rule("a", "pass", {"size": {"over": 5}})]}, "fail-open", "policy.rules[0]", Severity.WARNING),
        ({"rules": [rule("a", "pass", {"sender": ["*"]})]}, "fail-open", "policy.rules[0]", Severity.WARNING),
        ({"rules": [rule("a", "pass", {"not": {"sender": [ANNA]}})]}, "fail-open", "policy.rules[0]", Severity.WARNING),
        (
            {"rules": [rule("a", "pass", {"any": [{"sender": [ANNA]}, {"size": {"over": 5}}]})]},
            "fail-open",
            "policy.rules[0]",
            Severity.WARNING,
        ),
        ({"methods": ["pass"]}, "fail-open", "policy.methods", Severity.ERROR),
        ({"defaults": [{"recipient": "*", "methods": ["pass"]}]}, "fail-open", "policy.defaults[0]", Severity.ERROR),
        (
            {"defaults": [{"recipient": JONAS, "methods": ["pass"]}]},
            "fail-open",
            "policy.defaults[0]",
            Severity.WARNING,
        ),
        (
            {"domains": {"domains": [{"name": "bank.example", "methods": ["pass"]}]}},
            "fail-open",
            "domains.domains[0].methods",
            Severity.ERROR,
        ),
        ({"keywords": {"plain": {"senders": ["*"]}}}, "fail-open", "keywords.plain", Severity.WARNING),
        ({"switches": {"invitations": "pass"}}, "fail-open", "policy.switches.invitations", Severity.WARNING),
        ({"switches": {"cipher": "aes-128"}}, "weak-cipher", "policy.switches.cipher", Severity.WARNING),
        ({"rules": [rule("a", "discard")]}, "broad-discard", "policy.rules[0]", Severity.WARNING),
        ({"rules": [rule("a", "webmail")]}, "not-yet-possible", "policy.rules[0]", Severity.WARNING),
        ({"methods": ["smime", "webmail"]}, "not-yet-possible", "policy.methods", Severity.WARNING),
        (
            {"rules": [rule("a", {"action": "forward", "to": [JONAS]}, {"recipient": [ANNA]})]},
            "forward-outside",
            "policy.rules[0]",
            Severity.NOTE,
        ),
        (
            {"rules": [rule("a", "pass", {"recipient": ["*@*partner.example"]})]},
            "loose-pattern",
            "policy.rules[0]",
            Severity.WARNING,
        ),
        ({"rules": [rule("a", "pdf"), rule("b", "hold")]}, "unreachable", "policy.rules[1]", Severity.WARNING),
        (
            {
                "rules": [
                    rule("a", "pdf", {"sender": [ANNA]}),
                    rule("b", "hold", {"sender": [ANNA], "size": {"over": 5}}),
                ]
            },
            "unreachable",
            "policy.rules[1]",
            Severity.WARNING,
        ),
        (
            {
                "rules": [
                    rule("a", "pdf", {"recipient": ["*@partner.example"]}),
                    rule("b", "pass", {"recipient": [JONAS]}),
                ]
            },
            "unreachable",
            "policy.rules[1]",
            Severity.WARNING,
        ),
    ],
)
def test_finding(parts: dict[str, Any], code: str, path: str, severity: Severity) -> None:
    working = frozenset({Method.PASS, Method.PDF})
    found = [one for one in lint_organisation(organisation(**parts), working) if (one.code, one.path) == (code, path)]
    assert [one.severity for one in found] == [severity]
    assert f"[{code}]" in render_findings(tuple(found))


@pytest.mark.parametrize(
    "parts",
    [
        {"rules": [rule("a", "pass", {"sender": ["news@bank.example"]})]},
        {"rules": [rule("a", "pass", {"sender": [ANNA], "size": {"under": 500}})]},
        {"rules": [rule("a", "pass", enabled=False)]},
        {"rules": [rule("a", "pdf", {"sender": [ANNA]}), rule("b", "hold", {"recipient": [JONAS]})]},
        {"rules": [rule("a", "pdf", {"sender": [ANNA], "size": {"over": 5}}), rule("b", "hold", {"sender": [ANNA]})]},
        # A rule that passes asks for every author, so it does not hide a later one for the same words.
        {"rules": [rule("a", "pass", {"sender": [ANNA]}), rule("b", "hold", {"sender": [ANNA]})]},
        {"rules": [rule("a", {"action": "set", "cipher": "aes-256"}), rule("b", "hold")]},
        {"defaults": [{"recipient": "*@partner.example", "methods": ["smime", "pdf"]}]},
    ],
)
def test_sound_policy_is_not_complained_of(parts: dict[str, Any]) -> None:
    assert codes(**parts) == set()


def test_worst_comes_first_and_bad_conditions_are_errors() -> None:
    raw = {"rules": [rule("w", "webmail"), rule("bad", "pdf", {"sendr": ["*"]})]}
    found = lint_organisation(replace(organisation(), policy=PolicyDocument.from_json(raw)))
    assert found[0].severity is Severity.ERROR
    assert (found[0].code, found[0].path) == ("bad-condition", "policy.rules[1].when.sendr")


def test_header_actions_on_what_may_become_webmail_are_noted() -> None:
    change = {"action": "add_header", "name": "X-Class", "value": "bank"}

    def noted(*more: object, **parts: Any) -> bool:
        found = codes(rules=[{"id": "a", "when": None, "then": [change, *more]}], **parts)
        return ("fields-in-mailbox", "policy.rules[0]") in found

    assert not noted()
    assert not noted({"action": "pdf"}, methods=["webmail"])
    assert noted({"action": "webmail"})
    assert noted({"action": "protect", "methods": ["smime", "webmail"]})
    assert noted(methods=["webmail"])
    assert noted(defaults=[{"recipient": JONAS, "methods": ["webmail"]}])
