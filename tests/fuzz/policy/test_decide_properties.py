"""The properties that matter most, searched for counterexamples: deciding never raises and never passes by accident.

The oracle here reads the documents as JSON, knows nothing of the compiled ruleset, and asks again whether what the
decision names as its reason to pass really says pass for this mail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.decision import Decision, Method
from relay.core.documents.organisation import Organisation
from relay.core.envelope import Side
from relay.policy.decide import decide
from relay.policy.explain import explain, render_explanation
from relay.policy.facts import AttachmentFacts, Facts, PartnerFacts, RecipientFacts
from relay.policy.rules.reader import read_condition
from relay.policy.ruleset import compile_ruleset
from tests.unit.policy.cases import organisation

WORKING = st.sampled_from(
    [
        frozenset({Method.PASS, Method.PDF}),
        frozenset(Method),
        frozenset({Method.PASS}),
        frozenset({Method.PASS, Method.SMIME}),
    ]
)
ADDRESSES = [
    "anna@bank.example",
    "ben@bank.example",
    "boss@bank.example",
    "list@sub.bank.example",
    "x@elsewhere.example",
    "root@localhost",
]
OUTSIDERS = ["jonas@partner.example", "eva@partner.example", "press@news.example", "x@sub.partner.example"]
TOKENS = ["{pdf}", "{webmail}", "{plain}", "{confidential}", "{password}", "{new_password}", "{unknown}"]

patterns = st.sampled_from(
    ["*", "*@bank.example", "*@*.example", *ADDRESSES[:3], *OUTSIDERS, "*@partner.example", "p*@news.example"]
)
domains = st.sampled_from(["*", "bank.example", "partner.example", "*.example", "*.partner.example"])
leaves: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.builds(lambda p: {"sender": p}, st.lists(patterns, min_size=1, max_size=2)),
    st.builds(lambda p: {"recipient": p}, st.lists(patterns, min_size=1, max_size=2)),
    st.builds(lambda p: {"sender_domain": [p]}, domains),
    st.builds(lambda p: {"recipient_domain": [p]}, domains),
    st.builds(lambda p: {"sender_field": [p]}, patterns),
    st.builds(lambda p: {"reverse_path": [p]}, st.one_of(patterns, st.just("<>"))),
    st.builds(lambda w: {"keyword": [w]}, st.sampled_from(["pdf", "plain", "confidential"])),
    st.builds(lambda w: {"header": {"name": "x-class", "is": [w]}}, st.sampled_from(["public", "*", "s*"])),
    st.just({"header": {"name": "x-class"}}),
    st.builds(lambda n: {"size": {"over": n}}, st.integers(0, 100_000)),
    st.builds(lambda n: {"attachments": {"count": {"over": n}}}, st.integers(0, 2)),
    st.builds(lambda e: {"attachments": {"extensions": [e]}}, st.sampled_from(["pdf", "exe"])),
    st.builds(lambda s: {"side": [s]}, st.sampled_from(["inside", "outside", "submission"])),
    st.builds(lambda s: {"direction": [s]}, st.sampled_from(["outbound", "inbound", "internal", "transit"])),
    st.builds(lambda k: {"kind": [k]}, st.sampled_from(["ordinary", "dsn", "auto-reply", "list"])),
    st.builds(lambda n: {"client": [n]}, st.sampled_from(["10.0.0.0/8", "0.0.0.0/0"])),
    st.just({"automatic": True}),
    st.just({"encrypted": False}),
    st.builds(lambda s: {"sensitivity": [s]}, st.sampled_from(["private", "company-confidential"])),
)
conditions: st.SearchStrategy[dict[str, object]] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda c: {"not": c}, inner),
        st.builds(lambda c: {"all": c}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda c: {"any": c}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)
protecting = [
    {"action": "pdf"},
    {"action": "pdf", "confidential": True, "locked": True},
    {"action": "webmail"},
    {"action": "protect", "methods": ["smime", "pdf"]},
    {"action": "protect", "methods": ["openpgp"]},
    {"action": "hold"},
    {"action": "reject"},
    {"action": "discard"},
    {"action": "forward", "to": ["ben@bank.example"]},
    {"action": "set", "confidential": True},
    {"action": "set", "cipher": "aes-128"},
    {"action": "add_header", "name": "X-A", "value": "1"},
    {"action": "remove_header", "name": "X-A"},
]
method_lists = [["pdf"], ["webmail"], ["smime", "openpgp", "pdf"], ["smime", "webmail"], ["openpgp"]]


def documents(with_pass: bool) -> st.SearchStrategy[dict[str, Any]]:
    actions: list[dict[str, Any]] = [*protecting, *([{"action": "pass"}] * 4 if with_pass else [])]
    lists = [*method_lists, *([["pass"]] * 2 if with_pass else [])]
    words = ["protect", "hold", "discard", *(["pass"] if with_pass else [])]
    names = ("foreign_senders", "dsn", "mdn", "auto_replies", "invitations", "lists", "encrypted")
    rule = st.fixed_dictionaries(
        {"when": st.one_of(st.none(), conditions), "then": st.sampled_from(actions).map(lambda action: [action])},
        optional={"enabled": st.booleans()},
    )
    senders: list[list[str]] = [[], ["*"], ["anna@bank.example"], ["*@bank.example"]]
    return st.fixed_dictionaries(
        {
            "rules": st.lists(rule, max_size=4).map(lambda rules: [{"id": f"r{i}", **r} for i, r in enumerate(rules)]),
            "defaults": st.dictionaries(patterns, st.sampled_from(lists), max_size=3).map(
                lambda found: [{"recipient": p, "methods": m} for p, m in found.items()]
            ),
            "methods": st.sampled_from(lists),
            "switches": st.fixed_dictionaries({name: st.sampled_from(words) for name in names}).flatmap(
                lambda base: st.builds(
                    lambda large, own: {**base, "too_large": large, "pair_owner": own},
                    st.sampled_from(["webmail", "hold"]),
                    st.sampled_from(["author", "sender"]),
                )
            ),
            "keywords": st.builds(
                lambda who, to: {"plain": {"senders": who, "recipients": to}},
                st.sampled_from(senders if with_pass else [[]]),
                st.sampled_from([["*"], ["*@partner.example"], []]),
            ),
            "domains": st.builds(
                lambda methods, who: {"domains": [{"name": "bank.example", "methods": methods, "senders": who}]},
                st.sampled_from([[], *lists]),
                st.sampled_from([["*"], ["anna@bank.example"]]),
            ),
        }
    )


# Most mails are plain ones, so that most of the search goes on behind the first gates.
rarely = st.sampled_from([False] * 11 + [True])
mostly = st.sampled_from([True] * 11 + [False])
sides = st.sampled_from([Side.INSIDE] * 5 + [Side.OUTSIDE, Side.OUTSIDE, Side.SUBMISSION])
classes = st.sampled_from(["public", "public", "secret", ""])
texts = st.one_of(
    st.sampled_from(["public", "secret", "pdf", "plain", "yes", "no", "show", "new", ""]), st.text(max_size=8)
)
fields = ["x-class", "x-letterlock-method", "x-letterlock-confidential", "x-letterlock-password", "from"]
headers = st.one_of(
    st.just({}),
    st.builds(lambda values: {"x-class": tuple(values)}, st.lists(classes, min_size=1, max_size=3)),
    st.just({"x-letterlock-method": ("plain",)}),
    st.dictionaries(st.sampled_from(fields), st.lists(texts, max_size=3).map(tuple), max_size=3),
)
facts_strategy = st.builds(
    Facts,
    side=sides,
    listener=st.sampled_from(["inside", "mx", ""]),
    client_ip=st.sampled_from([*["10.0.0.1"] * 9, "::ffff:10.0.0.1", "2001:db8::1", "", "junk"]),
    login=st.sampled_from([*[None] * 6, "anna", "erp"]),
    login_addresses=st.sampled_from([(), ("anna@bank.example",), ("*",), ("*",)]),
    delegated_authors=st.sampled_from([(), ("boss@bank.example",)]),
    reverse_path=st.sampled_from(["", *ADDRESSES[:3], *ADDRESSES]),
    authors=st.lists(st.sampled_from([*ADDRESSES[:3], *ADDRESSES]), max_size=3, unique=True).map(tuple),
    sender=st.one_of(st.none(), st.sampled_from(ADDRESSES)),
    is_from_readable=mostly,
    is_foreign=rarely,
    may_write_outside=mostly,
    is_reverse_path_own=st.booleans(),
    pair_owner=st.sampled_from(["", *["anna@bank.example"] * 5, "boss@bank.example"]),
    own_domain=st.sampled_from(["", "bank.example"]),
    keywords=st.one_of(
        st.just(()), st.just(("{plain}",)), st.lists(st.sampled_from(TOKENS), max_size=3, unique=True).map(tuple)
    ),
    headers=headers,
    named=st.sampled_from([frozenset(), frozenset(OUTSIDERS)]),
    sensitivity=st.sampled_from([*[None] * 9, "private", "company-confidential", "x"]),
    priority=st.sampled_from(["high", "normal", "low", "x"]),
    size=st.sampled_from([0, 1, 50_000, 70_000, 1 << 27]),
    attachments=st.lists(
        st.builds(AttachmentFacts, st.sampled_from(["a.pdf", "b.EXE", "\u202ec"]), texts, st.integers(0, 1 << 30)),
        max_size=2,
    ).map(tuple),
    auto_submitted=st.sampled_from([*[None] * 5, "no", "auto-replied", "auto-generated", "x"]),
    is_auto_submitted=st.booleans(),
    is_encrypted=rarely,
    is_signed=st.booleans(),
    is_list=rarely,
    is_mdn=rarely,
    is_dsn=rarely,
    is_invitation=rarely,
    is_system=rarely,
    received_count=st.integers(0, 100),
    is_loop=rarely,
    time_ms=st.integers(0, 1 << 45),
)
recipients = st.builds(
    RecipientFacts,
    address=st.sampled_from(OUTSIDERS),
    is_inside=st.just(False),
    partner=st.builds(PartnerFacts, st.sampled_from([None, "aes-128"]), st.sampled_from([None, 60_000])),
    possible=st.one_of(st.just(frozenset(Method)), st.frozensets(st.sampled_from(list(Method)))),
    forwarded_from=st.sampled_from(
        [*[()] * 5, ("anna@bank.example",), ("a@b.example",) * 6, ("jonas@partner.example",)]
    ),
)


def fits(pattern: str, text: str) -> bool:
    """Match naively: a star is any run, tried at every length."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(fits(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] == text[0] and fits(pattern[1:], text[1:])


