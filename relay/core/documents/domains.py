"""Document `domains`: the organisation's own domains, and who of the inside may write for whom.

Own domains are what outside listeners accept mail for (A10) and whose senders are protected. RFC 5321 2.3.5 names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from relay.core.decision import Method
from relay.core.documents.patterns import PatternSet, read_address_pattern
from relay.core.documents.reading import (
    DocumentError,
    Fields,
    JsonObject,
    read_address,
    read_domain,
    read_optional_address,
    require_unique,
)


class Language(StrEnum):
    """Languages that the shipped wording exists in."""

    GERMAN = "de"
    ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class OwnDomain:
    """One own domain. `methods` is this sender domain's ordered default to the outside; empty means the policy's."""

    name: str
    brand: str = "default"
    language: Language = Language.ENGLISH
    methods: tuple[Method, ...] = ()
    postmaster: str = ""
    """Where mail to postmaster goes; empty means postmaster@ the domain."""
    alert: str = ""
    """Who is told of held, shunted and failing mail; empty means the postmaster."""
    senders: tuple[str, ...] = ("*",)
    """Patterns of addresses of this domain that may write to the outside; mail of others is held."""
    recipients: tuple[str, ...] = ("*",)
    """Patterns of addresses of this domain that exist; the outside listener refuses others."""

    def postmaster_address(self) -> str:
        """Return the address that mail to postmaster goes to."""
        return self.postmaster or f"postmaster@{self.name}"

    def alert_address(self) -> str:
        """Return the address that is told of trouble."""
        return self.alert or self.postmaster_address()


@dataclass(frozen=True, slots=True)
class Delegation:
    """Permission to write in the name of others: a login's address, and patterns of the From it may use."""

    delegate: str
    authors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DomainsDocument:
    """All own domains and delegations."""

    KIND: ClassVar[str] = "domains"

    domains: tuple[OwnDomain, ...] = ()
    delegations: tuple[Delegation, ...] = ()

    @classmethod
    def from_json(cls, untrusted_value: object) -> DomainsDocument:
        """Read and check. Raises DocumentError that names the key and the fix."""
        fields = Fields(untrusted_value, cls.KIND)
        domains = fields.items("domains", _read_own_domain)
        if not domains:
            raise DocumentError("domains.domains", "is empty", "Name at least one own domain")
        delegations = fields.items("delegations", _read_delegation, ())
        fields.finish()
        require_unique([domain.name for domain in domains], "domains.domains", "domain")
        return cls(domains, delegations)

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        return {
            "domains": [
                {
                    "name": own.name,
                    "brand": own.brand,
                    "language": own.language.value,
                    "methods": [method.value for method in own.methods],
                    "postmaster": own.postmaster,
                    "alert": own.alert,
                    "senders": list(own.senders),
                    "recipients": list(own.recipients),
                }
                for own in self.domains
            ],
            "delegations": [{"delegate": one.delegate, "authors": list(one.authors)} for one in self.delegations],
        }

    def names(self) -> frozenset[str]:
        """Return the own domains in normal form."""
        return frozenset(own.name for own in self.domains)

    def find(self, domain: str) -> OwnDomain | None:
        """Return the own domain of that normal form, or None."""
        return next((own for own in self.domains if own.name == domain), None)

    def is_accepted(self, address: str) -> bool:
        """Tell whether the normalised address is one of ours: its domain is own and a recipient pattern fits."""
        own = self.find(address.rpartition("@")[2])
        return own is not None and PatternSet(own.recipients).matches(address)


def read_methods(untrusted_value: object, path: str, *, empty: bool) -> tuple[Method, ...]:
    """Read an ordered list of methods: `pass` or one method alone, or several that end in `pdf` or `webmail`.

    Raises DocumentError: a list that could fall through to clear text, or to nothing, is refused (B6, B9).
    """
    from relay.core.documents.reading import check_choice, check_items

    methods = check_items(untrusted_value, path, lambda value, at: check_choice(value, at, Method))
    allowed = (Method.PASS, Method.PDF, Method.WEBMAIL, Method.SMIME, Method.OPENPGP)
    for index, method in enumerate(methods):
        if method not in allowed:
            raise DocumentError(f"{path}[{index}]", "is not a way of delivery", f"Use {', '.join(allowed)}")
    if not methods and not empty:
        raise DocumentError(path, "is empty", 'Write for instance ["smime", "openpgp", "pdf"]')
    require_unique(methods, path, "method")
    if len(methods) > 1 and Method.PASS in methods:
        raise DocumentError(path, "falls back to clear text", 'Let "pass" stand alone, or end the list in "pdf"')
    if len(methods) > 1 and methods[-1] not in (Method.PDF, Method.WEBMAIL):
        raise DocumentError(path, "does not end in a method for everybody", 'End the list in "pdf" or "webmail"')
    return methods


def _read_own_domain(untrusted_value: object, path: str) -> OwnDomain:
    fields = Fields(untrusted_value, path)
    own = OwnDomain(
        name=read_domain(fields.raw("name"), fields.at("name")),
        brand=fields.name("brand", "default"),
        language=fields.choice("language", Language, Language.ENGLISH),
        methods=read_methods(fields.raw("methods", []), fields.at("methods"), empty=True),
        postmaster=read_optional_address(fields.raw("postmaster", ""), fields.at("postmaster")),
        alert=read_optional_address(fields.raw("alert", ""), fields.at("alert")),
        senders=fields.items("senders", read_address_pattern, ("*",)),
        recipients=fields.items("recipients", read_address_pattern, ("*",)),
    )
    fields.finish()
    return own


def _read_delegation(untrusted_value: object, path: str) -> Delegation:
    fields = Fields(untrusted_value, path)
    delegation = Delegation(
        read_address(fields.raw("delegate"), fields.at("delegate")), fields.items("authors", read_address_pattern)
    )
    fields.finish()
    return delegation
