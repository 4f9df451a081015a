"""The making of a card: keyd first, database second, in one transaction all that a card changes (sealed-mailbox 2).

One request makes one card. It names keyd's newest card as it was when somebody asked, and keyd makes nothing upon
another; so what was cut off behind keyd is taken up again from keyd's own cards, and never made a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_CONFIG, EX_DATAERR, CommandError

if TYPE_CHECKING:
    from relay.core.ports import Actor
    from relay.core.ports_mailbox import CardRequest, MailboxKeys
    from relay.core.wire.sealed import CardRecord
    from relay.settings import Settings
    from relay.store.base import Database, Tx
    from relay.store.repositories.approvals import Approval

ASKED = ("escrow", "distrust", "new_root", "drop_roots", "newest")
"""What a request that others have to agree to says of the card that is to be."""
CARD_CREATED = "card.created"


def hold_ceremony(
    keys: MailboxKeys,
    database: Database,
    tenant: str,
    request: CardRequest,
    actor: Actor,
    *,
    approval: Approval | None = None,
) -> CardRecord:
    """Let keyd make a card, store it with all that changed, queue it for the portal, and return it.

    `approval`: the request that others agreed to; it ends with the card. Raises KeyStoreError, MailboxDataError,
    StorageError.
    """
    record = keys.create_card(request, actor)
    records = keys.list_cards(request.portal)
    with database.transaction() as tx:
        if approval is not None:
            end_with_card(tx, approval, record, actor)
        else:
            _note_made(tx, tenant, {name: getattr(request, name) for name in ASKED}, record, actor)
        store_cards(tx, tenant, records)
    return record


def find_made(approval: Approval, records: Sequence[CardRecord]) -> CardRecord | None:
    """Return the card that a request has made; None where there is none newer than what it goes on from.

    `records` are keyd's, oldest first. Raises CommandError where what came next is another card than was asked for.
    """
    from relay.core.wire.sealed import read_card

    newest = approval.detail.get("newest")
    if newest is None:
        raise CommandError("This was asked for with an earlier release. Refuse it and ask for it anew.", EX_DATAERR)
    made = next((record for record in records if read_card(record.card).serial > newest), None)
    if made is not None and not _is_as_asked(approval.detail, made, records):
        raise CommandError("Another card was made since this was asked for. Refuse it and ask for it anew.", EX_DATAERR)
    return made


def _is_as_asked(asked: Mapping[str, Any], made: CardRecord, records: Sequence[CardRecord]) -> bool:
    from relay.core.wire.sealed import read_card

    card = read_card(made.card)
    before = [one for one in (read_card(record.card) for record in records) if one.serial < card.serial]
    known = set(before[-1].distrust) if before else set()
    is_new_root = bool(before) and before[-1].root != card.root
    old_roots = {one.root for one in before} - {card.root}
    has_old = any(entry.root in old_roots for record in records for entry in record.sigs)
    return (
        (card.escrow is not None) is bool(asked["escrow"])
        and set(card.distrust) == known | set(asked["distrust"])
        and (is_new_root is bool(asked["new_root"]) or not before)
        and not (asked["drop_roots"] and has_old)
    )


def end_with_card(tx: Tx, approval: Approval, record: CardRecord, actor: Actor) -> None:
    """Note that a request has made its card, once, whoever comes first; part of `tx`, which stores the card."""
    from relay.store.repositories.approvals import DONE, end_approval, get_approval

    held = get_approval(tx, approval.tenant, approval.id, lock=True)
    if held.state != DONE and end_approval(tx, held, DONE, str(actor)):
        _note_made(tx, held.tenant, held.detail, record, actor)


def end_fulfilled(tx: Tx, tenant: str, records: Sequence[CardRecord], actor: Actor) -> None:
    """End the requests whose card keyd has made, but whose end was cut off; part of `tx`, which stores the cards."""
    from relay.store.repositories.approvals import APPROVED, CARD, list_approvals

    for approval in list_approvals(tx, tenant, APPROVED):
        try:
            made = find_made(approval, records) if approval.kind == CARD else None
        except CommandError:
            continue  # whoever agrees to it is told
        if made is not None:
            end_with_card(tx, approval, made, actor)


def _note_made(tx: Tx, tenant: str, asked: Mapping[str, Any], record: CardRecord, actor: Actor) -> None:
    from relay.core.ports import Event
    from relay.core.wire.sealed import read_card

    detail: dict[str, str | int | bool | list[str] | None] = {
        "serial": read_card(record.card).serial,
        "escrow": bool(asked["escrow"]),
        "distrust": [str(serial) for serial in asked["distrust"]],
        "new_root": bool(asked["new_root"]),
        "drop_roots": bool(asked["drop_roots"]),
    }
    tx.append_event(Event(CARD_CREATED, actor, tenant, detail=detail))


def store_cards(tx: Tx, tenant: str, records: Sequence[CardRecord], *, push_all: bool = False) -> int:
    """Store cards that are new or have other signatures and queue them for the portal; return how many were queued."""
    from relay.core.wire.sealed import read_card
    from relay.store.repositories.mailbox_cards import list_cards, save_card
    from relay.store.repositories.mailbox_pushes import CARD, add_push

    stored = {card.serial: card.record for card in list_cards(tx, tenant)}
    count = 0
    for record in records:
        serial, text = read_card(record.card).serial, record.encode().decode("ascii")
        if stored.get(serial) != text:
            save_card(tx, tenant, serial, text)
        elif not push_all:
            continue
        add_push(tx, tenant, CARD, ref=str(serial))
        count += 1
    return count


def portal_id(settings: Settings) -> str:
    """Return the portal's id. Raises CommandError."""
    if settings.portal is None or not settings.portal.portal_id:
        raise CommandError(
            "portal.id is missing in the settings. Copy the 22 characters that the portal shows", EX_CONFIG
        )
    return settings.portal.portal_id


def organisation_name(tx: Tx, settings: Settings) -> str:
    """Return the name that a card says."""
    from relay.organisation import load_organisation
    from relay.store.repositories.configuration import active_documents

    organisation = load_organisation(active_documents(tx, settings.host.tenant))
    return organisation.brands.find("default").organisation


def describe_made(record: CardRecord) -> str:
    """Return what whoever made it is told."""
    from relay.cli.portal_roots import root_print
    from relay.core.wire.sealed import read_card

    card = read_card(record.card)
    return (
        f"Card {card.serial} is made and goes to the portal. Print of its root: {root_print(card.root)}\n"
        "Back the token up now (letterlock backup): without the escrow key a reset loses old mail.\n"
    )
