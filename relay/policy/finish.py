"""From chosen methods to a decision: what is possible, who owns the password, what is too large, which options count.

Every way out of here that is not certain is a hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relay.core.decision import OLD_CIPHER, Decision, HeaderChange, Method, Reason
from relay.core.documents.policy import Cipher, PasswordMode, Registration, ReplySecret, SubjectPolicy, TooLarge
from relay.core.envelope import Side
from relay.policy.case import Case, RuleOutcome
from relay.policy.choose import Choice
from relay.policy.facts import RecipientFacts
from relay.policy.ruleset import Ruleset
from relay.policy.wishes import Wishes

_NAMES = {
    Method.SMIME: "S/MIME",
    Method.OPENPGP: "OpenPGP",
    Method.WEBMAIL: "Webmail",
    Method.PDF: "PDF",
    Method.PASS: "clear text",
}


def hold(ruleset: Ruleset, reason: Reason, explanation: str, rules: Sequence[str] = (), text: str = "") -> Decision:
    """Return a decision to hold. `text` is for the sender."""
    return Decision(Method.HOLD, reason, explanation, tuple(rules), ruleset.version, text=text)


def hide_bcc(case: Case) -> tuple[HeaderChange, ...]:
    """Return the removal of a Bcc field that a client of ours left in (RFC 5322 3.6.3), or nothing.

    Mail of strangers is not touched: what they show is theirs to show.
    """
    if "bcc" not in case.facts.headers or case.facts.is_foreign or case.facts.side is Side.OUTSIDE:
        return ()
    return (HeaderChange("Bcc", None),)


def finish_outbound(case: Case, outcome: RuleOutcome, wishes: Wishes, choice: Choice) -> Decision:
    """Return the decision for a copy to the outside. Pure."""
    facts, recipient, ruleset, hits = case.facts, case.recipient, case.ruleset, outcome.hits
    rules = tuple(hits) if choice.source in hits else (*hits, choice.source)
    if choice.methods == (Method.HOLD,):
        return hold(ruleset, choice.reason, f"Held because {choice.cause}.", rules)
    if choice.methods == (Method.DISCARD,):
        return Decision(Method.DISCARD, choice.reason, f"Discarded because {choice.cause}.", rules, ruleset.version)
    if choice.methods == (Method.PASS,):
        return Decision(
            Method.PASS,
            choice.reason,
            f"Passes in the clear because {choice.cause}.",
            rules,
            ruleset.version,
            headers=(*outcome.headers, *wishes.removals, *hide_bcc(case)),
            subject_strip=wishes.strip,
            warnings=choice.warnings,
        )
    method, skipped = _first_possible(choice.methods, recipient, ruleset)
    if method is None:
        problem = _sentence(skipped)
        text = f"The protection that was asked for cannot be given: {problem}"
        return hold(ruleset, Reason.NOT_YET_POSSIBLE, f"Held because {choice.cause}, but {problem}", rules, text)
    if not facts.pair_owner:
        return hold(
            ruleset,
            Reason.SENDER,
            f"Held because {choice.cause}, but no sender of an own domain is named who could be told the password.",
            rules,
        )
    limit = find_limit(recipient, ruleset)
    # What a person released has no limit: he has seen the size.
    if method is Method.PDF and facts.size > limit and choice.reason is not Reason.OPERATOR:
        if not _may_be_webmail(recipient, ruleset):
            return _hold_large(ruleset, limit, rules)
        method, skipped = Method.WEBMAIL, (*skipped, f"the PDF would be over {limit} octets")
    if skipped:
        choice = replace(choice, cause=f"{choice.cause}; skipped: {'; '.join(skipped)}")
    return _protect(case, outcome, wishes, replace(choice, methods=(method,)), rules)


def find_limit(recipient: RecipientFacts, ruleset: Ruleset) -> int:
    """Return the octets that a finished mail to the recipient may have: the least of policy, partner and route."""
    limits = (ruleset.size_limit, recipient.partner.size_limit, recipient.route_limit)
    return min(limit for limit in limits if limit)


def decide_overrun(decision: Decision, recipient: RecipientFacts, ruleset: Ruleset) -> Decision:
    """Return what becomes of a copy decided as PDF whose finished mail turned out over the limit. Pure."""
    limit = find_limit(recipient, ruleset)
    if decision.method is not Method.PDF or not _may_be_webmail(recipient, ruleset):
        return _hold_large(ruleset, limit, decision.rules)
    # Whoever registered for PDF gets this mail in a mailbox all the same, without being asked again.
    options = {name: value for name, value in decision.options.items() if name != "registration"}
    return replace(
        decision,
        method=Method.WEBMAIL,
        options=options,
        explanation=f"Protected as Webmail because the finished PDF mail is over {limit} octets. Before: "
        + decision.explanation,
        policy_version=ruleset.version,
        warnings=tuple(warning for warning in decision.warnings if warning != OLD_CIPHER),
    )


def _may_be_webmail(recipient: RecipientFacts, ruleset: Ruleset) -> bool:
    return ruleset.switches.too_large is TooLarge.WEBMAIL and _is_possible(Method.WEBMAIL, recipient, ruleset)


def _hold_large(ruleset: Ruleset, limit: int, rules: Sequence[str]) -> Decision:
    text = f"The protected mail is larger than the {limit} octets that the recipient takes."
    return hold(ruleset, Reason.TOO_LARGE, f"Held because it is over {limit} octets for this recipient.", rules, text)


def _is_possible(method: Method, recipient: RecipientFacts, ruleset: Ruleset) -> bool:
    return method in ruleset.working and method in recipient.possible


def _first_possible(
    methods: Sequence[Method], recipient: RecipientFacts, ruleset: Ruleset
) -> tuple[Method | None, tuple[str, ...]]:
    skipped: list[str] = []
    for method in methods:
        if method is Method.PASS:
            # read_methods refuses "pass" among others; if it came here all the same, it must not count.
            continue
        if method not in ruleset.working:
            skipped.append(f"{_NAMES.get(method, method)} is not yet possible")
        elif method not in recipient.possible:
            where = "as no portal is linked" if method is Method.WEBMAIL else "for this recipient"
            skipped.append(f"{_NAMES.get(method, method)} is not possible {where}")
        else:
            return method, tuple(skipped)
    return None, tuple(skipped)


def _sentence(skipped: Sequence[str]) -> str:
    return ("; ".join(skipped) or "no method is left") + "."


def _protect(case: Case, outcome: RuleOutcome, wishes: Wishes, choice: Choice, rules: tuple[str, ...]) -> Decision:
    facts, recipient, ruleset, method = case.facts, case.recipient, case.ruleset, choice.methods[0]
    switches = ruleset.switches
    cipher: str = recipient.partner.cipher or switches.cipher
    password, subject, registration = switches.password, switches.subject, switches.registration
    for action in (*outcome.options, *((outcome.terminal,) if outcome.terminal is not None else ())):
        cipher = action.cipher or cipher
        password = action.password or password
        subject = action.subject or subject
        registration = action.registration or registration
    is_confidential = wishes.is_confidential or outcome.is_confidential
    if is_confidential:
        subject = SubjectPolicy.GENERIC
    warnings = list(choice.warnings)
    if method is Method.PDF and cipher != Cipher.AES_256:
        warnings.append(OLD_CIPHER)
    if wishes.renews_password and password is PasswordMode.MESSAGE:
        warnings.append("A new password was asked for, but every message has its own.")
    secret = f"; confidential by {wishes.confidential_source}" if wishes.is_confidential else ""
    if wishes.is_confidential:
        rules = (*rules, wishes.confidential_source)
    # Bcc: an address that To and Cc do not name shares no copy that could name it to others.
    options = {} if recipient.address in facts.named else {"bcc": recipient.address}
    has_password = method is Method.WEBMAIL or password is PasswordMode.PAIR
    # What a person released goes now; and there is no page to register on where no portal is linked.
    if registration is Registration.ON and has_password and choice.reason is not Reason.OPERATOR:
        options |= {"registration": "on"} if _is_possible(Method.WEBMAIL, recipient, ruleset) else {}
    if switches.reply_secret is ReplySecret.PRINTED_CODE:
        options["reply_secret"] = str(switches.reply_secret)
    return Decision(
        method,
        choice.reason,
        f"Protected as {_NAMES[method]} because {choice.cause}{secret}.",
        rules,
        ruleset.version,
        confidential=is_confidential,
        cipher=str(cipher),
        password_mode=str(password),
        show_password=wishes.shows_password,
        new_password=wishes.renews_password and password is PasswordMode.PAIR,
        headers=(*outcome.headers, *wishes.removals, *hide_bcc(case)),
        subject_strip=wishes.strip,
        subject_policy=str(subject),
        warnings=tuple(warnings),
        options=options,
        sender=facts.pair_owner,
    )
