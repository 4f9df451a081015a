"""Decide for one recipient: pure, fail-closed, the same for the same facts. No socket, database or clock.

The order (docs/policy.md says why):
 1. what no policy may change: our own mails, loops, mail from the outside to the outside, a login's own addresses;
 2. the rules, first to last, until one ends the search;
 3. to the inside: pass. To the outside: the writer's wish, the rule, {plain} where allowed, switches for special mail,
    the defaults by recipient, sender domain, policy;
 4. is the method possible, is there an owner for the password, is it small enough.
Nothing passes to the outside unless a rule, wish, switch or default that says pass is named in the decision. Anything
unexpected holds the mail (B9).
"""

from __future__ import annotations

from typing import Protocol

from relay.core.decision import Decision, Method, Reason
from relay.core.documents.patterns import PatternSet
from relay.core.documents.policy import Action, ActionKind
from relay.core.envelope import Side
from relay.policy.case import Case, RuleOutcome
from relay.policy.choose import choose_methods
from relay.policy.facts import Direction, Facts, MailKind, RecipientFacts, direction_of
from relay.policy.finish import finish_outbound, hide_bcc, hold
from relay.policy.ruleset import CompiledRule, Ruleset
from relay.policy.wishes import NO_WISHES, Wishes, read_wishes

MOST_FORWARDS = 5


class Recorder(Protocol):
    """Who wants to know how a decision came about. Must not change it."""

    def rule_asked(self, rule: CompiledRule, fits: bool | None, error: str) -> None:
        """A rule was asked; `fits` None means it failed with `error` (the exception's type)."""
        ...

    def step_taken(self, text: str) -> None:
        """Something was considered, in plain words without mail text."""
        ...


def decide(facts: Facts, recipient: RecipientFacts, ruleset: Ruleset, recorder: Recorder | None = None) -> Decision:
    """Return the decision for one recipient. Never raises: a fault holds the mail."""
    try:
        return _decide(facts, recipient, ruleset, recorder)
    except Exception as error:  # a fault of ours delays the mail, it never sends it in clear
        return Decision(
            Method.HOLD,
            Reason.SYSTEM,
            f"Held because deciding failed with {type(error).__name__}.",
            policy_version=ruleset.version,
        )


def _decide(facts: Facts, recipient: RecipientFacts, ruleset: Ruleset, recorder: Recorder | None) -> Decision:
    case = Case(facts, recipient, ruleset, direction_of(facts, recipient))
    fixed = _decide_fixed(case)
    if fixed is not None:
        if recorder is not None:
            recorder.step_taken("No rule was asked: this stands before all policy.")
        return fixed
    outcome = ask_rules(case, recorder)
    if outcome.failed:
        return hold(ruleset, Reason.SYSTEM, f"Held because rule {outcome.failed} could not be asked.", outcome.hits)
    stopped = _stop(case, outcome)
    if stopped is not None:
        return stopped
    if recipient.is_inside:
        return _pass_inside(case, outcome)
    is_ours = case.direction is Direction.OUTBOUND and not facts.is_foreign
    wishes = read_wishes(facts, ruleset.keywords) if is_ours else NO_WISHES
    if wishes.problem:
        text = f"The field {wishes.problem} asks for something that Letterlock does not know."
        sentence = f"Held because field {wishes.problem} is not understood."
        return hold(ruleset, Reason.HEADER, sentence, outcome.hits, text)
    if wishes.command:
        return _command(case, outcome, wishes)
    choice = choose_methods(case, outcome, wishes)
    if recorder is not None:
        for note in choice.notes:
            recorder.step_taken(note)
    return finish_outbound(case, outcome, wishes, choice)


def _command(case: Case, outcome: RuleOutcome, wishes: Wishes) -> Decision:
    """Decide on a mail that is an order to the gateway: it is carried out, or held, and never delivered."""
    facts, ruleset, word = case.facts, case.ruleset, wishes.command
    if not facts.pair_owner:
        sentence = f"Held because it orders {word}, but no sender of an own domain stands behind it."
        return hold(ruleset, Reason.SENDER, sentence, outcome.hits)
    if Method.WEBMAIL not in case.recipient.possible:
        sentence = f"Held because it orders {word}, but no portal is linked."
        return hold(ruleset, Reason.NOT_YET_POSSIBLE, sentence, outcome.hits, "There is no portal with mailboxes.")
    return Decision(
        Method.COMMAND,
        Reason.KEYWORD,
        f"Carried out and not delivered because it orders {word}.",
        (*outcome.hits, f"keyword {word}"),
        ruleset.version,
        options={"command": word},
        sender=facts.pair_owner,
    )


def _decide_fixed(case: Case) -> Decision | None:
    """Decide what no rule may change, or return None."""
    facts, recipient, ruleset = case.facts, case.recipient, case.ruleset
    if recipient.is_return:
        sentence = "Read by the gateway itself, because it answers one of its own mails."
        return Decision(Method.RETURN, Reason.SYSTEM, sentence, ("fixed:return",), ruleset.version)
    if facts.is_system:
        return _decide_system(case)
    if facts.is_loop:
        # RFC 5321 6.3; a DSN tells the sender, unless there is nobody to tell (RFC 5321 4.5.5).
        if not facts.reverse_path:
            return hold(ruleset, Reason.LOOP, "Held because it loops and has a null reverse-path.")
        return Decision(
            Method.REJECT,
            Reason.LOOP,
            "Returned because it has passed through too many hops.",
            ("fixed:loop",),
            ruleset.version,
            status="5.4.6",
            text="The message is in a loop: it has passed through too many mail servers.",
        )
    if len(recipient.forwarded_from) >= MOST_FORWARDS or recipient.address in recipient.forwarded_from:
        return hold(ruleset, Reason.LOOP, "Held because rules forward it in a circle.")
    if case.direction is Direction.TRANSIT and not recipient.forwarded_from:
        return hold(ruleset, Reason.SYSTEM, "Held because it came from the outside for the outside.")
    return _check_author(case)


