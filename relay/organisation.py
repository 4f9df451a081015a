"""The organisation's active documents, read from the database and read again when a version changes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from relay.core.address import domain_of, normalise_address
from relay.core.documents.organisation import Organisation, build_organisation
from relay.core.documents.shipped import shipped_organisation
from relay.core.errors import AddressError, ConfigurationError
from relay.store.base import Database
from relay.store.repositories.configuration import Document, active_documents, active_versions

_LOOK_SECONDS = 1.0


def load_organisation(documents: Mapping[str, Document]) -> Organisation:
    """Build the organisation from stored documents. Raises ConfigurationError."""
    if "domains" not in documents:
        raise ConfigurationError("domains", "no document is active", "Run `letterlock init`, or `letterlock org put`")
    values = {kind: read_json(kind, document) for kind, document in documents.items()}
    versions = {kind: document.version for kind, document in documents.items()}
    try:
        own = values["domains"]["domains"][0]["name"]
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigurationError("domains", "names no domain", "Put a good one: letterlock org put domains") from error
    return build_organisation(values, versions, shipped_organisation(own, own))


def read_json(kind: str, document: Document) -> Any:
    """Return a stored document as JSON. Raises ConfigurationError."""
    try:
        return json.loads(document.content)
    except ValueError as error:
        fix = f"Activate an older one: letterlock org versions {kind}"
        raise ConfigurationError(kind, f"version {document.version} is not JSON", fix) from error


def make_is_own(organisation: Callable[[], Organisation]) -> Callable[[str], bool]:
    """Return the function that tells whether an address, as it was written, is of an own domain of now."""

    def is_own(address: str) -> bool:
        try:
            return domain_of(normalise_address(address)) in organisation().domains.names()
        except AddressError:
            return False

    return is_own


class CurrentOrganisation:
    """Gives the active documents of now; looks at their versions once a second at most. Safe for threads."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self._lock = threading.Lock()
        self._looked = -1e9
        self._versions: dict[str, int] = {}
        self._value: Organisation | None = None

    def __call__(self) -> Organisation:
        """Return the organisation. Raises ConfigurationError or StorageError."""
        with self._lock:
            now = time.monotonic()
            if self._value is None or now - self._looked >= _LOOK_SECONDS:
                self._refresh()
                self._looked = now
            assert self._value is not None
            return self._value

    def _refresh(self) -> None:
        with self._database.reading() as tx:
            versions = active_versions(tx, self._tenant)
            if self._value is not None and versions == self._versions:
                return
            documents = active_documents(tx, self._tenant)
        self._value = load_organisation(documents)
        self._versions = {kind: document.version for kind, document in documents.items()}
