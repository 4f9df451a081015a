"""Looking up a link by the SHA-256 of what stands in it; the portal never had the link itself.

Reading alone. A link that is known tells box, form and state before a password is typed; an unknown one tells nothing.
"""

from __future__ import annotations

from typing import Literal, cast

from sqlalchemy import select

from portal.accounts.login import hash_token
from portal.context import Portal
from portal.pages.ports import JoinState, ReplyLink
from portal.store.boxes import load_box
from portal.store.models import registration, token
from portal.store.throttle import count_left
from relay.core.ids import is_id


class StoredLinks:
    """The pages' port `Links`, over the store."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def find_reply(self, token: str) -> ReplyLink | None:
        """Return what stands behind `/r/TOKEN`, None for an unknown one."""
        if not is_id(token):
            return None
        return find_reply(self._portal, token)

    def find_join(self, join_id: str) -> JoinState | None:
        """Return the state of `/join/ID`, None for an unknown one."""
        if not is_id(join_id):
            return None
        return find_join(self._portal, join_id)


def find_reply(portal: Portal, untrusted_token: str) -> ReplyLink | None:
    """Return box, form and state of a reply link; an expired link and a closed box are `closed`."""
    with portal.store.main.read() as connection:
        link = connection.execute(select(token).where(token.c.hash == hash_token(untrusted_token))).one_or_none()
        if link is None:
            return None
        found = load_box(connection, link.box)
        left = count_left(connection, link.hash, link.box, portal.clock.now_ms())
    if found is None or found.kind != "reply" or found.form is None:
        return None
    form = cast("Literal['b32', 'digits', 'words']", found.form)
    is_over = found.state != "active" or (link.expires is not None and link.expires <= portal.clock.now_ms())
    return ReplyLink(found.id, form, "closed" if is_over else "open" if left else "locked", left)


def find_join(portal: Portal, untrusted_id: str) -> JoinState | None:
    """Return the state of a registration link."""
    with portal.store.main.read() as connection:
        query = select(registration).where(registration.c.hash == hash_token(untrusted_id))
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.used:
        return "done"
    return "expired" if row.expires is not None and row.expires <= portal.clock.now_ms() else "open"