def alone(facts: Facts) -> list[Facts]:
    """Return the mail as if each author had written it alone, with each value of the header field alone."""
    by_author = [replace(facts, authors=(author,)) for author in facts.authors] or [facts]
    values = facts.headers.get("x-class", ())
    if not values:
        return by_author
    return [replace(one, headers={**one.headers, "x-class": (value,)}) for one in by_author for value in values]


@dataclass(frozen=True)
class Oracle:
    """Asks the documents' JSON whether something named in a decision says pass."""

    parts: Mapping[str, Any]
    facts: Facts
    to: RecipientFacts

    def says_pass(self, source: str) -> bool:
        facts = self.facts
        if source == "fixed:dsn":
            return facts.is_system and facts.is_dsn and not facts.reverse_path
        if source.startswith("switch:"):
            return (
                bool(self.parts["switches"][source.removeprefix("switch:")] == "pass")
                and facts.side is not Side.OUTSIDE
            )
        if source in ("keyword plain", "field plain"):
            return self.plain_is_allowed()
        if source == "default:policy":
            return bool(self.parts["methods"] == ["pass"])
        if source.startswith("default:from-"):
            return bool(self.parts["domains"]["domains"][0]["methods"] == ["pass"])
        if source.startswith("default:"):
            pattern = source.removeprefix("default:")
            found = {one["recipient"]: one["methods"] for one in self.parts["defaults"]}
            return found.get(pattern) == ["pass"] and fits(pattern, self.to.address)
        rule = next((one for one in self.parts["rules"] if one["id"] == source), None)
        return rule is not None and rule["then"] == [{"action": "pass"}] and self.rule_fits_for_everybody(rule)

    def plain_is_allowed(self) -> bool:
        plain = self.parts["keywords"]["plain"]
        asked = "{plain}" in self.facts.keywords or "plain" in {
            value.strip().lower() for value in self.facts.headers.get("x-letterlock-method", ())
        }
        people = [*self.facts.authors, *([self.facts.sender] if self.facts.sender else [])]
        return (
            asked
            and bool(self.facts.authors)
            and all(any(fits(pattern, one) for pattern in plain["senders"]) for one in people)
            and any(fits(pattern, self.to.address) for pattern in plain["recipients"])
        )

    def rule_fits_for_everybody(self, rule: Mapping[str, Any]) -> bool:
        if not rule.get("enabled", True):
            return False
        condition = read_condition(rule["when"], "when", organisation().keywords.keywords)
        return all(condition.evaluate(one, self.to, False) for one in alone(self.facts))

    def is_confidential(self) -> bool:
        secret = {value.strip().lower() for value in self.facts.headers.get("x-letterlock-confidential", ())}
        return (
            "{confidential}" in self.facts.keywords
            or not secret.isdisjoint({"yes", "true", "1"})
            or self.facts.sensitivity == "company-confidential"
        )


