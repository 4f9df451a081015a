"""Reply pages that take no more passwords: open again after a day, or when a person says so (sealed-mailbox 12).

The portal locks after ten wrong tries in a row. The page's secret has 71 bits or more, so ten tries a day guess
nothing; a lock for ever would only serve whoever wants to hinder answers. That one is locked is the portal's unsigned
hint: to open one that is not locked changes nothing. The same capsule pushed once more is what opens it.
"""

from __future__ import annotations

from relay.core.clock import DAY
from relay.core.ports import Actor, Event
from relay.mailbox.states import BoxState
from relay.store.base import Database, Tx
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import REPLY, Box, get_box
from relay.store.repositories.mailbox_entries import entries_of_kind, forget_entry, note_entry

LOCKED_MS = DAY
"""How long a page stays locked."""
_KIND = "lock"


def note_lock(tx: Tx, box: Box) -> None:
    """Note that the portal says that a reply page is locked; again is the same."""
    if box.state != BoxState.CLOSED:
        note_entry(tx, box.tenant, box.id, _KIND, kind=_KIND, result="taken")


def reopen(tx: Tx, tenant: str, box_id: str, actor: Actor) -> bool:
    """Open a reply page again as part of `tx`; False for a box that is none, or closed. Raises NotFoundError."""
    box = get_box(tx, tenant, box_id, lock=True)
    if box.kind != REPLY or box.state == BoxState.CLOSED:
        return False
    forget_entry(tx, tenant, box.id, _KIND)
    pushes.add_push(tx, tenant, pushes.BOX, box=box.id, ref=str(box.gen))
    tx.append_event(Event("replybox.reopened", actor, tenant, detail={"box": box.id}))
    return True


def reopen_locked(database: Database, tenant: str, actor: Actor, limit: int = 100) -> int:
    """Open the pages whose time is over; return how many."""
    with database.reading() as tx:
        due = entries_of_kind(tx, tenant, _KIND, tx.now_ms() - LOCKED_MS, limit)
    for one in due:
        with database.transaction() as tx:
            reopen(tx, tenant, one.box, actor)
    return len(due)
