"""Option `registration`: which copies are to wait until the partner has chosen, and that it is kept by a document."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.decision import Decision, Method, Reason
from relay.core.documents.policy import PolicyDocument, Registration, ReplySecret
from relay.policy.decide import decide
from relay.policy.explain import explain, render_explanation
from relay.policy.release import complete_release
from relay.policy.ruleset import compile_ruleset
from tests.unit.policy.cases import JONAS, Mail, facts, organisation, recipient

ON = {"registration": "on"}


def decided(
    *actions: dict[str, object],
    switches: dict[str, str] | None = None,
    methods: list[str] | None = None,
    portal: bool = True,
    mail: Mail | None = None,
) -> Decision:
    rules = [{"id": "r", "then": list(actions)}] if actions else []
    ruleset = compile_ruleset(organisation(rules=rules, switches=switches, methods=methods))
    to = recipient(JONAS)
    possible = frozenset({Method.PDF, Method.WEBMAIL}) if portal else frozenset({Method.PDF})
    return decide(facts(mail or Mail()), replace(to, possible=possible), ruleset)


def test_off_as_shipped() -> None:
    assert PolicyDocument().switches.registration is Registration.OFF
    assert PolicyDocument().switches.reply_secret is ReplySecret.PASSWORD
    assert PolicyDocument().switches.reset_approval.people == PolicyDocument().switches.ceremony_approval.people == 0
    assert decided().options == {}


@pytest.mark.parametrize("method", ["pdf", "webmail"])
def test_the_switch_holds_for_what_no_rule_sets(method: str) -> None:
    decision = decided(switches=ON, methods=[method])
    assert (decision.method, decision.options) == (Method(method), ON)


def test_a_rule_switches_it_on_and_off() -> None:
    assert decided({"action": "webmail", "registration": "on"}).options == ON
    assert decided({"action": "set", "registration": "on"}).options == ON
    assert decided({"action": "pdf", "registration": "off"}, switches=ON).options == {}
    # The action that ends the search has the last word.
    assert decided({"action": "set", "registration": "on"}, {"action": "pdf", "registration": "off"}).options == {}


def test_not_where_every_message_has_its_own_password() -> None:
    assert decided({"action": "pdf", "password": "message"}, switches=ON).options == {}
    assert decided({"action": "webmail", "password": "message"}, switches=ON).options == ON


def test_not_without_a_portal() -> None:
    assert decided(switches=ON, portal=False).options == {}


def test_a_recipient_of_a_blind_copy_waits_too() -> None:
    assert decided(switches=ON, mail=Mail(to=())).options == {"bcc": JONAS, **ON}


def test_printed_code_stands_in_the_decision() -> None:
    assert decided(switches={"reply_secret": "printed-code"}).options == {"reply_secret": "printed-code"}


def test_what_a_person_releases_does_not_wait() -> None:
    ruleset = compile_ruleset(organisation(switches=ON))
    to = replace(recipient(JONAS), possible=frozenset({Method.PDF, Method.WEBMAIL}))
    chosen = Decision(Method.PDF, Reason.OPERATOR, "a person chose it")
    completed = complete_release(facts(Mail()), to, ruleset, chosen)
    assert (completed.method, completed.options) == (Method.PDF, {})


def test_documents_keep_it() -> None:
    document = {
        "rules": [{"id": "r", "then": [{"action": "webmail", "registration": "off"}]}],
        "switches": {"registration": "on", "reply_secret": "printed-code"},
    }
    read = PolicyDocument.from_json(document)
    assert read.switches.registration is Registration.ON
    assert read.rules[0].then[0].registration is Registration.OFF
    assert PolicyDocument.from_json(read.to_json()) == read


def test_an_explanation_says_that_it_waits() -> None:
    rules = [{"id": "r", "then": [{"action": "webmail", "registration": "on"}]}]
    to = replace(recipient(JONAS), possible=frozenset({Method.PDF, Method.WEBMAIL}))
    told = render_explanation(explain(facts(Mail()), to, compile_ruleset(organisation(rules=rules))))
    assert "webmail (registration on)" in told
    assert "waits        until the recipient has chosen" in told
