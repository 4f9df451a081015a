"""Documents of a sample organisation, Example Bank (bank.example), for demonstrations and tests.

All names are of the domains that RFC 2606 reserves. Hosts and ports of listeners and hops are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.decision import Method
from relay.core.documents.brands import Brand, BrandsDocument, BrandWording
from relay.core.documents.domains import DomainsDocument, Language, OwnDomain
from relay.core.documents.keywords import KeywordsDocument, Meaning, PlainPermission
from relay.core.documents.limits import LimitsDocument
from relay.core.documents.listeners import Listener, ListenersDocument, ListenerTls
from relay.core.documents.organisation import Organisation
from relay.core.documents.policy import Action, ActionKind, Cipher, PolicyDocument, RecipientDefault, Rule
from relay.core.documents.routes import HopSide, Route, RoutesDocument, TlsPolicy
from relay.core.documents.shipped import shipped_keywords
from relay.core.envelope import Side

OWN_DOMAIN = "bank.example"


@dataclass(frozen=True, slots=True)
class SamplePorts:
    """Where the sample listens and hands over; all on one host."""

    host: str
    inside: int
    outside: int
    submission: int
    inside_hop: int
    outside_hop: int


def sample_policy() -> PolicyDocument:
    """Return the sample's policy: a rule of each common sort, and defaults for two partners."""
    return PolicyDocument(
        rules=(
            Rule(
                "hold-programs",
                {"attachments": {"extensions": ["exe", "scr", "js", "vbs"]}, "direction": ["outbound"]},
                (Action(ActionKind.HOLD, text="Programs are not sent by mail. Ask the help desk."),),
                "Programs as attachments wait for a person.",
            ),
            Rule(
                "board",
                {"sender": ["board@bank.example", "*.board@bank.example"]},
                (
                    Action(
                        ActionKind.PROTECT, (Method.SMIME, Method.OPENPGP, Method.PDF), confidential=True, locked=True
                    ),
                ),
                "Mail of the board is always confidential.",
            ),
            Rule(
                "old-reader",
                {"recipient_domain": ["legacy.example"]},
                (Action(ActionKind.PDF, cipher=Cipher.AES_128),),
                "This partner reads PDF only.",
            ),
            Rule(
                "newsletter",
                {"sender": ["newsletter@bank.example"], "header": {"name": "List-Id"}},
                (Action(ActionKind.PASS),),
                "The public newsletter needs no protection.",
            ),
        ),
        defaults=(
            RecipientDefault("*@partner.example", (Method.SMIME, Method.PDF)),
            RecipientDefault("press@news.example", (Method.PASS,)),
        ),
    )


def sample_brand() -> Brand:
    """Return the sample's corporate design."""
    texts: Mapping[Language, BrandWording] = {
        Language.ENGLISH: BrandWording(footer="Example Bank, 1 Example Street, Sampletown"),
        Language.GERMAN: BrandWording(footer="Example Bank, Beispielstraße 1, Musterstadt"),
    }
    return Brand("default", "Example Bank", contact="Telephone +49 30 5550100\nhttps://bank.example", texts=texts)


def sample_organisation(ports: SamplePorts, *, is_demo_login: bool = True) -> Organisation:
    """Return all documents. `is_demo_login` lets clients log in without TLS, which only loopback hosts may."""
    return Organisation(
        domains=DomainsDocument((OwnDomain(OWN_DOMAIN, alert=f"postmaster@{OWN_DOMAIN}"),)),
        routes=RoutesDocument(
            (
                Route(OWN_DOMAIN, HopSide.INSIDE, ports.host, ports.inside_hop, TlsPolicy.NONE),
                Route("*", HopSide.OUTSIDE, ports.host, ports.outside_hop, TlsPolicy.NONE),
            )
        ),
        brands=BrandsDocument((sample_brand(),)),
        keywords=sample_keywords(),
        policy=sample_policy(),
        listeners=ListenersDocument(
            (
                Listener("inside", Side.INSIDE, ports.host, ports.inside, ("127.0.0.0/8", "::1/128")),
                Listener("outside", Side.OUTSIDE, ports.host, ports.outside),
                Listener(
                    "submission",
                    Side.SUBMISSION,
                    ports.host,
                    ports.submission,
                    tls=ListenerTls.MAY,
                    auth=True,
                    auth_without_tls=is_demo_login,
                ),
            )
        ),
        limits=LimitsDocument(),
    )


def sample_keywords() -> KeywordsDocument:
    """Return the shipped keywords, with {plain} allowed to one department and a mark of the organisation's own."""
    shipped = shipped_keywords()
    return KeywordsDocument(
        {**shipped.keywords, "{archive}": Meaning.MARK},
        PlainPermission(("press.office@bank.example",), ("*@news.example",)),
    )
