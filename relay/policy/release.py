"""A person lets a held copy go by a method of his own choice: complete that choice from the facts.

The person chooses the method; what the writer and the rules asked for besides (no subject in the clear, stripped
keywords, header changes, cipher) still counts, and a confidential mail is not sent in the clear by anybody. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from relay.core.decision import Decision, Method, Reason
from relay.core.documents.policy import PROTECTING, TERMINAL, Action, ActionKind
from relay.policy.case import Case
from relay.policy.choose import Choice
from relay.policy.decide import ask_rules
from relay.policy.facts import Direction, Facts, RecipientFacts, direction_of
from relay.policy.finish import finish_outbound, hold
from relay.policy.ruleset import Ruleset
from relay.policy.wishes import NO_WISHES, read_wishes

_STOPS = TERMINAL - PROTECTING - {ActionKind.PASS}


def complete_release(facts: Facts, recipient: RecipientFacts, ruleset: Ruleset, chosen: Decision) -> Decision:
    """Return the full decision for a copy that a person released by the method of `chosen` (its reason is operator).

    Size limits do not count, since the person has seen them. It is held again when the method is not possible, when
    nobody can be told a password, when clear text was chosen for a confidential mail, or on any fault.
    """
    try:
        return _complete(facts, recipient, ruleset, chosen)
    except Exception as error:  # as in decide: a fault holds
        return hold(ruleset, Reason.SYSTEM, f"Held because completing a release failed with {type(error).__name__}.")


def _go_past_stops(ruleset: Ruleset) -> Ruleset:
    """Return the rules with `hold` and the like answered by the person: the search goes on behind them."""
    return replace(
        ruleset,
        rules=tuple(
            replace(rule, terminal=None) if rule.terminal is not None and rule.terminal.kind in _STOPS else rule
            for rule in ruleset.rules
        ),
    )


def _complete(facts: Facts, recipient: RecipientFacts, ruleset: Ruleset, chosen: Decision) -> Decision:
    case = Case(facts, recipient, ruleset, direction_of(facts, recipient))
    outcome = ask_rules(replace(case, ruleset=_go_past_stops(ruleset)), None)
    if outcome.failed:
        # What could not be asked might have called the mail confidential.
        outcome.options.append(Action(ActionKind.SET, confidential=True))
    if recipient.is_inside:
        return replace(chosen, method=Method.PASS, headers=tuple(outcome.headers), policy_version=ruleset.version)
    is_ours = case.direction is Direction.OUTBOUND and not facts.is_foreign
    wishes = read_wishes(facts, ruleset.keywords) if is_ours else NO_WISHES
    if chosen.method is Method.PASS and (wishes.is_confidential or outcome.is_confidential):
        text = "The mail is confidential; it cannot be released in the clear."
        return hold(ruleset, Reason.OPERATOR, "Held again because it is confidential.", outcome.hits, text)
    choice = Choice((chosen.method,), Reason.OPERATOR, "operator", "a person released it so")
    return finish_outbound(case, outcome, wishes, choice)