def check_pass(decision: Decision, parts: Mapping[str, Any], facts: Facts, to: RecipientFacts) -> None:
    oracle = Oracle(parts, facts, to)
    assert decision.rules, "a pass without a name"
    source = decision.rules[-1]
    assert oracle.says_pass(source), f"{source} does not say pass"
    assert facts.side is not Side.OUTSIDE or to.forwarded_from or facts.is_system
    if not facts.is_system and facts.side is not Side.OUTSIDE and not facts.is_foreign:
        assert not oracle.is_confidential()
    assert not (facts.is_loop and not facts.is_system)


@settings(max_examples=200, deadline=None)
@given(documents(with_pass=True), facts_strategy, recipients, WORKING)
def test_nothing_passes_to_the_outside_unless_something_that_says_pass_was_hit(
    parts: dict[str, Any], facts: Facts, to: RecipientFacts, working: frozenset[Method]
) -> None:
    ruleset = compile_ruleset(organisation(**parts), working)
    decision = decide(facts, to, ruleset)
    if decision.method is Method.PASS:
        check_pass(decision, parts, facts, to)
    if decision.method not in (Method.PASS, Method.HOLD, Method.REJECT, Method.DISCARD, Method.FORWARD):
        assert decision.method in working
        assert decision.method in to.possible
        assert decision.sender
    if decision.method is Method.REJECT and not facts.is_loop:
        assert facts.side is not Side.OUTSIDE
        assert facts.is_reverse_path_own
    assert decision.explanation


