"""Small builders for policy tests: an organisation around bank.example, facts and recipients with one thing changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from relay.core.decision import Decision, Method
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.keywords import KeywordsDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.shipped import shipped_organisation
from relay.core.envelope import SessionInfo, Side
from relay.policy.decide import decide
from relay.policy.facts import AttachmentFacts, Facts, PartnerFacts, RecipientFacts, gather_facts, gather_recipient
from relay.policy.rules.reader import read_condition
from relay.policy.ruleset import Ruleset, compile_ruleset

ANNA = "anna@bank.example"
BEN = "ben@bank.example"
JONAS = "jonas@partner.example"
STRANGER = "x@elsewhere.example"


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox."""

    address: str


@dataclass(frozen=True, slots=True)
class File:
    """An attachment."""

    name: str
    media_type: str
    estimated_size: int


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as policy sees one."""

    authors: Sequence[Box] = (Box(ANNA),)
    sender: Box | None = None
    to: Sequence[Box] = (Box(JONAS),)
    cc: Sequence[Box] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    size: int = 2000
    auto_submitted: str | None = None
    sensitivity: str | None = None
    importance: str = "normal"
    is_auto_submitted: bool = False
    is_list: bool = False
    is_mdn: bool = False
    is_dsn: bool = False
    is_invitation: bool = False
    is_encrypted: bool = False
    is_signed: bool = False
    files: Sequence[File] = ()

    def decoded_headers(self) -> Mapping[str, tuple[str, ...]]:
        return self.headers

    def attachments(self) -> Sequence[File]:
        return self.files


def organisation(
    *,
    rules: Sequence[object] = (),
    defaults: Sequence[object] = (),
    methods: Sequence[str] | None = None,
    switches: Mapping[str, str] | None = None,
    keywords: Mapping[str, object] | None = None,
    domains: Mapping[str, object] | None = None,
) -> Organisation:
    """Return the shipped organisation of bank.example with parts of its documents replaced, read from JSON."""
    shipped = shipped_organisation("bank.example", "Example Bank")
    policy: dict[str, object] = {"rules": list(rules), "defaults": list(defaults), "switches": dict(switches or {})}
    if methods is not None:
        policy["methods"] = list(methods)
    return replace(
        shipped,
        policy=PolicyDocument.from_json(policy),
        keywords=KeywordsDocument.from_json({**shipped.keywords.to_json(), **(keywords or {})}),
        domains=shipped.domains if domains is None else DomainsDocument.from_json(domains),
        versions={"policy": 7},
    )


def ruleset(**parts: Any) -> Ruleset:
    """Return a compiled ruleset of `organisation(**parts)`."""
    return compile_ruleset(organisation(**parts))


def session(side: Side = Side.INSIDE, login: str | None = None, client: str = "10.0.0.1") -> SessionInfo:
    """Return a session at a listener named after its side."""
    return SessionInfo(side.value, side, client, "client.bank.example", login=login)


def facts(mail: Mail | None = None, reverse_path: str = ANNA, where: Organisation | None = None, **more: Any) -> Facts:
    """Gather facts of a mail that an inside server hands over, unless told otherwise."""
    more.setdefault("session", session())
    return gather_facts(
        mail or Mail(),
        reverse_path=reverse_path,
        organisation=where or organisation(),
        time_ms=1_790_000_000_000,
        **more,
    )


def recipient(address: str = JONAS, where: Organisation | None = None, **more: Any) -> RecipientFacts:
    """Gather facts of a recipient for whom clear text, PDF, S/MIME and webmail are possible."""
    more.setdefault("possible", (Method.PASS, Method.PDF))
    route_limit = more.pop("route_limit", None)
    gathered = gather_recipient(address, organisation=where or organisation(), **more)
    return replace(gathered, route_limit=route_limit)


def decided(mail: Mail | None = None, to: str = JONAS, reverse_path: str = ANNA, **parts: Any) -> Decision:
    """Decide for one recipient under `organisation(**parts)`; `facts_` and `recipient_` change the rest."""
    more, other = parts.pop("facts_", {}), parts.pop("recipient_", {})
    where = organisation(**parts)
    return decide(facts(mail, reverse_path, where, **more), recipient(to, where, **other), compile_ruleset(where))


def fits(condition: object, given: Facts, to: RecipientFacts | None = None, strict: bool = False) -> bool:
    """Evaluate a condition's JSON."""
    table = organisation().keywords.keywords
    return read_condition(condition, "when", table).evaluate(given, to or recipient(), strict)


__all__ = [
    "ANNA",
    "BEN",
    "JONAS",
    "STRANGER",
    "AttachmentFacts",
    "Box",
    "File",
    "Mail",
    "PartnerFacts",
    "decided",
    "facts",
    "fits",
    "organisation",
    "recipient",
    "ruleset",
    "session",
]
