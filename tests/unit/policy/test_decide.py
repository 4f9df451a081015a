"""Rules, actions, defaults, wishes and their precedence (features B3, B4, B6, B7, B9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.core.decision import HeaderChange, Method, Reason
from relay.core.envelope import Side
from relay.policy.decide import decide
from relay.policy.facts import PartnerFacts
from relay.policy.finish import decide_overrun
from relay.policy.ruleset import compile_ruleset
from tests.unit.policy.cases import ANNA, JONAS, Box, Mail, decided, facts, organisation, recipient, ruleset, session

OUTSIDE = {"session": session(Side.OUTSIDE)}


def rule(name: str, *actions: dict[str, object], when: object = None, **more: object) -> dict[str, object]:
    return {"id": name, "when": when, "then": list(actions), **more}


def test_shipped_default_protects_and_tells_what_it_skipped() -> None:
    decision = decided()
    assert (decision.method, decision.reason) == (Method.PDF, Reason.SHIPPED_DEFAULT)
    assert "S/MIME is not yet possible" in decision.explanation
    assert "OpenPGP is not yet possible" in decision.explanation
    assert decision.policy_version == 7
    assert decision.sender == ANNA
    assert (decision.cipher, decision.password_mode, decision.subject_policy) == ("aes-256", "pair", "keep")


def test_each_recipient_is_decided_separately() -> None:
    rules = [
        rule("clear", {"action": "pass"}, when={"recipient": ["press@news.example"]}),
        rule("stop", {"action": "hold"}, when={"recipient_domain": ["bad.example"]}),
        rule("no", {"action": "reject"}, when={"recipient": ["no@partner.example"]}),
    ]
    addresses = ["press@news.example", "a@bad.example", "no@partner.example", JONAS, "ben@bank.example"]
    methods = [decided(to=address, rules=rules).method for address in addresses]
    assert methods == [Method.PASS, Method.HOLD, Method.REJECT, Method.PDF, Method.PASS]


@pytest.mark.parametrize(
    ("action", "method"),
    [
        ({"action": "pass"}, Method.PASS),
        ({"action": "pdf"}, Method.PDF),
        ({"action": "webmail"}, Method.HOLD),
        ({"action": "protect", "methods": ["smime"]}, Method.HOLD),
        ({"action": "protect", "methods": ["smime", "openpgp", "webmail"]}, Method.HOLD),
        ({"action": "protect", "methods": ["smime", "openpgp", "pdf"]}, Method.PDF),
        ({"action": "hold"}, Method.HOLD),
        ({"action": "reject"}, Method.REJECT),
        ({"action": "discard"}, Method.DISCARD),
        ({"action": "forward", "to": ["ben@bank.example"]}, Method.FORWARD),
    ],
)
def test_terminal_action(action: dict[str, object], method: Method) -> None:
    decision = decided(rules=[rule("r1", action), rule("r2", {"action": "pass"})])
    assert decision.method is method
    assert decision.rules == ("r1",)
    assert "r1" in decision.explanation


def test_webmail_alone_is_held_and_says_why_as_long_as_no_portal_is_linked() -> None:
    where = organisation(rules=[rule("r1", {"action": "webmail"})])
    decision = decide(facts(), recipient(), compile_ruleset(where))
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.NOT_YET_POSSIBLE)
    assert "Webmail is not possible as no portal is linked" in decision.explanation
    assert "Webmail is not possible as no portal is linked" in decision.text
    linked = recipient(possible=(Method.PASS, Method.PDF, Method.WEBMAIL))
    assert decide(facts(), linked, compile_ruleset(where)).method is Method.WEBMAIL


def test_a_method_to_come_is_held_and_says_so() -> None:
    decision = decided(rules=[rule("r1", {"action": "protect", "methods": ["smime"]})])
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.NOT_YET_POSSIBLE)
    assert "S/MIME is not yet possible" in decision.explanation


def test_working_method_without_a_key_is_skipped_in_a_list_and_held_alone() -> None:
    working = frozenset({Method.PASS, Method.PDF, Method.SMIME})
    for methods, with_key, expected in [
        (["smime", "pdf"], True, Method.SMIME),
        (["smime", "pdf"], False, Method.PDF),
        (["smime"], True, Method.SMIME),
        (["smime"], False, Method.HOLD),
    ]:
        where = organisation(methods=methods)
        possible = (Method.PASS, Method.PDF, *((Method.SMIME,) if with_key else ()))
        decision = decide(facts(), recipient(possible=possible), compile_ruleset(where, working))
        assert decision.method is expected, (methods, with_key)


def test_first_terminal_action_wins_and_header_actions_accumulate() -> None:
    rules = [
        rule("add", {"action": "add_header", "name": "X-One", "value": "1"}),
        rule("off", {"action": "discard"}, enabled=False),
        rule("miss", {"action": "add_header", "name": "X-Miss", "value": "1"}, when={"size": {"over": 10_000}}),
        rule("end", {"action": "remove_header", "name": "X-Two"}, {"action": "pdf"}),
        rule("late", {"action": "add_header", "name": "X-Late", "value": "1"}),
    ]
    decision = decided(rules=rules)
    assert decision.method is Method.PDF
    assert decision.headers == (HeaderChange("X-One", "1"), HeaderChange("X-Two", None))
    assert decision.rules == ("add", "end")


def test_options_of_rules_and_partner() -> None:
    options = {"action": "set", "cipher": "aes-128", "password": "message", "subject": "generic"}
    decision = decided(rules=[rule("set", options)])
    assert (decision.cipher, decision.password_mode, decision.subject_policy) == ("aes-128", "message", "generic")
    assert any("AES-128" in warning for warning in decision.warnings)
    assert decided(recipient_={"partner": PartnerFacts(cipher="aes-128")}).cipher == "aes-128"
    stronger = [rule("set", {"action": "pdf", "cipher": "aes-256"})]
    assert decided(rules=stronger, recipient_={"partner": PartnerFacts(cipher="aes-128")}).cipher == "aes-256"


def test_reject_is_for_inside_senders_only() -> None:
    rules = [rule("no", {"action": "reject", "text": "Not this way.", "status": "5.7.0"})]
    inside = decided(rules=rules)
    assert (inside.method, inside.status, inside.text) == (Method.REJECT, "5.7.0", "Not this way.")
    outside = Mail(authors=(Box(JONAS),), to=(Box(ANNA),))
    assert decided(outside, to=ANNA, reverse_path=JONAS, rules=rules, facts_=OUTSIDE).method is Method.HOLD
    assert decided(reverse_path="", rules=rules).method is Method.HOLD
    assert decided(reverse_path="robot@elsewhere.example", rules=rules).method is Method.HOLD


def test_forward_circle_is_held() -> None:
    there = [rule("f", {"action": "forward", "to": ["ben@bank.example"]}, when={"recipient": [ANNA]})]
    assert decided(to=ANNA, rules=there).forward_to == ("ben@bank.example",)
    back = [rule("f", {"action": "forward", "to": [ANNA]}, when={"recipient": ["ben@bank.example"]})]
    for chain, reason in [((ANNA,), Reason.LOOP), (("a@x.example",) * 5, Reason.LOOP)]:
        decision = decided(to="ben@bank.example", rules=back, recipient_={"forwarded_from": chain})
        assert (decision.method, decision.reason) == (Method.HOLD, reason)
    itself = decided(to=ANNA, recipient_={"forwarded_from": (ANNA,)})
    assert (itself.method, itself.reason) == (Method.HOLD, Reason.LOOP)


def test_forwarded_mail_leaves_only_as_a_rule_says() -> None:
    mail = Mail(authors=(Box(JONAS),), to=(Box(ANNA),))
    more: dict[str, Any] = {"facts_": OUTSIDE, "recipient_": {"forwarded_from": (ANNA,)}}
    assert decided(mail, to="x@away.example", reverse_path=JONAS, **more).method is Method.HOLD
    rules = [rule("ok", {"action": "pass"}, when={"recipient_domain": ["away.example"]})]
    assert decided(mail, to="x@away.example", reverse_path=JONAS, rules=rules, **more).method is Method.PASS
    never = decided(mail, to="x@away.example", reverse_path=JONAS, rules=rules, facts_=OUTSIDE)
    assert never.method is Method.HOLD, "mail from the outside to the outside is no rule's business"


def test_defaults_address_before_domain_before_sender_domain_before_policy() -> None:
    domains = {"domains": [{"name": "bank.example", "methods": ["webmail"]}]}
    defaults = [
        {"recipient": "*@partner.example", "methods": ["pdf"]},
        {"recipient": JONAS, "methods": ["pass"]},
        {"recipient": "*@*.partner.example", "methods": ["pass"]},
        {"recipient": "press-*@partner.example", "methods": ["pass"]},
    ]
    parts: dict[str, Any] = {"domains": domains, "defaults": defaults}
    for address, method, reason in [
        (JONAS, Method.PASS, Reason.ADDRESS_DEFAULT),
        ("press-1@partner.example", Method.PASS, Reason.ADDRESS_DEFAULT),
        ("eva@partner.example", Method.PDF, Reason.DOMAIN_DEFAULT),
        ("eva@sub.partner.example", Method.PASS, Reason.DOMAIN_DEFAULT),
        ("eva@other.example", Method.HOLD, Reason.NOT_YET_POSSIBLE),
    ]:
        decision = decided(to=address, **parts)
        assert (decision.method, decision.reason) == (method, reason), address
    assert decided(to="eva@other.example", defaults=defaults).reason is Reason.SHIPPED_DEFAULT


# --- wishes -----------------------------------------------------------------------------------------------------------

ALLOW = {"plain": {"senders": [ANNA], "recipients": ["*@partner.example"]}}


def wished(*tokens: str, **more: Any) -> Any:
    mail = more.pop("mail", None)
    extra = {**more.pop("facts_", {}), "keywords": tokens}
    return decided(mail, facts_=extra, **more)


def test_keyword_pdf_protects_where_a_rule_passes() -> None:
    decision = wished("{pdf}", rules=[rule("r1", {"action": "pass"})])
    assert (decision.method, decision.reason) == (Method.PDF, Reason.KEYWORD)
    assert decision.subject_strip == ("{pdf}",)
    assert "{pdf}" in decision.explanation


def test_keyword_webmail_is_held_while_not_possible() -> None:
    decision = wished("{webmail}")
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.NOT_YET_POSSIBLE)
    assert "keyword {webmail}" in decision.explanation


def test_first_protecting_keyword_counts_and_beats_plain() -> None:
    assert wished("{pdf}", "{webmail}").method is Method.PDF
    assert wished("{webmail}", "{pdf}").method is Method.HOLD
    decision = wished("{plain}", "{pdf}", keywords=ALLOW)
    assert decision.method is Method.PDF
    assert decision.warnings


def test_plain_only_where_allowed() -> None:
    assert wished("{plain}").method is Method.PDF
    allowed = wished("{plain}", keywords=ALLOW)
    assert (allowed.method, allowed.reason, allowed.subject_strip) == (Method.PASS, Reason.KEYWORD, ("{plain}",))
    assert wished("{plain}", to="x@other.example", keywords=ALLOW).method is Method.PDF
    ben = Mail(authors=(Box("ben@bank.example"),))
    assert wished("{plain}", mail=ben, keywords=ALLOW).method is Method.PDF
    both = Mail(authors=(Box(ANNA), Box("ben@bank.example")))
    assert wished("{plain}", mail=both, keywords=ALLOW).method is Method.PDF
    delegate = Mail(sender=Box("ben@bank.example"))
    assert wished("{plain}", mail=delegate, keywords=ALLOW).method is Method.PDF
    refused = wished("{plain}")
    assert any("may not send in the clear" in warning for warning in refused.warnings)


def test_plain_never_lowers_what_a_rule_demands() -> None:
    decision = wished("{plain}", keywords=ALLOW, rules=[rule("r1", {"action": "pdf"})])
    assert (decision.method, decision.reason) == (Method.PDF, Reason.RULE)
    assert any("a rule protects" in warning for warning in decision.warnings)
    assert wished("{plain}", keywords=ALLOW, rules=[rule("r1", {"action": "hold"})]).method is Method.HOLD


@pytest.mark.parametrize("wish", ["keyword", "header", "sensitivity"])
def test_confidential_protects_where_a_rule_passes_and_hides_the_subject(wish: str) -> None:
    headers = {"x-letterlock-confidential": ("Yes",)} if wish == "header" else {}
    mail = Mail(headers=headers, sensitivity="company-confidential" if wish == "sensitivity" else None)
    tokens = ("{confidential}",) if wish == "keyword" else ()
    for rules in ([], [rule("r1", {"action": "pass"})]):
        decision = wished(*tokens, mail=mail, rules=rules, methods=["pass"], defaults=[])
        assert decision.method is Method.PDF
        assert decision.confidential
        assert decision.subject_policy == "generic"
    assert wished(*tokens, mail=mail, rules=[rule("r1", {"action": "hold"})]).method is Method.HOLD


def test_confidential_beats_plain_and_switches_that_pass() -> None:
    assert wished("{plain}", "{confidential}", keywords=ALLOW).method is Method.PDF
    invitation = Mail(is_invitation=True)
    switches = {"invitations": "pass"}
    assert wished(mail=invitation, switches=switches).method is Method.PASS
    assert wished("{confidential}", mail=invitation, switches=switches).method is Method.PDF


def test_rule_that_sets_confidential_beats_a_later_pass() -> None:
    rules = [rule("secret", {"action": "set", "confidential": True}), rule("pass", {"action": "pass"})]
    decision = decided(rules=rules)
    assert decision.method is Method.PDF
    assert decision.confidential
    assert wished("{plain}", keywords=ALLOW, rules=rules[:1]).method is Method.PDF


@pytest.mark.parametrize("word", ["private", "personal"])
def test_other_sensitivities_mean_nothing_as_shipped(word: str) -> None:
    decision = decided(Mail(sensitivity=word))
    assert not decision.confidential
    assert decided(Mail(sensitivity=word), keywords={"sensitivities": [word]}).confidential


def test_header_wishes_do_the_same_and_never_leave() -> None:
    decision = decided(Mail(headers={"x-letterlock-method": (" PDF ",)}), rules=[rule("r1", {"action": "pass"})])
    assert (decision.method, decision.reason) == (Method.PDF, Reason.HEADER)
    assert HeaderChange("x-letterlock-method", None) in decision.headers
    allowed = decided(Mail(headers={"x-letterlock-method": ("plain",)}), keywords=ALLOW)
    assert (allowed.method, allowed.reason) == (Method.PASS, Reason.HEADER)
    assert HeaderChange("x-letterlock-method", None) in allowed.headers
    assert decided(Mail(headers={"x-letterlock-password": ("show",)})).show_password
    assert decided(Mail(headers={"x-letterlock-password": ("new",)})).new_password


def test_keyword_beats_header() -> None:
    decision = wished("{pdf}", mail=Mail(headers={"x-letterlock-method": ("webmail",)}))
    assert (decision.method, decision.reason) == (Method.PDF, Reason.KEYWORD)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-letterlock-method": ("rot13",)},
        {"x-letterlock-method": ("",)},
        {"x-letterlock-method": ("pdf", "webmail")},
        {"x-letterlock-confidential": ("maybe",)},
        {"x-letterlock-password": ("tell",)},
    ],
)
def test_wish_that_is_not_understood_is_held_and_its_value_not_repeated(headers: dict[str, tuple[str, ...]]) -> None:
    decision = decided(Mail(headers=headers), rules=[rule("r1", {"action": "pass"})])
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.HEADER)
    assert "rot13" not in decision.explanation + decision.text


def test_locked_rule_ignores_the_wish_for_another_method() -> None:
    rules = [rule("r1", {"action": "pdf", "locked": True})]
    assert wished("{webmail}", rules=rules).method is Method.PDF
    assert wished("{webmail}", rules=[rule("r1", {"action": "pdf"})]).method is Method.HOLD


def test_password_keywords() -> None:
    decision = wished("{password}")
    assert (decision.show_password, decision.new_password, decision.method) == (True, False, Method.PDF)
    assert wished("{new_password}").new_password
    per_message = wished("{new_password}", switches={"password": "message"})
    assert not per_message.new_password
    assert per_message.warnings


def test_redefined_keyword_and_mark() -> None:
    keywords = {"keywords": {"[geheim]": "confidential", "#archiv": "mark"}}
    assert wished("[geheim]", keywords=keywords).confidential
    rules = [rule("mark", {"action": "webmail"}, when={"keyword": ["#Archiv"]})]
    assert wished("#archiv", keywords=keywords, rules=rules).method is Method.HOLD
    assert wished("{pdf}", keywords=keywords, rules=[rule("r1", {"action": "pass"})]).method is Method.PASS


def test_wishes_of_the_outside_are_not_looked_at() -> None:
    mail = Mail(authors=(Box(JONAS),), to=(Box(ANNA),), headers={"x-letterlock-method": ("rot13",)})
    decision = decided(mail, to=ANNA, reverse_path=JONAS, facts_={**OUTSIDE, "keywords": ("{pdf}",)})
    assert decision.method is Method.PASS
    assert (decision.headers, decision.subject_strip) == ((), ())


# --- size, faults -----------------------------------------------------------------------------------------------------


def test_too_large_for_the_partner_is_held_until_webmail_works() -> None:
    more = {"recipient_": {"partner": PartnerFacts(size_limit=1_000_000)}}
    large = Mail(size=1_000_001)
    for choice in ("webmail", "hold"):
        decision = decided(large, switches={"too_large": choice}, **more)
        assert (decision.method, decision.reason) == (Method.HOLD, Reason.TOO_LARGE)
        assert "1000000" in decision.text
    assert decided(Mail(size=1_000_000), **more).method is Method.PDF
    working = frozenset({Method.PDF, Method.PASS, Method.WEBMAIL})
    to = recipient(possible=working, partner=PartnerFacts(size_limit=1_000_000))
    assert decide(facts(large), to, compile_ruleset(organisation(), working)).method is Method.WEBMAIL


def test_the_least_limit_of_policy_partner_and_route_counts() -> None:
    shipped = organisation().limits.outside_message_octets
    large = PartnerFacts(size_limit=shipped * 2)
    assert decided(Mail(size=shipped + 1), recipient_={"partner": large}).reason is Reason.TOO_LARGE
    more = {"recipient_": {"partner": PartnerFacts(size_limit=1_000_000), "route_limit": 70_000}}
    assert decided(Mail(size=70_000), **more).method is Method.PDF
    decision = decided(Mail(size=70_001), **more)
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.TOO_LARGE)
    assert "70000" in decision.text


def test_a_finished_mail_over_the_limit_obeys_the_switch() -> None:
    working = frozenset({Method.PDF, Method.PASS, Method.WEBMAIL})
    to = recipient(possible=working, route_limit=70_000)
    before = decide(facts(Mail()), to, compile_ruleset(organisation(), working))
    assert before.method is Method.PDF
    after = decide_overrun(before, to, compile_ruleset(organisation(), working))
    assert (after.method, after.sender, after.rules) == (Method.WEBMAIL, before.sender, before.rules)
    assert "70000" in after.explanation
    # What was webmail already and fell back to a PDF is not tried again.
    held = decide_overrun(after, to, compile_ruleset(organisation(), working))
    assert (held.method, held.reason) == (Method.HOLD, Reason.TOO_LARGE)
    for rules in (
        compile_ruleset(organisation(switches={"too_large": "hold"}), working),
        compile_ruleset(organisation(), working - {Method.WEBMAIL}),
    ):
        assert decide_overrun(before, to, rules).method is Method.HOLD


class Broken:
    """A condition with a fault."""

    def evaluate(self, facts: object, recipient: object, strict: bool) -> bool:
        raise ZeroDivisionError("secret detail")

    def describe(self) -> str:
        return "broken"


@pytest.mark.parametrize("action", ["pass", "pdf", "discard"])
def test_fault_in_a_condition_holds_the_mail(action: str) -> None:
    ready = ruleset(rules=[rule("bad", {"action": action}), rule("next", {"action": "pass"})])
    broken = replace(ready, rules=(replace(ready.rules[0], condition=Broken()), *ready.rules[1:]))
    decision = decide(facts(), recipient(), broken)
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.SYSTEM)
    assert "bad" in decision.explanation
    assert "secret detail" not in decision.explanation


def test_fault_anywhere_else_holds_the_mail() -> None:
    decision = decide(facts(), recipient(), replace(ruleset(), defaults=None))  # type: ignore[arg-type]
    assert (decision.method, decision.reason) == (Method.HOLD, Reason.SYSTEM)
    client = facts(session=session(client="not an address"))
    held = decide(client, recipient(), ruleset(rules=[rule("c", {"action": "pass"}, when={"client": ["10.0.0.0/8"]})]))
    assert held.method is Method.HOLD


def test_method_list_that_smuggles_pass_in_is_not_obeyed() -> None:
    ready = replace(ruleset(), methods=(Method.SMIME, Method.PASS))
    assert decide(facts(), recipient(), ready).method is Method.HOLD


@pytest.mark.parametrize("word", ["resend", "reset", "revoke"])
def test_an_order_about_a_mailbox_is_carried_out_and_never_delivered(word: str) -> None:
    linked = recipient(possible=(Method.PASS, Method.PDF, Method.WEBMAIL))
    where = compile_ruleset(organisation(rules=[rule("r1", {"action": "pass"})]))
    for asked in (facts(keywords=(f"{{{word}}}",)), facts(Mail(headers={"x-letterlock-mailbox": (word,)}))):
        decision = decide(asked, linked, where)
        assert (decision.method, decision.options["command"]) == (Method.COMMAND, word)
        assert decide(asked, recipient(), where).method is Method.HOLD
    # A robot that repeats the subject orders nothing; a word that nobody knows holds the mail.
    robot = replace(facts(keywords=(f"{{{word}}}",)), auto_submitted="auto-replied", is_auto_submitted=True)
    assert decide(robot, linked, where).method is not Method.COMMAND
    assert decide(facts(Mail(headers={"x-letterlock-mailbox": ("burn",)})), linked, where).method is Method.HOLD
    assert decide(replace(facts(keywords=(f"{{{word}}}",)), pair_owner=""), linked, where).method is Method.HOLD
    # A rule that holds stands above every wish.
    held = compile_ruleset(organisation(rules=[rule("r1", {"action": "hold"})]))
    assert decide(facts(keywords=(f"{{{word}}}",)), linked, held).method is Method.HOLD
