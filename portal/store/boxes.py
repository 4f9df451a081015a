"""Boxes and their capsules: finding, opening, replacing under the box row's lock (sealed-mailbox 11, 14, 15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from portal.store.base import Store
from portal.store.models import DUMMY_BOX, SPENT, box, mark, outbox
from portal.store.rowkeys import SealedRow

CAPSULE = "capsule"
OPEN_STATES = ("first", "active")
CAPSULE_BLOCK = 4096
"""Capsules are filled up to a multiple of this before they are sealed, so that a login works on as many octets for the
row of nobody as for a first password or a mailbox of some twenty generations."""
_FILLER = b"\0"


@dataclass(frozen=True, slots=True)
class BoxRow:
    """A box as stored; the capsule still sealed. `id` is DUMMY_BOX for the row that stands for unknown logins."""

    id: str
    login_id: str | None
    kind: str
    state: str
    is_frozen: bool
    gen: int
    form: str | None
    lang: str
    must_change: bool
    first_expires: int | None
    capsule_sha: str | None
    capsule: SealedRow | None
    next_seq: int
    used: int
    is_spent: bool = False
    """`must_change`, and only because the password was typed in server mode."""

    @property
    def is_dummy(self) -> bool:
        """Tell whether this stands for an unknown login."""
        return self.id == DUMMY_BOX

    @property
    def may_read(self) -> bool:
        """Tell whether mail may be given out: not under a first password, nor where a new one is due."""
        return self.state == "active" and not self.must_change

    @property
    def may_read_by_server(self) -> bool:
        """Tell the same of server mode: a password that was typed there before is good there again."""
        return self.state == "active" and (not self.must_change or self.is_spent)


def _to_box(row: Row[Any]) -> BoxRow:
    capsule = SealedRow(row.capsule_key, bytes(row.capsule)) if row.capsule is not None else None
    return BoxRow(
        row.id,
        row.login_id,
        row.kind,
        row.state,
        bool(row.frozen),
        row.gen,
        row.form,
        row.lang,
        bool(row.must_change),
        row.first_expires,
        row.capsule_sha,
        capsule,
        row.next_seq,
        row.used,
        row.must_change == SPENT,
    )


def find_box_id(connection: Connection, login_id: str, kind: str, states: Sequence[str] = OPEN_STATES) -> str | None:
    """Return the id of the box with this login if it is in one of these states, or None."""
    query = select(box.c.id).where(box.c.login_id == login_id, box.c.kind == kind, box.c.state.in_(states))
    return connection.execute(query).scalar()


def load_box(connection: Connection, box_id: str) -> BoxRow | None:
    """Return a box without locking it."""
    row = connection.execute(select(box).where(box.c.id == box_id)).one_or_none()
    return _to_box(row) if row is not None else None


def lock_box(connection: Connection, box_id: str, *, shared: bool = False) -> BoxRow | None:
    """Return a box with its row locked to the end of the transaction; `shared` lets other shared locks in."""
    query: Select[Any] = select(box).where(box.c.id == box_id).with_for_update(read=shared)
    row = connection.execute(query).one_or_none()
    return _to_box(row) if row is not None else None


def open_capsule_row(store: Store, row: BoxRow) -> bytes | None:
    """Return the capsule's octets, or None when it was dropped or shredded."""
    if row.capsule is None:
        return None
    octets = store.rows.open(CAPSULE, row.id, "", row.capsule)
    # JSON ends with no such octet.
    return octets.rstrip(_FILLER) if octets is not None else None


def pad_capsule(octets: bytes) -> bytes:
    """Return what is sealed of a capsule."""
    return octets + _FILLER * (-len(octets) % CAPSULE_BLOCK)


def change_used(connection: Connection, box_id: str, octets: int) -> None:
    """Add to what a box takes (chunks and drafts), or take away."""
    if octets:
        connection.execute(update(box).where(box.c.id == box_id).values(used=box.c.used + octets))


def count_waiting(connection: Connection, box_id: str) -> int:
    """Return how many entries of a box the relay has not acknowledged."""
    query = select(func.count()).select_from(outbox).where(outbox.c.box == box_id, outbox.c.state == "waiting")
    return int(connection.execute(query).scalar_one())


def is_reconciling(connection: Connection) -> bool:
    """Tell whether the portal waits for the relay's comparison and takes no login, rekey or item."""
    return bool(connection.execute(select(mark.c.waiting).where(mark.c.id == 1)).scalar())
