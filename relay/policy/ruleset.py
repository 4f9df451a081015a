"""The active policy, compiled once: conditions read, patterns split, defaults sorted. Deciding only looks things up.

`compile_ruleset` is also the full check of a policy document before it is activated. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.core.decision import HeaderChange, Method
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.keywords import KeywordsDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.patterns import PatternSet, Wildcard, most_specific
from relay.core.documents.policy import Action, ActionKind, PolicyDocument, Rule, Switches
from relay.message.keywords import KeywordTable
from relay.policy.rules.condition import Condition
from relay.policy.rules.reader import read_condition

WORKING_METHODS = frozenset({Method.PASS, Method.PDF, Method.WEBMAIL})
"""What this version of the product can do, webmail where a portal is linked (a fact of the recipient: `possible`). The
others are not yet possible: skipped in a list, held when alone."""

_LOWERING = frozenset({ActionKind.PASS, ActionKind.DISCARD, ActionKind.FORWARD})


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One enabled rule, ready to ask."""

    id: str
    condition: Condition
    is_strict: bool
    """The rule lowers protection, so it must hold for every author, value and file; see rules.condition."""
    headers: tuple[HeaderChange, ...]
    options: tuple[Action, ...]
    terminal: Action | None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class RecipientDefaults:
    """Defaults by recipient, the most particular first."""

    exact: Mapping[str, tuple[Method, ...]]
    domains: Mapping[str, tuple[Method, ...]]
    wild: tuple[tuple[Wildcard, tuple[Method, ...]], ...]

    def find(self, address: str) -> tuple[str, tuple[Method, ...]] | None:
        """Return pattern and methods for a normalised address, or None."""
        if address in self.exact:
            return address, self.exact[address]
        domain = address.rpartition("@")[2]
        for wild, methods in self.wild:
            if wild.pattern.rpartition("@")[0] not in ("", "*") and wild.matches(address):
                return wild.pattern, methods
        if domain in self.domains:
            return f"*@{domain}", self.domains[domain]
        return next(((wild.pattern, methods) for wild, methods in self.wild if wild.matches(address)), None)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All that `decide` needs besides the facts."""

    rules: tuple[CompiledRule, ...]
    defaults: RecipientDefaults
    domain_methods: Mapping[str, tuple[Method, ...]]
    """By own sender domain."""
    methods: tuple[Method, ...]
    switches: Switches
    keywords: KeywordsDocument
    plain_senders: PatternSet
    plain_recipients: PatternSet
    size_limit: int
    version: int
    working: frozenset[Method] = WORKING_METHODS
    disabled: tuple[str, ...] = field(default=())
    """Ids of rules that are switched off, for explanations."""
    organisation: Organisation | None = None
    """The documents it was compiled from: compiled anew when they are no longer the active ones."""
    keyword_table: KeywordTable = field(default_factory=lambda: KeywordTable(()), compare=False)
    """Finds the organisation's keywords in a decoded subject."""


def compile_rule(rule: Rule, path: str, keywords: KeywordsDocument) -> CompiledRule:
    """Compile one rule. Raises DocumentError that names the key of a bad condition."""
    terminal = rule.terminal
    return CompiledRule(
        id=rule.id,
        condition=read_condition(rule.when, f"{path}.when", keywords.keywords),
        is_strict=terminal is not None and terminal.kind in _LOWERING,
        headers=tuple(
            HeaderChange(action.name, action.value if action.kind is ActionKind.ADD_HEADER else None)
            for action in rule.then
            if action.kind in (ActionKind.ADD_HEADER, ActionKind.REMOVE_HEADER)
        ),
        options=tuple(action for action in rule.then if action.kind is ActionKind.SET),
        terminal=terminal,
        comment=rule.comment,
    )


def _compile_defaults(policy: PolicyDocument) -> RecipientDefaults:
    methods = {default.recipient: default.methods for default in policy.defaults}
    exact = {pattern: found for pattern, found in methods.items() if "*" not in pattern}
    domains = {
        pattern[2:]: found for pattern, found in methods.items() if pattern.startswith("*@") and "*" not in pattern[2:]
    }
    rest = [pattern for pattern in methods if pattern not in exact and pattern[2:] not in domains]
    return RecipientDefaults(
        exact, domains, tuple((Wildcard(pattern), methods[pattern]) for pattern in most_specific(rest))
    )


def compile_ruleset(organisation: Organisation, working: frozenset[Method] = WORKING_METHODS) -> Ruleset:
    """Compile the organisation's policy, keywords and defaults. Raises DocumentError that names the key and the fix."""
    policy, keywords = organisation.policy, organisation.keywords
    # Disabled rules are compiled too, so that a broken one cannot wait to be switched on.
    compiled = [
        (rule, compile_rule(rule, f"policy.rules[{index}]", keywords)) for index, rule in enumerate(policy.rules)
    ]
    return Ruleset(
        rules=tuple(ready for rule, ready in compiled if rule.enabled),
        defaults=_compile_defaults(policy),
        domain_methods=_domain_methods(organisation.domains),
        methods=policy.methods,
        switches=policy.switches,
        keywords=keywords,
        plain_senders=PatternSet(keywords.plain.senders),
        plain_recipients=PatternSet(keywords.plain.recipients),
        size_limit=organisation.limits.outside_message_octets,
        version=organisation.policy_version,
        working=working,
        disabled=tuple(rule.id for rule in policy.rules if not rule.enabled),
        organisation=organisation,
        keyword_table=KeywordTable(keywords.tokens()),
    )


def _domain_methods(domains: DomainsDocument) -> dict[str, tuple[Method, ...]]:
    return {own.name: own.methods for own in domains.domains if own.methods}
