"""Explain a decision: every rule and condition, fit or not, and what the result was (B14, the "why").

It runs the real `decide` with a recorder, then asks again, for information only, what the decision did not need to ask.
Shows addresses, the policy's own words and counts; never a subject, a file name or mail text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from relay.core.decision import Decision, Method
from relay.core.documents.policy import Action, ActionKind
from relay.policy.decide import decide
from relay.policy.facts import Direction, Facts, RecipientFacts, direction_of
from relay.policy.rules.condition import Condition
from relay.policy.rules.group import AllOf, AnyOf, NotOf
from relay.policy.ruleset import CompiledRule, Ruleset


class RuleState(StrEnum):
    """What became of a rule."""

    HIT = "hit"
    MISSED = "missed"
    FAILED = "failed"
    NOT_REACHED = "not reached"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One question and its answer. `fits` None means that asking failed with `error` (an exception's type)."""

    text: str
    fits: bool | None
    error: str = ""
    counted: bool = True
    """False when the answer was not needed: another part had settled it."""
    parts: tuple[ConditionTrace, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule, its condition as it stood for this copy, and its actions in words."""

    id: str
    state: RuleState
    condition: ConditionTrace | None = None
    actions: tuple[str, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is to be said about one recipient's decision."""

    recipient: str
    direction: Direction
    sender: tuple[str, ...]
    pair_owner: str
    kind: str
    rules: tuple[RuleTrace, ...]
    steps: tuple[str, ...]
    decision: Decision


@dataclass(slots=True)
class _Recorder:
    asked: dict[str, tuple[bool | None, str]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def rule_asked(self, rule: CompiledRule, fits: bool | None, error: str) -> None:
        self.asked[rule.id] = (fits, error)

    def step_taken(self, text: str) -> None:
        self.steps.append(text)


def explain(facts: Facts, recipient: RecipientFacts, ruleset: Ruleset) -> Explanation:
    """Decide for one recipient and tell how. The decision is the one that `decide` gives. Never raises."""
    recorder = _Recorder()
    decision = decide(facts, recipient, ruleset, recorder)
    rules = [_trace_rule(rule, recorder, facts, recipient) for rule in ruleset.rules]
    rules += [RuleTrace(rule_id, RuleState.DISABLED) for rule_id in ruleset.disabled]
    return Explanation(
        recipient=recipient.address,
        direction=direction_of(facts, recipient),
        sender=facts.policy_senders,
        pair_owner=facts.pair_owner,
        kind=facts.kind.value,
        rules=tuple(rules),
        steps=tuple(recorder.steps),
        decision=decision,
    )


def _trace_rule(rule: CompiledRule, recorder: _Recorder, facts: Facts, recipient: RecipientFacts) -> RuleTrace:
    state = RuleState.NOT_REACHED
    if rule.id in recorder.asked:
        fits, error = recorder.asked[rule.id]
        state = RuleState.FAILED if error else RuleState.HIT if fits else RuleState.MISSED
    condition = trace_condition(rule.condition, facts, recipient, rule.is_strict)
    return RuleTrace(rule.id, state, condition, tuple(describe_rule(rule)), rule.comment)


def trace_condition(
    condition: Condition, facts: Facts, recipient: RecipientFacts, strict: bool, counted: bool = True
) -> ConditionTrace:
    """Ask a condition and all its parts, the unneeded ones too. Never raises."""
    fits: bool | None = None
    error = ""
    try:
        fits = condition.evaluate(facts, recipient, strict)
    except Exception as fault:  # the fault is what is to be shown
        error = type(fault).__name__
    if isinstance(condition, NotOf):
        inner = trace_condition(condition.part, facts, recipient, not strict, counted)
        return ConditionTrace("not", fits, error, counted, (inner,))
    if isinstance(condition, (AllOf, AnyOf)):
        settles = isinstance(condition, AnyOf)
        parts: list[ConditionTrace] = []
        is_needed = counted
        for part in condition.parts:
            traced = trace_condition(part, facts, recipient, strict, is_needed)
            parts.append(traced)
            if traced.fits is settles or traced.fits is None:
                is_needed = False
        return ConditionTrace("any of" if settles else "all of", fits, error, counted, tuple(parts))
    return ConditionTrace(condition.describe(), fits, error, counted)


def describe_rule(rule: CompiledRule) -> Iterator[str]:
    """Yield a rule's actions in words."""
    for change in rule.headers:
        yield f"add the field {change.name}" if change.value is not None else f"remove the field {change.name}"
    for action in rule.options:
        yield "set " + (", ".join(_describe_options(action)) or "nothing")
    if rule.terminal is not None:
        yield _describe_terminal(rule.terminal)


def _describe_options(action: Action) -> Iterator[str]:
    if action.cipher is not None:
        yield f"cipher {action.cipher}"
    if action.password is not None:
        yield f"password per {action.password}"
    if action.subject is not None:
        yield f"subject {action.subject}"
    if action.registration is not None:
        yield f"registration {action.registration}"
    if action.confidential:
        yield "confidential"
    if action.locked:
        yield "locked against wishes"


def _describe_terminal(action: Action) -> str:
    if action.kind is ActionKind.FORWARD:
        return f"forward to {', '.join(action.to)}"
    words = f"protect by {', then '.join(action.methods)}" if action.methods else action.kind.value
    options = ", ".join(_describe_options(action))
    return f"{words} ({options})" if options else words


# --- text -------------------------------------------------------------------------------------------------------------

_ANSWERS = {True: "yes", False: "no", None: "FAILED"}


def render_explanation(explanation: Explanation) -> str:
    """Return the explanation as plain text for a terminal, without a final line end."""
    lines = [
        f"Recipient {explanation.recipient}",
        f"  way          {explanation.direction}",
        f"  sender       {', '.join(explanation.sender) or 'none (null reverse-path)'}",
        f"  password of  {explanation.pair_owner or 'nobody: no sender of an own domain'}",
        f"  kind         {explanation.kind}",
        "  rules" if explanation.rules else "  rules        none",
    ]
    for rule in explanation.rules:
        lines.append(f"    [{rule.state.upper()}] {rule.id}" + (f" - {rule.comment}" if rule.comment else ""))
        if rule.condition is not None:
            lines += _render_condition(rule.condition, 6)
        lines += [f"      -> {action}" for action in rule.actions]
    lines += [f"  considered   {step}" for step in explanation.steps]
    return "\n".join(lines + _render_decision(explanation.decision))


def _render_condition(trace: ConditionTrace, indent: int) -> list[str]:
    answer = _ANSWERS[trace.fits] + (f" with {trace.error}" if trace.error else "")
    aside = "" if trace.counted else " (not needed)"
    lines = [f"{' ' * indent}{answer:<4} {trace.text}{aside}"]
    for part in trace.parts:
        lines += _render_condition(part, indent + 2)
    return lines


def _render_decision(decision: Decision) -> list[str]:
    lines = [f"  result       {decision.method.upper()}: {decision.explanation}"]
    if decision.rules:
        lines.append(f"  by           {', '.join(decision.rules)}")
    if decision.text:
        lines.append(f"  told         {decision.text}")
    if decision.forward_to:
        lines.append(f"  forward to   {', '.join(decision.forward_to)}")
    if decision.method in (Method.PDF, Method.WEBMAIL, Method.SMIME, Method.OPENPGP):
        subject = "not in the clear" if decision.subject_policy == "generic" else "kept"
        password = f"one per {decision.password_mode}" + (", made new" if decision.new_password else "")
        lines += [f"  subject      {subject}", f"  password     {password}, told to {decision.sender}"]
    if decision.options.get("registration") == "on":
        lines.append("  waits        until the recipient has chosen mailbox or PDF, and a password, if he has none")
    if decision.method is Method.PDF:
        lines.append(f"  cipher       {decision.cipher}")
    if decision.subject_strip:
        lines.append(f"  stripped     {' '.join(decision.subject_strip)}")
    for change in decision.headers:
        lines.append(f"  field        {'add' if change.value is not None else 'remove'} {change.name}")
    lines += [f"  warning      {warning}" for warning in decision.warnings]
    lines.append(f"  policy       version {decision.policy_version}")
    return lines
