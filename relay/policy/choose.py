"""Which ordered methods count for a copy to the outside, and by whose word (precedence: docs/policy.md, section 3).

A wish may raise or change protection; it never lowers what a rule demands. What is confidential skips every "pass".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from relay.core.decision import Method, Reason
from relay.core.documents.policy import PROTECTING, ActionKind, SpecialMail
from relay.policy.case import Case, RuleOutcome
from relay.policy.facts import Direction, MailKind
from relay.policy.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Choice:
    """Ordered methods and by whose word. `methods` may also be one of HOLD or DISCARD alone (switches)."""

    methods: tuple[Method, ...]
    reason: Reason
    source: str
    """Id for the decision's rules: a rule's id, `keyword {pdf}`, `switch:dsn`, `default:...`."""
    cause: str
    """Completes "because ..."."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was considered and passed over, for explanations."""


_SPECIAL: dict[MailKind, str] = {
    MailKind.DSN: "dsn",
    MailKind.MDN: "mdn",
    MailKind.AUTO_REPLY: "auto_replies",
    MailKind.ENCRYPTED: "encrypted",
    MailKind.INVITATION: "invitations",
    MailKind.LIST: "lists",
}
_METHODS = {ActionKind.PASS: (Method.PASS,), ActionKind.PDF: (Method.PDF,), ActionKind.WEBMAIL: (Method.WEBMAIL,)}
_SWITCHED = {
    SpecialMail.PASS: (Method.PASS,),
    SpecialMail.HOLD: (Method.HOLD,),
    SpecialMail.DISCARD: (Method.DISCARD,),
}


def choose_methods(case: Case, outcome: RuleOutcome, wishes: Wishes) -> Choice:
    """Return the first candidate that may count. Pure; there is always one, at worst to hold."""
    notes: list[str] = []
    is_confidential = wishes.is_confidential or outcome.is_confidential
    refusal = _refuse_plain(case, outcome, wishes) if wishes.is_plain else ""
    if refusal:
        notes.append(refusal)
    warnings = (refusal,) if refusal else ()
    confidential = wishes.confidential_reason if wishes.is_confidential else Reason.RULE
    turned = False
    for candidate in _candidates(case, outcome, wishes, notes, refusal):
        if is_confidential and candidate.methods == (Method.PASS,):
            notes.append(f"Not passed in the clear, as {candidate.source} says, because it is confidential.")
            turned = True
            continue
        notes.append(f"By {candidate.source}: {', '.join(candidate.methods)}.")
        # Where clear text was turned away, that is the reason for protection; the methods are the next candidate's.
        reason = confidential if turned else candidate.reason
        return replace(candidate, reason=reason, warnings=warnings, notes=tuple(notes))
    # Only a confidential mail whose every default says pass comes here.
    return Choice((Method.PDF,), confidential, "confidential", "it is confidential", warnings, tuple(notes))


def _candidates(
    case: Case, outcome: RuleOutcome, wishes: Wishes, notes: list[str], plain_refusal: str
) -> Iterator[Choice]:
    terminal, rule = outcome.terminal, outcome.rule
    if wishes.method is not None:
        source = wishes.method_source
        if terminal is not None and terminal.locked:
            notes.append(f"The wish by {source} does not count: rule {rule} is locked.")
        else:
            yield Choice((wishes.method,), wishes.method_reason, source, f"{source} asks for it")
    if terminal is not None:
        methods = terminal.methods if terminal.kind is ActionKind.PROTECT else _METHODS[terminal.kind]
        yield Choice(methods, Reason.RULE, rule, f"rule {rule} says so")
    if wishes.is_plain and not plain_refusal:
        cause = "the writer asked for clear text, as allowed"
        yield Choice((Method.PASS,), wishes.plain_reason, wishes.plain_source, cause)
    if case.direction is not Direction.OUTBOUND:
        # Forwarded by a rule from outside to outside: only a rule can say how it leaves.
        yield Choice((Method.HOLD,), Reason.SYSTEM, "fixed:transit", "no rule says how forwarded mail leaves")
        return
    special = _special(case)
    if special is not None:
        yield special
    yield from _defaults(case)


def _refuse_plain(case: Case, outcome: RuleOutcome, wishes: Wishes) -> str:
    """Return why {plain} does not count, or an empty text when it does."""
    facts, ruleset = case.facts, case.ruleset
    if wishes.is_confidential or outcome.is_confidential:
        return "Clear text was asked for, but the mail is confidential."
    if wishes.method is not None:
        return "Clear text was asked for together with a protected method."
    if outcome.terminal is not None and outcome.terminal.kind in PROTECTING:
        return "Clear text was asked for, but a rule protects this mail."
    # Whoever typed it must be allowed, and everybody in whose name it goes.
    people = [*facts.authors, *([facts.sender] if facts.sender is not None else [])]
    if not facts.authors or not facts.is_from_readable or not all(map(ruleset.plain_senders.matches, people)):
        return "Clear text was asked for, but this sender may not send in the clear."
    if not ruleset.plain_recipients.matches(case.recipient.address):
        return "Clear text was asked for, but not allowed to this recipient."
    return ""


def _special(case: Case) -> Choice | None:
    facts, ruleset = case.facts, case.ruleset
    kind = facts.kind
    name = _SPECIAL.get(kind)
    if kind in (MailKind.ORDINARY, MailKind.LIST, MailKind.INVITATION, MailKind.ENCRYPTED) and facts.is_foreign:
        name = "foreign_senders"
    if name is None:
        return None
    methods = _SWITCHED.get(getattr(ruleset.switches, name))
    if methods is None:
        return None
    reason = Reason.FOREIGN_SENDER if name == "foreign_senders" else Reason.SPECIAL_MAIL
    words = name.replace("_", " ")
    return Choice(methods, reason, f"switch:{name}", f"the switch for {words} says so")


def _defaults(case: Case) -> Iterator[Choice]:
    facts, recipient, ruleset = case.facts, case.recipient, case.ruleset
    found = ruleset.defaults.find(recipient.address)
    if found is not None:
        pattern, methods = found
        is_domain = pattern == "*" or pattern.startswith("*@")
        reason = Reason.DOMAIN_DEFAULT if is_domain else Reason.ADDRESS_DEFAULT
        yield Choice(methods, reason, f"default:{pattern}", f"that is the default for {pattern}")
    own = ruleset.domain_methods.get(facts.own_domain)
    if own is not None:
        yield Choice(
            own, Reason.DOMAIN_DEFAULT, f"default:from-{facts.own_domain}", f"that is the default of {facts.own_domain}"
        )
    yield Choice(ruleset.methods, Reason.SHIPPED_DEFAULT, "default:policy", "that is the policy's default")
