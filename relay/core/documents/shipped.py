"""The documents as shipped: to the outside everything is protected, nobody may ask for clear text.

The method order is S/MIME, OpenPGP, PDF, and webmail in the place of PDF once a portal stands. What does not work yet
is skipped with the reason recorded.
"""

from __future__ import annotations

from dataclasses import replace

from relay.core.decision import Method
from relay.core.documents.brands import Brand, BrandsDocument
from relay.core.documents.domains import DomainsDocument, OwnDomain
from relay.core.documents.keywords import SHIPPED_KEYWORDS, KeywordsDocument
from relay.core.documents.limits import LimitsDocument
from relay.core.documents.listeners import Listener, ListenersDocument
from relay.core.documents.organisation import Organisation
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.reading import read_domain
from relay.core.documents.routes import HopSide, Route, RoutesDocument, TlsPolicy
from relay.core.envelope import Side


def shipped_keywords() -> KeywordsDocument:
    """Return the keyword table as shipped."""
    return KeywordsDocument(dict(SHIPPED_KEYWORDS))


def shipped_policy() -> PolicyDocument:
    """Return the policy as shipped: no rules, everything to the outside protected."""
    return PolicyDocument()


def policy_with_portal(policy: PolicyDocument) -> PolicyDocument:
    """Return the policy for an organisation whose portal stands: the last resort is a mailbox there, no longer a PDF.

    Only the policy's own default changes; rules and defaults that name PDF go on meaning it.
    """
    if policy.methods and policy.methods[-1] is Method.PDF:
        return replace(policy, methods=(*policy.methods[:-1], Method.WEBMAIL))
    return policy


def shipped_organisation(domain: str, name: str) -> Organisation:
    """Return all documents for a new organisation of one domain. Raises DocumentError on a bad domain.

    The hops are meant to be replaced: a Postfix on this host for the outside (port 10025) and the inside mail server
    (port 10026).
    """
    own = read_domain(domain, "domain")
    return Organisation(
        domains=DomainsDocument((OwnDomain(own),)),
        routes=RoutesDocument(
            (
                Route(own, HopSide.INSIDE, "127.0.0.1", 10026, TlsPolicy.MAY),
                Route("*", HopSide.OUTSIDE, "127.0.0.1", 10025, TlsPolicy.MAY),
            )
        ),
        brands=BrandsDocument((Brand("default", name),)),
        keywords=shipped_keywords(),
        policy=shipped_policy(),
        listeners=ListenersDocument(
            (
                Listener("inside", Side.INSIDE, "127.0.0.1", 2525, ("127.0.0.0/8",)),
                Listener("outside", Side.OUTSIDE, "127.0.0.1", 2526),
                Listener("submission", Side.SUBMISSION, "127.0.0.1", 2587, auth=True),
            )
        ),
        limits=LimitsDocument(),
    )
