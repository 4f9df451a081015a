"""A person's release: the method is his, all else is still the writer's and the rules'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.core.decision import Decision, HeaderChange, Method, Reason
from relay.policy.facts import PartnerFacts
from relay.policy.release import complete_release
from tests.unit.policy.cases import ANNA, BEN, JONAS, STRANGER, Box, Mail, facts, organisation, recipient, ruleset
from tests.unit.policy.test_decide import Broken

HOLDS = [
    {"id": "mark", "then": [{"action": "add_header", "name": "X-Seen", "value": "1"}]},
    {"id": "stop", "then": [{"action": "hold"}]},
]


def released(method: Method, mail: Mail | None = None, to: str = JONAS, **parts: Any) -> Decision:
    given = parts.pop("facts_", {})
    partner = parts.pop("partner", None)
    where = organisation(**parts)
    chosen = Decision(method, Reason.OPERATOR, "Released by operator:root.")
    return complete_release(
        facts(mail, where=where, **given), recipient(to, where, partner=partner), ruleset(**parts), chosen
    )


def test_release_answers_the_rule_that_held() -> None:
    decision = released(Method.PDF, rules=HOLDS)
    assert (decision.method, decision.reason, decision.sender) == (Method.PDF, Reason.OPERATOR, ANNA)
    assert decision.headers == (HeaderChange("X-Seen", "1"),)
    assert decision.rules == ("mark", "stop", "operator")
    assert released(Method.PASS, rules=HOLDS).method is Method.PASS


@pytest.mark.parametrize(
    "wish", [{"facts_": {"keywords": ("{confidential}",)}}, {"mail": Mail(sensitivity="company-confidential")}]
)
def test_confidential_stays_confidential(wish: dict[str, Any]) -> None:
    decision = released(Method.PDF, rules=HOLDS, **wish)
    assert decision.confidential
    assert decision.subject_policy == "generic"
    clear = released(Method.PASS, rules=HOLDS, **wish)
    assert (clear.method, clear.reason) == (Method.HOLD, Reason.OPERATOR)


def test_keywords_are_stripped_and_wish_fields_removed() -> None:
    mail = Mail(headers={"x-letterlock-method": ("rot13",)})
    decision = released(Method.PDF, mail, facts_={"keywords": ("{webmail}",)})
    assert decision.method is Method.PDF
    assert decision.subject_strip == ("{webmail}",)
    assert HeaderChange("x-letterlock-method", None) in decision.headers


def test_size_limit_is_the_persons_business() -> None:
    assert released(Method.PDF, Mail(size=1 << 30), partner=PartnerFacts(size_limit=70_000)).method is Method.PDF


def test_what_cannot_be_done_is_held_again() -> None:
    assert released(Method.WEBMAIL).reason is Reason.NOT_YET_POSSIBLE
    assert released(Method.PDF, Mail(authors=(Box(STRANGER),))).reason is Reason.SENDER


def test_to_the_inside_it_passes() -> None:
    decision = released(Method.PDF, to=BEN, rules=HOLDS)
    assert (decision.method, decision.reason) == (Method.PASS, Reason.OPERATOR)


def test_rules_behind_the_one_that_held_still_count() -> None:
    secret = [*HOLDS, {"id": "secret", "then": [{"action": "pdf", "confidential": True, "cipher": "aes-128"}]}]
    decision = released(Method.PDF, rules=secret)
    assert (decision.confidential, decision.cipher, decision.reason) == (True, "aes-128", Reason.OPERATOR)
    assert released(Method.PASS, rules=secret).method is Method.HOLD


def test_rule_that_cannot_be_asked_makes_the_release_confidential() -> None:
    ready = ruleset(rules=[{"id": "bad", "then": [{"action": "hold"}]}])
    broken = replace(ready, rules=(replace(ready.rules[0], condition=Broken()),))
    methods = [
        complete_release(facts(), recipient(), broken, Decision(method, Reason.OPERATOR, ""))
        for method in (Method.PDF, Method.PASS)
    ]
    assert [(one.method, one.confidential) for one in methods] == [(Method.PDF, True), (Method.HOLD, False)]


def test_fault_holds() -> None:
    broken = replace(ruleset(), keywords=None)  # type: ignore[arg-type]
    decision = complete_release(facts(), recipient(), broken, Decision(Method.PASS, Reason.OPERATOR, ""))
    assert decision.method is Method.HOLD
