"""Look over a policy before it is activated: where could something pass in the clear, what can never happen (B14).

Reads documents only; decides nothing. A finding is advice, except `error`: such a policy should not be activated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from relay.core.decision import Method
from relay.core.documents.keywords import KeywordsDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.patterns import Wildcard
from relay.core.documents.policy import TERMINAL, Action, ActionKind, Cipher, Rule, SpecialMail
from relay.core.documents.reading import DocumentError
from relay.policy.rules.condition import Always, Condition
from relay.policy.rules.group import AllOf, AnyOf, NotOf
from relay.policy.rules.recipient import RecipientDomainIs, RecipientIs
from relay.policy.rules.sender import SenderDomainIs, SenderIs
from relay.policy.ruleset import WORKING_METHODS, compile_rule

_HEADER_ACTIONS = (ActionKind.ADD_HEADER, ActionKind.REMOVE_HEADER)


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: where (path of the key), a short code for programs, and what and why in a sentence."""

    severity: Severity
    code: str
    path: str
    text: str


def lint_organisation(organisation: Organisation, working: frozenset[Method] = WORKING_METHODS) -> tuple[Finding, ...]:
    """Return all findings, the worst first. Never raises."""
    found = [
        *_lint_conditions(organisation),
        *_lint_passes(organisation),
        *_lint_defaults(organisation),
        *_lint_switches(organisation),
        *_lint_reach(organisation.policy.rules, organisation.keywords),
        *_lint_methods(organisation, working),
        *_lint_header_actions(organisation),
    ]
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def render_findings(findings: tuple[Finding, ...]) -> str:
    """Return the findings as plain text, a line each, without a final line end."""
    if not findings:
        return "No findings."
    return "\n".join(f"{one.severity}: {one.path}: {one.text} [{one.code}]" for one in findings)


def _compile(rule: Rule, index: int, keywords: KeywordsDocument) -> Condition | None:
    try:
        return compile_rule(rule, f"policy.rules[{index}]", keywords).condition
    except DocumentError:
        return None


def _lint_conditions(organisation: Organisation) -> Iterator[Finding]:
    for index, rule in enumerate(organisation.policy.rules):
        try:
            compile_rule(rule, f"policy.rules[{index}]", organisation.keywords)
        except DocumentError as error:
            yield Finding(Severity.ERROR, "bad-condition", error.key, f"{error.problem}. {error.fix}")


def _limits_people(condition: Condition) -> bool:
    """Tell whether the condition surely narrows sender or recipient to something less than everybody."""
    if isinstance(condition, (SenderIs, SenderDomainIs, RecipientIs, RecipientDomainIs)):
        return "*" not in condition.patterns.patterns and "*@*" not in condition.patterns.patterns
    if isinstance(condition, AllOf):
        return any(map(_limits_people, condition.parts))
    if isinstance(condition, AnyOf):
        return all(map(_limits_people, condition.parts))
    return False


def _lint_passes(organisation: Organisation) -> Iterator[Finding]:
    for index, rule in enumerate(organisation.policy.rules):
        terminal = rule.terminal
        if not rule.enabled or terminal is None:
            continue
        condition, path = _compile(rule, index, organisation.keywords), f"policy.rules[{index}]"
        if condition is None:
            continue
        if terminal.kind is ActionKind.PASS:
            yield from _lint_pass(rule, condition, path)
        if terminal.kind is ActionKind.DISCARD and not _limits_people(condition):
            yield Finding(
                Severity.WARNING, "broad-discard", path, f"Rule {rule.id} discards mail of everybody to everybody."
            )
        if terminal.kind is ActionKind.FORWARD:
            yield from _lint_forward(organisation, rule, terminal, path)


def _lint_pass(rule: Rule, condition: Condition, path: str) -> Iterator[Finding]:
    if isinstance(condition, Always):
        text = f"Rule {rule.id} passes every mail in the clear."
        yield Finding(Severity.ERROR, "fail-open", path, text)
    elif not _limits_people(condition):
        text = f"Rule {rule.id} passes mail in the clear without naming senders or recipients."
        yield Finding(Severity.WARNING, "fail-open", path, text)
    for pattern in _patterns(condition):
        head, _, domain = pattern.rpartition("@")
        if domain.startswith("*") and not domain.startswith("*.") and domain != "*" and head in ("", "*"):
            text = f"{pattern} in rule {rule.id} also fits other domains that end so; write *.{domain[1:].lstrip('.')}."
            yield Finding(Severity.WARNING, "loose-pattern", path, text)


def _patterns(condition: Condition) -> Iterator[str]:
    if isinstance(condition, (SenderIs, SenderDomainIs, RecipientIs, RecipientDomainIs)):
        yield from condition.patterns.patterns
    elif isinstance(condition, (AllOf, AnyOf)):
        for part in condition.parts:
            yield from _patterns(part)
    elif isinstance(condition, NotOf):
        yield from _patterns(condition.part)


def _lint_forward(organisation: Organisation, rule: Rule, terminal: Action, path: str) -> Iterator[Finding]:
    for address in terminal.to:
        if address.rpartition("@")[2] not in organisation.domains.names():
            text = f"Rule {rule.id} forwards to {address}, which is outside; it is decided anew and may be held there."
            yield Finding(Severity.NOTE, "forward-outside", path, text)