@settings(max_examples=200, deadline=None)
@given(documents(with_pass=False), facts_strategy, recipients, WORKING)
def test_a_policy_that_nowhere_says_pass_lets_nothing_pass(
    parts: dict[str, Any], facts: Facts, to: RecipientFacts, working: frozenset[Method]
) -> None:
    decision = decide(replace(facts, is_system=False), to, compile_ruleset(organisation(**parts), working))
    assert decision.method is not Method.PASS


@settings(max_examples=150, deadline=None)
@given(documents(with_pass=True), facts_strategy, recipients)
def test_asking_for_confidence_never_opens_what_was_closed(
    parts: dict[str, Any], facts: Facts, to: RecipientFacts
) -> None:
    ruleset = compile_ruleset(organisation(**parts))
    ours = replace(facts, is_foreign=False, is_system=False, side=Side.INSIDE)
    wished = replace(ours, keywords=("{confidential}", *(k for k in ours.keywords if k != "{confidential}")))
    decision = decide(wished, to, ruleset)
    assert decision.method is not Method.PASS
    if decision.method is Method.PDF:
        assert decision.confidential
        assert decision.subject_policy == "generic"


@settings(max_examples=150, deadline=None)
@given(documents(with_pass=True), facts_strategy, recipients)
def test_asking_for_clear_text_without_permission_changes_no_protection(
    parts: dict[str, Any], facts: Facts, to: RecipientFacts
) -> None:
    parts["keywords"] = {"plain": {"senders": []}}
    # A rule may ask for the keyword itself; that is the organisation's word, not the writer's.
    parts["rules"] = [rule for rule in parts["rules"] if "keyword" not in str(rule["when"])]
    ruleset = compile_ruleset(organisation(**parts))
    without = replace(facts, keywords=tuple(k for k in facts.keywords if k != "{plain}"))
    asked = replace(without, keywords=(*without.keywords, "{plain}"))
    assert decide(asked, to, ruleset).method is decide(without, to, ruleset).method