def _decide_system(case: Case) -> Decision:
    version = case.ruleset.version
    if case.recipient.is_inside:
        sentence = "Passes because it is our own mail to the inside."
        return Decision(Method.PASS, Reason.SYSTEM, sentence, ("fixed:system",), version)
    if case.facts.is_dsn and not case.facts.reverse_path:
        sentence = "Passes because it is our own delivery status."
        return Decision(Method.PASS, Reason.SYSTEM, sentence, ("fixed:dsn",), version)
    # Notices hold passwords: they go to the inside only.
    return hold(case.ruleset, Reason.SYSTEM, "Held because a mail of our own must not go to the outside.")


def _check_author(case: Case) -> Decision | None:
    facts = case.facts
    if facts.login is not None:
        allowed = PatternSet(facts.login_addresses + facts.delegated_authors)
        people = [*facts.authors, *([facts.sender] if facts.sender is not None else [])]
        if not facts.authors or not facts.is_from_readable or not all(map(allowed.matches, people)):
            # A11: a login may use only its own addresses; RFC 6409 6.1 lets a submission server insist.
            action = Action(
                ActionKind.REJECT,
                text="A login may write only from its own addresses; the From or Sender field names another one.",
                status="5.7.1",
            )
            return _refuse(case, action, Reason.SENDER, "the login may not use this From", ("fixed:login",))
    is_robot = facts.kind in (MailKind.DSN, MailKind.MDN)
    if case.direction is Direction.OUTBOUND and not facts.may_write_outside and not is_robot:
        text = "This sender is not among those who may write to the outside."
        return hold(case.ruleset, Reason.SENDER, "Held because the sender may not write to the outside.", (), text)
    return None


def ask_rules(case: Case, recorder: Recorder | None) -> RuleOutcome:
    """Ask the rules, first to last, until one ends the search or cannot be asked."""
    facts, recipient = case.facts, case.recipient
    outcome = RuleOutcome()
    for rule in case.ruleset.rules:
        try:
            fits = rule.condition.evaluate(facts, recipient, rule.is_strict)
        except Exception as error:  # a rule that cannot be asked might have been the one that holds
            outcome.failed = rule.id
            if recorder is not None:
                recorder.rule_asked(rule, None, type(error).__name__)
            return outcome
        if recorder is not None:
            recorder.rule_asked(rule, fits, "")
        if not fits:
            continue
        outcome.hits.append(rule.id)
        outcome.headers.extend(rule.headers)
        outcome.options.extend(rule.options)
        if rule.terminal is not None:
            outcome.terminal, outcome.rule = rule.terminal, rule.id
            return outcome
    return outcome


def _stop(case: Case, outcome: RuleOutcome) -> Decision | None:
    """Return the decision of a rule's action that is not about protection, or None."""
    action, rule, version = outcome.terminal, outcome.rule, case.ruleset.version
    hits = tuple(outcome.hits)
    if action is None:
        return None
    if action.kind is ActionKind.HOLD:
        return hold(case.ruleset, Reason.RULE, f"Held because rule {rule} says so.", hits, action.text)
    if action.kind is ActionKind.REJECT:
        return _refuse(case, action, Reason.RULE, f"rule {rule} says so", hits)
    if action.kind is ActionKind.DISCARD:
        return Decision(Method.DISCARD, Reason.RULE, f"Discarded because rule {rule} says so.", hits, version)
    if action.kind is ActionKind.FORWARD:
        if not {case.recipient.address, *case.recipient.forwarded_from}.isdisjoint(action.to):
            return hold(case.ruleset, Reason.LOOP, f"Held because rule {rule} forwards it in a circle.", hits)
        return Decision(
            Method.FORWARD,
            Reason.RULE,
            f"Goes to other recipients, decided anew for each, because rule {rule} says so.",
            hits,
            version,
            headers=tuple(outcome.headers),
            forward_to=action.to,
        )
    return None


def _refuse(case: Case, action: Action, reason: Reason, cause: str, rules: tuple[str, ...]) -> Decision:
    """Reject toward an inside sender; hold toward anybody else, whose address may be forged (backscatter)."""
    if case.facts.side is Side.OUTSIDE or not case.facts.is_reverse_path_own:
        sentence = f"Held, since only inside senders are sent a rejection, because {cause}."
        return hold(case.ruleset, reason, sentence, rules, action.text)
    return Decision(
        Method.REJECT,
        reason,
        f"Rejected because {cause}.",
        rules,
        case.ruleset.version,
        status=action.status,
        text=action.text,
    )


def _pass_inside(case: Case, outcome: RuleOutcome) -> Decision:
    if case.direction is Direction.INBOUND:
        reason, mark = Reason.FOREIGN_SENDER, "default:inbound"
        sentence = "Passes because it comes from the outside to the inside."
    else:
        reason, mark = Reason.INSIDE, "default:internal"
        sentence = "Passes because sender and recipient are inside."
    if outcome.terminal is not None and outcome.terminal.kind is ActionKind.PASS:
        reason, sentence = Reason.RULE, f"Passes because rule {outcome.rule} says so."
    rules = (*outcome.hits, mark)
    headers = (*outcome.headers, *hide_bcc(case))
    return Decision(Method.PASS, reason, sentence, rules, case.ruleset.version, headers=headers)
