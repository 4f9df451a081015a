"""The active documents of one organisation, bundled with their versions, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from relay.core.documents.brands import BrandsDocument
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.keywords import KeywordsDocument
from relay.core.documents.limits import LimitsDocument
from relay.core.documents.listeners import ListenersDocument
from relay.core.documents.policy import PolicyDocument
from relay.core.documents.reading import DocumentError, JsonObject
from relay.core.documents.routes import RoutesDocument


class Document(Protocol):
    """What every kind of document can do."""

    @classmethod
    def from_json(cls, untrusted_value: object) -> Self:
        """Read and check. Raises DocumentError."""
        ...

    def to_json(self) -> JsonObject:
        """Return plain JSON that reads back to an equal value."""
        ...


DOCUMENT_KINDS: Mapping[str, type[Document]] = {
    DomainsDocument.KIND: DomainsDocument,
    RoutesDocument.KIND: RoutesDocument,
    BrandsDocument.KIND: BrandsDocument,
    KeywordsDocument.KIND: KeywordsDocument,
    PolicyDocument.KIND: PolicyDocument,
    ListenersDocument.KIND: ListenersDocument,
    LimitsDocument.KIND: LimitsDocument,
}
"""Kind, as stored, to the type that reads it."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """All active documents. `versions` names the version of each kind; a kind never stored is 0 (as shipped)."""

    domains: DomainsDocument
    routes: RoutesDocument
    brands: BrandsDocument
    keywords: KeywordsDocument
    policy: PolicyDocument
    listeners: ListenersDocument
    limits: LimitsDocument
    versions: Mapping[str, int] = field(default_factory=dict)

    @property
    def policy_version(self) -> int:
        """Version of the policy document, stored with each decision."""
        return self.versions.get(PolicyDocument.KIND, 0)

    def documents(self) -> dict[str, Document]:
        """Return the documents by kind, in the order of DOCUMENT_KINDS."""
        return {kind: getattr(self, kind) for kind in DOCUMENT_KINDS}

    def check(self) -> None:
        """Check what one document says of another. Raises DocumentError that names the key and the fix."""
        known = {brand.name for brand in self.brands.brands}
        for index, own in enumerate(self.domains.domains):
            if own.brand not in known:
                raise DocumentError(
                    f"domains.domains[{index}].brand",
                    "is a brand that does not exist",
                    f"Use {', '.join(sorted(known))}",
                )


def read_document(kind: str, untrusted_value: object) -> Document:
    """Read a document of a kind. Raises DocumentError, also when the kind is unknown."""
    reader = DOCUMENT_KINDS.get(kind)
    if reader is None:
        raise DocumentError(kind[:40], "is not a kind of document", f"Use one of: {', '.join(DOCUMENT_KINDS)}")
    return reader.from_json(untrusted_value)


def build_organisation(
    untrusted_documents: Mapping[str, object], versions: Mapping[str, int], shipped: Organisation
) -> Organisation:
    """Build the organisation from the active documents' JSON; kinds that are not there are taken from `shipped`.

    Raises DocumentError.
    """
    parts: dict[str, Document] = shipped.documents()
    for kind, value in untrusted_documents.items():
        parts[kind] = read_document(kind, value)
    organisation = Organisation(**parts, versions=dict(versions))  # type: ignore[arg-type] # kinds are the field names
    organisation.check()
    return organisation