def _lint_defaults(organisation: Organisation) -> Iterator[Finding]:
    policy = organisation.policy
    if policy.methods == (Method.PASS,):
        yield Finding(
            Severity.ERROR, "fail-open", "policy.methods", "Everything that no rule protects leaves in the clear."
        )
    for index, default in enumerate(policy.defaults):
        if default.methods == (Method.PASS,):
            is_all = default.recipient in ("*", "*@*")
            text = f"Mail to {default.recipient} leaves in the clear unless a rule or wish protects it."
            severity = Severity.ERROR if is_all else Severity.WARNING
            yield Finding(severity, "fail-open", f"policy.defaults[{index}]", text)
    for index, own in enumerate(organisation.domains.domains):
        if own.methods == (Method.PASS,):
            text = f"Mail from {own.name} leaves in the clear unless a rule, wish or recipient's default protects it."
            yield Finding(Severity.ERROR, "fail-open", f"domains.domains[{index}].methods", text)
    plain = organisation.keywords.plain
    if "*" in plain.senders and "*" in plain.recipients:
        text = "Every sender may ask for clear text to every recipient."
        yield Finding(Severity.WARNING, "fail-open", "keywords.plain", text)


def _lint_switches(organisation: Organisation) -> Iterator[Finding]:
    switches = organisation.policy.switches
    for name in ("invitations", "lists", "encrypted"):
        if getattr(switches, name) is SpecialMail.PASS:
            text = f"The switch lets {name} leave without protection."
            yield Finding(Severity.WARNING, "fail-open", f"policy.switches.{name}", text)
    if switches.foreign_senders is SpecialMail.PASS:
        text = "Mail of senders of other domains, from the inside to the outside, leaves untouched."
        yield Finding(Severity.NOTE, "foreign-pass", "policy.switches.foreign_senders", text)
    if switches.cipher is Cipher.AES_128:
        text = "AES-128 for everybody; set it for the recipients with old readers only."
        yield Finding(Severity.WARNING, "weak-cipher", "policy.switches.cipher", text)


def _lint_reach(rules: tuple[Rule, ...], keywords: KeywordsDocument) -> Iterator[Finding]:
    ended_by = ""
    earlier: list[tuple[str, Condition, bool]] = []
    for index, rule in enumerate(rules):
        condition = _compile(rule, index, keywords)
        if not rule.enabled or condition is None:
            continue
        path = f"policy.rules[{index}]"
        shadow = ended_by or next((name for name, before, _ in earlier if _covers(before, condition)), "")
        if shadow:
            text = f"Rule {rule.id} is never reached: rule {shadow} ends the search for all that it fits."
            yield Finding(Severity.WARNING, "unreachable", path, text)
        terminal = rule.terminal
        if terminal is not None and terminal.kind in TERMINAL:
            # A strict rule asks more of a mail than its words say, so it covers less.
            is_strict = terminal.kind in (ActionKind.PASS, ActionKind.DISCARD, ActionKind.FORWARD)
            if isinstance(condition, Always) and not ended_by:
                ended_by = rule.id
            if not is_strict:
                earlier.append((rule.id, condition, is_strict))


def _covers(before: Condition, after: Condition) -> bool:
    """Tell whether everything that `after` fits surely fits `before` too. Says no when it is not obvious."""
    if before == after or isinstance(before, Always):
        return True
    if isinstance(before, AnyOf):
        return any(_covers(part, after) for part in before.parts)
    if isinstance(after, AllOf):
        return any(_covers(before, part) for part in after.parts)
    if isinstance(before, (RecipientIs, RecipientDomainIs)) and type(before) is type(after):
        assert isinstance(after, (RecipientIs, RecipientDomainIs))
        wide = [Wildcard(pattern) for pattern in before.patterns.patterns]
        return all(any(one.matches(pattern) for one in wide) for pattern in after.patterns.patterns)
    return False


def _lint_methods(organisation: Organisation, working: frozenset[Method]) -> Iterator[Finding]:
    places: list[tuple[str, tuple[Method, ...]]] = [("policy.methods", organisation.policy.methods)]
    places += [(f"policy.defaults[{i}].methods", d.methods) for i, d in enumerate(organisation.policy.defaults)]
    places += [(f"domains.domains[{i}].methods", d.methods) for i, d in enumerate(organisation.domains.domains)]
    for index, rule in enumerate(organisation.policy.rules):
        terminal = rule.terminal
        if terminal is not None and terminal.kind is ActionKind.PROTECT:
            places.append((f"policy.rules[{index}]", terminal.methods))
        elif terminal is not None and terminal.kind is ActionKind.WEBMAIL:
            places.append((f"policy.rules[{index}]", (Method.WEBMAIL,)))
    for path, methods in places:
        if methods and working.isdisjoint(methods):
            text = f"None of {', '.join(methods)} is possible yet: mail that comes here is held."
            yield Finding(Severity.WARNING, "not-yet-possible", path, text)


def _lint_header_actions(organisation: Organisation) -> Iterator[Finding]:
    policy = organisation.policy
    others = [policy.methods, *(one.methods for one in policy.defaults)]
    others += [one.methods for one in organisation.domains.domains]
    for index, rule in enumerate(policy.rules):
        terminal = rule.terminal
        if not rule.enabled or not any(action.kind in _HEADER_ACTIONS for action in rule.then):
            continue
        if terminal is None:
            reaches = any(Method.WEBMAIL in methods for methods in others)
        else:
            reaches = terminal.kind is ActionKind.WEBMAIL or Method.WEBMAIL in terminal.methods
        if reaches:
            text = f"Rule {rule.id} changes header fields; a mailbox shows none, so on Webmail that does nothing."
            yield Finding(Severity.NOTE, "fields-in-mailbox", f"policy.rules[{index}]", text)