@settings(max_examples=150, deadline=None)
@given(documents(with_pass=True), facts_strategy, recipients)
def test_explaining_gives_the_same_decision_and_never_raises(
    parts: dict[str, Any], facts: Facts, to: RecipientFacts
) -> None:
    where: Organisation = organisation(**parts)
    ruleset = compile_ruleset(where)
    explanation = explain(facts, to, ruleset)
    assert explanation.decision == decide(facts, to, ruleset)
    assert {trace.id for trace in explanation.rules} == {rule.id for rule in where.policy.rules}
    text = render_explanation(explanation)
    assert explanation.decision.method.upper() in text
    assert "\u202e" not in text


several_authors = st.builds(
    lambda facts, authors, values: replace(facts, authors=authors, headers={"x-class": values}, is_from_readable=True),
    facts_strategy,
    st.lists(st.sampled_from(ADDRESSES[:4]), min_size=2, max_size=3, unique=True).map(tuple),
    st.lists(classes, min_size=1, max_size=2).map(tuple),
)


@settings(max_examples=250, deadline=None)
@given(conditions, several_authors, recipients)
def test_what_surely_fits_a_mail_fits_it_for_each_author_and_value_alone(
    condition: dict[str, object], facts: Facts, to: RecipientFacts
) -> None:
    facts = replace(facts, client_ip="10.0.0.1")
    asked = read_condition(condition, "when", organisation().keywords.keywords)
    if asked.evaluate(facts, to, True):
        assert asked.evaluate(facts, to, False), "sure, but not even likely"
        assert all(asked.evaluate(one, to, False) for one in alone(facts))


@settings(max_examples=150, deadline=None)
@given(documents(with_pass=True), facts_strategy, recipients)
def test_mail_from_the_outside_for_the_outside_is_never_relayed(
    parts: dict[str, Any], facts: Facts, to: RecipientFacts
) -> None:
    ruleset = compile_ruleset(organisation(**parts))
    came = replace(facts, side=Side.OUTSIDE, is_system=False, is_loop=False, login=None)
    direct = decide(came, replace(to, forwarded_from=()), ruleset)
    assert direct.method is Method.HOLD
    forwarded = decide(came, replace(to, forwarded_from=("anna@bank.example",)), ruleset)
    if forwarded.method is Method.PASS:
        assert forwarded.rules[-1] in {rule["id"] for rule in parts["rules"]}


@settings(max_examples=150, deadline=None)
@given(several_authors, st.lists(st.sampled_from(ADDRESSES[:3]), max_size=3), recipients)
def test_clear_text_needs_the_permission_of_everybody_named(
    facts: Facts, allowed: list[str], to: RecipientFacts
) -> None:
    parts: dict[str, Any] = {"keywords": {"plain": {"senders": allowed}}}
    ours = replace(facts, keywords=("{plain}",), is_foreign=False, is_system=False, side=Side.INSIDE)
    decision = decide(
        ours,
        to,
        compile_ruleset(organisation(**parts, switches={"dsn": "hold", "mdn": "hold", "auto_replies": "hold"})),
    )
    if decision.method is Method.PASS:
        assert {*ours.authors, *([ours.sender] if ours.sender else [])} <= set(allowed)


people: st.SearchStrategy[dict[str, object]] = st.recursive(
    st.one_of(
        st.builds(lambda p: {"sender": [p]}, st.sampled_from(ADDRESSES[:3])),
        st.builds(lambda p: {"sender_domain": [p]}, st.sampled_from(["bank.example", "sub.*"])),
        st.builds(lambda p: {"header": {"name": "x-class", "is": [p]}}, st.sampled_from(["public", "secret"])),
    ),
    lambda inner: st.one_of(
        st.builds(lambda c: {"not": c}, inner), st.builds(lambda c: {"any": c}, st.lists(inner, min_size=1, max_size=2))
    ),
    max_leaves=3,
)


@settings(max_examples=250, deadline=None)
@given(people, several_authors, recipients)
def test_a_rule_passes_a_mail_only_if_it_would_pass_it_for_each_author_alone(
    condition: dict[str, object], facts: Facts, to: RecipientFacts
) -> None:
    rules = [{"id": "r", "when": condition, "then": [{"action": "pass"}]}]
    ruleset = compile_ruleset(organisation(rules=rules))
    ours = replace(
        facts,
        client_ip="10.0.0.1",
        side=Side.INSIDE,
        is_loop=False,
        is_system=False,
        login=None,
        may_write_outside=True,
    )
    if decide(ours, to, ruleset).rules[-1:] == ("r",):
        assert all(ruleset.rules[0].condition.evaluate(one, to, False) for one in alone(ours))
