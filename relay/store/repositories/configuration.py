"""The organisation's documents (domains, routes, brands, keywords, policy ...): versions, drafts, one active.

Every change is an event with its actor. The content is the JSON text as the author gave it; what it means is checked
by relay.core.documents before it comes here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from relay.core.ports import Actor, Event
from relay.store.base import EventDetail, Row, Tx
from relay.store.errors import DocumentStateError, NotFoundError


class DocumentState(StrEnum):
    """Where a version stands."""

    DRAFT = "draft"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Document:
    """One version of one kind of document. Times in milliseconds; `content` is JSON text."""

    tenant: str
    kind: str
    version: int
    state: DocumentState
    author: str
    created_at: int
    activated_at: int | None
    content: str


_SELECT = "SELECT tenant, kind, version, state, author, created_at, activated_at, content FROM configuration "


def _from_row(row: Row) -> Document:
    tenant, kind, version, state, author, created_at, activated_at, content = row
    return Document(tenant, kind, version, DocumentState(state), author, created_at, activated_at, content)


def add_draft(tx: Tx, tenant: str, kind: str, content: str, actor: Actor) -> Document:
    """Store a new version as a draft. Raises ConflictError when another author was faster; try again."""
    row = tx.fetch_one(
        "SELECT coalesce(max(version), 0) + 1 FROM configuration WHERE tenant = ? AND kind = ?", [tenant, kind]
    )
    assert row is not None
    version = int(row[0])
    tx.run(
        "INSERT INTO configuration (tenant, kind, version, state, author, created_at, content)"
        " VALUES (?, ?, ?, 'draft', ?, ?, ?)",
        [tenant, kind, version, str(actor), tx.now_ms(), content],
    )
    draft = get_document(tx, tenant, kind, version)
    _note(tx, "configuration.drafted", draft, actor)
    return draft


def activate(tx: Tx, tenant: str, kind: str, version: int, actor: Actor) -> Document:
    """Make a draft (or, rolling back, a retired version) the active one.

    Raises NotFoundError, DocumentStateError when it is active already, ConflictError when another actor was faster.
    """
    document = get_document(tx, tenant, kind, version)
    if document.state is DocumentState.ACTIVE:
        raise DocumentStateError(f"{kind} version {version} is active already")
    now = tx.now_ms()
    tx.run(
        "UPDATE configuration SET state = 'retired' WHERE tenant = ? AND kind = ? AND state = 'active'", [tenant, kind]
    )
    tx.run(
        "UPDATE configuration SET state = 'active', activated_at = ? WHERE tenant = ? AND kind = ? AND version = ?",
        [now, tenant, kind, version],
    )
    _note(tx, "configuration.activated", document, actor)
    return get_document(tx, tenant, kind, version)


def roll_back(tx: Tx, tenant: str, kind: str, actor: Actor) -> Document:
    """Make the version active that was active before the present one. Raises NotFoundError when there is none."""
    row = tx.fetch_one(
        "SELECT version FROM configuration WHERE tenant = ? AND kind = ? AND state = 'retired'"
        " AND activated_at IS NOT NULL ORDER BY activated_at DESC, version DESC LIMIT 1",
        [tenant, kind],
    )
    if row is None:
        raise NotFoundError(f"{kind}: no earlier version to go back to")
    return activate(tx, tenant, kind, int(row[0]), actor)


def active_document(tx: Tx, tenant: str, kind: str) -> Document | None:
    """Return the active version, if there is one."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND kind = ? AND state = 'active'", [tenant, kind])
    return None if row is None else _from_row(row)


def active_documents(tx: Tx, tenant: str) -> dict[str, Document]:
    """Return all active documents by kind, in one view of the data."""
    rows = tx.fetch_all(_SELECT + "WHERE tenant = ? AND state = 'active'", [tenant])
    return {document.kind: document for document in map(_from_row, rows)}


def active_versions(tx: Tx, tenant: str) -> dict[str, int]:
    """Return the active versions by kind: cheap to ask often, to see whether anything changed."""
    rows = tx.fetch_all("SELECT kind, version FROM configuration WHERE tenant = ? AND state = 'active'", [tenant])
    return {str(kind): int(version) for kind, version in rows}


def get_document(tx: Tx, tenant: str, kind: str, version: int) -> Document:
    """Return one version. Raises NotFoundError."""
    row = tx.fetch_one(_SELECT + "WHERE tenant = ? AND kind = ? AND version = ?", [tenant, kind, version])
    if row is None:
        raise NotFoundError(f"{kind}: no version {version}")
    return _from_row(row)


def list_documents(tx: Tx, tenant: str, kind: str) -> list[Document]:
    """Return all versions, newest first."""
    rows = tx.fetch_all(_SELECT + "WHERE tenant = ? AND kind = ? ORDER BY version DESC", [tenant, kind])
    return [_from_row(row) for row in rows]


def put_active(tx: Tx, tenant: str, kind: str, content: str, actor: Actor) -> Document:
    """Store a new version and make it active at once (set-up, and authors without a second pair of eyes)."""
    draft = add_draft(tx, tenant, kind, content, actor)
    return activate(tx, tenant, kind, draft.version, actor)


def _note(tx: Tx, event: str, document: Document, actor: Actor) -> None:
    # The hash lets an auditor see which text was in force without the log repeating it.
    digest = hashlib.sha256(document.content.encode("utf-8")).hexdigest()
    detail: dict[str, EventDetail] = {"document": document.kind, "version": document.version, "sha256": digest}
    tx.append_event(Event(event, actor, document.tenant, detail=detail))


__all__ = [
    "Document",
    "DocumentState",
    "activate",
    "active_document",
    "active_documents",
    "active_versions",
    "add_draft",
    "get_document",
    "list_documents",
    "put_active",
    "roll_back",
]
