"""Explanations show every rule and condition with its answer, and nothing of the mail's text (features B14)."""

from __future__ import annotations

from dataclasses import replace

from relay.core.decision import Method
from relay.policy.explain import RuleState, explain, render_explanation, trace_condition
from relay.policy.rules.reader import read_condition
from tests.unit.policy.cases import ANNA, JONAS, Box, File, Mail, facts, organisation, recipient, ruleset
from tests.unit.policy.test_decide import Broken

RULES = [
    {"id": "off", "enabled": False, "then": [{"action": "discard"}]},
    {
        "id": "miss",
        "comment": "Large mail waits",
        "when": {"all": [{"size": {"over": 9000}}, {"sender": ["*@bank.example"]}]},
        "then": [{"action": "hold"}],
    },
    {"id": "mark", "then": [{"action": "add_header", "name": "X-Seen", "value": "1"}]},
    {
        "id": "hit",
        "when": {"any": [{"recipient": [JONAS]}, {"not": {"keyword": ["pdf"]}}]},
        "then": [{"action": "pdf", "cipher": "aes-128"}],
    },
    {"id": "late", "when": {"recipient_domain": ["partner.example"]}, "then": [{"action": "pass"}]},
]


def test_every_rule_is_shown_with_its_state() -> None:
    explanation = explain(facts(), recipient(), ruleset(rules=RULES))
    assert {trace.id: trace.state for trace in explanation.rules} == {
        "miss": RuleState.MISSED,
        "mark": RuleState.HIT,
        "hit": RuleState.HIT,
        "late": RuleState.NOT_REACHED,
        "off": RuleState.DISABLED,
    }
    assert explanation.decision.method is Method.PDF


def test_every_condition_is_answered_even_when_it_was_not_needed() -> None:
    explanation = explain(facts(), recipient(), ruleset(rules=RULES))
    traces = {trace.id: trace.condition for trace in explanation.rules}
    miss, hit, late = traces["miss"], traces["hit"], traces["late"]
    assert miss is not None
    assert [(part.fits, part.counted) for part in miss.parts] == [(False, True), (True, False)]
    assert hit is not None
    assert [(part.fits, part.counted) for part in hit.parts] == [(True, True), (True, False)]
    assert hit.parts[1].parts[0].fits is False
    assert late is not None
    assert late.fits is True


def test_text_says_who_what_and_why() -> None:
    text = render_explanation(explain(facts(keywords=("{password}",)), recipient(), ruleset(rules=RULES)))
    for words in (
        f"Recipient {JONAS}",
        f"sender       {ANNA}",
        f"password of  {ANNA}",
        "[MISSED] miss - Large mail waits",
        "no   the size is over 9000",
        "yes  the sender is *@bank.example (not needed)",
        "[HIT] hit",
        "[NOT REACHED] late",
        "[DISABLED] off",
        "-> pdf (cipher aes-128)",
        "result       PDF: Protected as PDF because rule hit says so.",
        "stripped     {password}",
        "warning      AES-128",
        "policy       version 7",
    ):
        assert words in text, words


def test_skipped_methods_and_refused_wishes_are_said() -> None:
    text = render_explanation(explain(facts(keywords=("{plain}",)), recipient(), ruleset()))
    assert "may not send in the clear" in text
    assert "S/MIME is not yet possible" in text


def test_failed_rule_is_shown_and_the_mail_held() -> None:
    ready = ruleset(rules=RULES)
    broken = replace(ready, rules=(replace(ready.rules[0], condition=Broken()), *ready.rules[1:]))
    explanation = explain(facts(), recipient(), broken)
    assert explanation.decision.method is Method.HOLD
    assert explanation.rules[0].state is RuleState.FAILED
    text = render_explanation(explanation)
    assert "FAILED with ZeroDivisionError" in text
    assert "secret detail" not in text


def test_condition_trace_survives_faults_in_parts() -> None:
    condition = read_condition({"any": [{"client": ["10.0.0.0/8"]}, {"sender": [ANNA]}]}, "when", {})
    trace = trace_condition(condition, replace(facts(), client_ip="junk"), recipient(), False)
    assert trace.fits is None
    assert [part.fits for part in trace.parts] == [None, True]


def test_nothing_of_the_mail_is_repeated() -> None:
    mail = Mail(
        authors=(Box(ANNA),),
        headers={"x-class": ("CANARY-header",), "subject": ("CANARY-subject",)},
        files=(File("CANARY-name.exe", "application/x-CANARY", 5),),
    )
    when = {"attachments": {"extensions": ["exe"]}, "header": {"name": "x-class"}}
    rules = [{"id": "f", "when": when, "then": [{"action": "hold"}]}]
    where = organisation(rules=rules)
    explanation = explain(facts(mail, where=where), recipient(where=where), ruleset(rules=rules))
    assert explanation.decision.method is Method.HOLD
    assert "CANARY" not in render_explanation(explanation) + repr(explanation.decision)
