"""Drafts: sealed by the browser to its own box, replaced by compare-and-swap of their revision (sealed-mailbox 10)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from portal.store.boxes import change_used
from portal.store.models import draft
from portal.store.rowkeys import SealedRow

DRAFT = "draft"
MAX_DRAFTS = 200


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A draft as stored."""

    id: str
    rev: int
    sealed: SealedRow


def list_drafts(connection: Connection, box: str) -> list[DraftRow]:
    """Return a box's drafts, last changed first."""
    query = select(draft).where(draft.c.box == box).order_by(draft.c.changed.desc()).limit(MAX_DRAFTS)
    return [DraftRow(row.id, row.rev, SealedRow(row.row_key, bytes(row.sealed))) for row in connection.execute(query)]


def find_draft(connection: Connection, box: str, draft_id: str) -> DraftRow | None:
    """Return one draft, or None."""
    row = connection.execute(select(draft).where(draft.c.box == box, draft.c.id == draft_id)).one_or_none()
    return DraftRow(row.id, row.rev, SealedRow(row.row_key, bytes(row.sealed))) if row is not None else None


def put_draft(connection: Connection, box: str, new: DraftRow, now: int) -> None:
    """Insert or replace a draft and count it, under the box row's lock."""
    values = {"rev": new.rev, "row_key": new.sealed.row_key, "sealed": new.sealed.sealed, "changed": now}
    where = (draft.c.box == box, draft.c.id == new.id)
    old = connection.execute(select(func.length(draft.c.sealed)).where(*where)).scalar()
    change_used(connection, box, len(new.sealed.sealed) - int(old or 0))
    if not connection.execute(update(draft).where(*where).values(**values)).rowcount:
        connection.execute(insert(draft), {"box": box, "id": new.id, **values})


def drop_draft(connection: Connection, box: str, draft_id: str) -> str | None:
    """Delete a draft, not its chunks, and count it off; return the row key to shred once this is committed."""
    where = (draft.c.box == box, draft.c.id == draft_id)
    row = connection.execute(select(draft.c.row_key, func.length(draft.c.sealed)).where(*where)).one_or_none()
    if row is None:
        return None
    connection.execute(delete(draft).where(*where))
    change_used(connection, box, -int(row[1]))
    return str(row[0])
