"""What one row of `portal_push` means on the wire: calls of the link API, no transaction held over any of them.

Every step may be repeated at any point: the same octets are sent again until the portal has said that it holds them
(sealed-mailbox 7, 9, 15). Must not decide who is told of it, and seals nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.core.errors import LetterlockError
from relay.core.wire.sealed import format_time, login_id
from relay.link.client import BoxHead, MessageHead, PortalLink
from relay.link.errors import LinkConflictError, LinkError, LinkUnknownError
from relay.link.wire import End, read_box_conflict, read_missing
from relay.store.base import Database
from relay.store.errors import NotFoundError
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.mailbox_boxes import REPLY, Box, get_box
from relay.store.repositories.mailbox_cards import get_card
from relay.store.repositories.mailbox_chunks import list_chunks, read_chunk
from relay.store.repositories.mailbox_generations import BROWSER, Generation, generations_of
from relay.store.repositories.mailbox_messages import BoxMessage, get_box_message
from relay.store.repositories.mailbox_pushes import Push

_ROUNDS = 3
"""How often the portal may ask for chunks that it said it had."""


class Fate(StrEnum):
    """What becomes of a row."""

    DONE = "done"
    DROPPED = "dropped"
    """There is no sense in it any more."""
    PULL_FIRST = "pull-first"
    """The box has entries that were not pulled yet."""


class PushConflictError(LinkError):
    """The portal holds other octets under this id, which cannot happen by itself: told to an operator, tried again."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Carries rows out. Safe for threads; the link is the calling thread's own."""

    database: Database
    tenant: str
    portal_id: str
    open_capsule: Callable[[Generation], bytes]
    """Opens a stored capsule. Raises KeyStoreError."""

    def run(self, link: PortalLink, push: Push) -> Fate:
        """Carry out one row. Raises LinkError, KeyStoreError, StorageError: all temporary."""
        try:
            return self._run(link, push)
        except LinkUnknownError as error:
            if push.kind != pushes.MESSAGE:
                raise
            # The portal is a new one or an older copy. The comparison of both sides queues the box behind this row,
            # which would wait for it without end.
            if self._give_box_again(link, push, error) is Fate.PULL_FIRST:
                return Fate.PULL_FIRST
            return self._run(link, push)

    def _give_box_again(self, link: PortalLink, push: Push, error: LinkUnknownError) -> Fate:
        """Push the box that a message needs there, as it was given last; raise `error` where it never was."""
        with self.database.reading() as tx:
            kept = generations_of(tx, self.tenant, push.box)
        given = [one for one in kept if one.capsule is not None and (one.pushed_at or one.made_by == BROWSER)]
        if not given:
            raise error
        return self._push_box(link, replace(push, kind=pushes.BOX, ref=str(given[-1].gen)))

    def _run(self, link: PortalLink, push: Push) -> Fate:
        match push.kind:
            case pushes.BOX:
                return self._push_box(link, push)
            case pushes.MESSAGE:
                return self._push_message(link, push)
            case pushes.DELETE:
                link.delete_message(push.box, push.ref)
            case pushes.END | pushes.LATE_END:
                return self._end(link, push)
            case pushes.RENEW:
                return self._freeze(link, push)
            case pushes.CARD:
                return self._push_card(link, push)
            case pushes.TOKEN:
                link.put_token(push.ref, push.box, str(push.detail["id"]), _time(push.detail["expires"]))
            case pushes.JOIN:
                link.put_join(push.ref, _time(push.detail["expires"]))
            case _:
                raise LetterlockError(f"push {push.seq}: no kind {push.kind}")
        return Fate.DONE

    # --- boxes --------------------------------------------------------------------------------------------------------

    def _push_box(self, link: PortalLink, push: Push) -> Fate:
        try:
            with self.database.reading() as tx:
                box = get_box(tx, self.tenant, push.box)
                generations = {one.gen: one for one in generations_of(tx, self.tenant, push.box)}
        except NotFoundError:
            return Fate.DROPPED
        wanted = generations.get(int(push.ref))
        if wanted is None or wanted.capsule is None or wanted.expired_at is not None or box.state == "closed":
            return Fate.DROPPED
        if any(one.gen > wanted.gen and (one.made_by == BROWSER or one.pushed_at) for one in generations.values()):
            # The reader has a newer password, or the portal was given one since this row was queued, by a comparison of
            # both sides: nothing may be put over it.
            return Fate.DROPPED
        before = generations.get(wanted.gen - 1)
        head = self._head(box, wanted, None if before is None else before.capsule_sha)
        try:
            link.put_box(push.box, head)
        except LinkConflictError as conflict:
            held, waiting = read_box_conflict(conflict.untrusted_answer)
            if waiting:
                return Fate.PULL_FIRST
            if held != wanted.capsule_sha:
                # Neither ours nor what ours replaces, and nothing waits: it was restored. Ours goes over it (15).
                link.put_box(push.box, self._head(box, wanted, held))
        return Fate.DONE

    def _head(self, box: Box, generation: Generation, base: str | None) -> BoxHead:
        is_first = box.kind != REPLY and generation.made_by != BROWSER
        who = box.id if box.kind == REPLY else box.login_name or ""
        expires = generation.expires_at if is_first else None
        return BoxHead(
            login_id=login_id(self.portal_id, who),
            base=base,
            capsule=self.open_capsule(generation),
            state="first" if is_first else "active",
            first_expires=None if expires is None else format_time(expires),
            must_change=box.must_change,
            lang=box.lang,
        )

    def _end(self, link: PortalLink, push: Push) -> Fate:
        try:
            link.end_box(push.box, End(push.ref))
        except LinkUnknownError:
            # What the portal does not hold needs no end there.
            return Fate.DROPPED
        return Fate.DONE

    def _freeze(self, link: PortalLink, push: Push) -> Fate:
        """Stop the box's writes there and look whether anything waits: only then a password ends or is made anew."""
        try:
            link.end_box(push.box, End.EXPIRE if push.ref == "expire" else End.FREEZE)
            return Fate.PULL_FIRST if link.get_box(push.box, 0).waiting else Fate.DONE
        except LinkUnknownError:
            return Fate.DONE
        except LinkConflictError as conflict:
            # A new password came in before the first one ended.
            return Fate.PULL_FIRST if read_box_conflict(conflict.untrusted_answer)[1] else Fate.DONE

    # --- messages -----------------------------------------------------------------------------------------------------

    def _push_message(self, link: PortalLink, push: Push) -> Fate:
        try:
            with self.database.reading() as tx:
                message = get_box_message(tx, self.tenant, push.box, push.ref)
                places = list_chunks(tx, self.tenant, push.box, push.ref)
        except NotFoundError:
            return Fate.DROPPED
        if message.deleted_at is not None:
            # Known to have been pushed once, it was delivered; else whoever waits for it goes to a person.
            return Fate.DROPPED if message.pushed_at is None else Fate.DONE
        held = link.held_chunks(push.box, push.ref) if push.attempts and places else {}
        wanted = [(i, n) for i, n in places if n not in held.get(i, ())]
        head = MessageHead(
            message.no,
            message.gen,
            message.card,
            format_time(message.expires_at),
            message.sealed,
            [(part.i, part.chunks) for part in message.parts],
        )
        for _ in range(_ROUNDS):
            for place in wanted:
                self._push_chunk(link, message, place)
            try:
                link.put_message(push.box, push.ref, head)
            except LinkConflictError as conflict:
                missing = set(read_missing(conflict.untrusted_answer))
                wanted = [place for place in places if place in missing]
                if not wanted:
                    raise PushConflictError("the portal holds another message under this id") from conflict
            else:
                return Fate.DONE
        raise PushConflictError("the portal goes on asking for chunks that it was given")

    def _push_chunk(self, link: PortalLink, message: BoxMessage, place: tuple[int, int]) -> None:
        with self.database.reading() as tx:
            data = read_chunk(tx, self.tenant, message.box, message.id, place)
        try:
            link.put_chunk(message.box, message.id, *place, data)
        except LinkConflictError as conflict:
            raise PushConflictError("the portal holds another chunk under this id") from conflict

    # --- cards --------------------------------------------------------------------------------------------------------

    def _push_card(self, link: PortalLink, push: Push) -> Fate:
        try:
            with self.database.reading() as tx:
                card = get_card(tx, self.tenant, int(push.ref))
        except NotFoundError:
            return Fate.DROPPED
        link.put_card(card.serial, json.loads(card.record))
        return Fate.DONE


def _time(value: object) -> str:
    return format_time(value) if isinstance(value, int) else str(value)
