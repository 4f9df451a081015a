"""Rows of boxes on both databases: one open mailbox a partner, numbers without gaps, pushes in order within a box."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.clock import MINUTE
from relay.core.ids import new_id
from relay.core.ports import Actor, SealedBlob
from relay.store.base import Database, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories import mailbox_boxes as boxes
from relay.store.repositories import mailbox_cards as cards
from relay.store.repositories import mailbox_chunks as chunks
from relay.store.repositories import mailbox_entries as entries
from relay.store.repositories import mailbox_generations as generations
from relay.store.repositories import mailbox_messages as messages
from relay.store.repositories import mailbox_pushes as pushes
from relay.store.repositories.partners import find_or_create
from tests.contract.store.databases import SteppedClock

TENANT = "bank"
ACTOR = Actor("system", "test")
SEALED_KEY = SealedBlob("k1", "AES", 1, b"wrapped")


def make_box(tx: Tx, address: str = "anna@partner.example", *, kind: str = boxes.MAILBOX) -> boxes.Box:
    partner = find_or_create(tx, TENANT, address, ACTOR)
    return boxes.Box(
        id=new_id(),
        tenant=TENANT,
        kind=kind,
        partner_id=partner.id,
        login_name=address,
        state="first",
        gen=1,
        form=None,
        password_id=None,
        created_at=tx.now_ms(),
        first_expires_at=tx.now_ms() + MINUTE,
    )


def make_message(tx: Tx, box: boxes.Box, sender: str = "maria@bank.example") -> messages.BoxMessage:
    return messages.BoxMessage(
        box=box.id,
        id=new_id(),
        tenant=TENANT,
        copy_id=new_id(),
        message_id=new_id(),
        no=boxes.take_number(tx, TENANT, box.id),
        gen=1,
        kind=messages.MAIL,
        card=1,
        sealed=b"\x00sealed",
        parts=(messages.StoredPart(0, 1), messages.StoredPart(1, 2)),
        thread=new_id(),
        sender=sender,
        sender_name="Maria Keller",
        to_addresses=("Anna <anna@partner.example>",),
        cc_addresses=(),
        header_message_id="<1@bank.example>",
        references_ids=("<0@bank.example>",),
        receipt=True,
        created_at=tx.now_ms(),
        expires_at=tx.now_ms() + MINUTE,
    )


def make_generation(tx: Tx, box: boxes.Box, gen: int) -> generations.Generation:
    now = tx.now_ms()
    return generations.Generation(
        box=box.id,
        gen=gen,
        tenant=TENANT,
        made_by=generations.RELAY,
        cause="first",
        capsule=b"closed",
        key=SEALED_KEY,
        capsule_sha=f"sha{gen}",
        enc="enc",
        sign="sign",
        seed=b"seed",
        escrow_card=None,
        made_at=now,
        accepted_at=now,
        expires_at=now + MINUTE,
    )


def test_partner_has_one_open_mailbox(db: Database) -> None:
    with db.transaction() as tx:
        first = make_box(tx)
        assert boxes.add_box(tx, first)
        assert not boxes.add_box(tx, replace(first, id=new_id()))
        assert boxes.find_open_mailbox(tx, TENANT, first.partner_id) == first
        boxes.change_box(tx, first, {"state": "closed"})
        assert boxes.find_open_mailbox(tx, TENANT, first.partner_id) is None
        second = replace(first, id=new_id())
        assert boxes.add_box(tx, second)
        assert {box.id for box in boxes.boxes_of_partner(tx, TENANT, first.partner_id)} == {first.id, second.id}


def test_password_has_one_reply_box(db: Database) -> None:
    with db.transaction() as tx:
        box = replace(make_box(tx, kind=boxes.REPLY), login_name=None, password_id="pw", form="b32")
        assert boxes.add_box(tx, box)
        assert not boxes.add_box(tx, replace(box, id=new_id()))
        assert boxes.add_box(tx, replace(box, id=new_id(), password_id="other"))
        assert boxes.find_reply_boxes(tx, TENANT, "pw") == [box]


def test_box_of_another_tenant_is_not_found(db: Database) -> None:
    with db.transaction() as tx:
        box = make_box(tx)
        boxes.add_box(tx, box)
        with pytest.raises(NotFoundError):
            boxes.get_box(tx, "other", box.id)
        with pytest.raises(KeyError):
            boxes.change_box(tx, box, {"tenant": "other"})


def test_numbers_count_up_and_messages_come_back_as_they_went_in(db: Database) -> None:
    with db.transaction() as tx:
        box = make_box(tx)
        boxes.add_box(tx, box)
        made = [make_message(tx, box), make_message(tx, box, "otto@bank.example")]
        for message in made:
            messages.add_box_message(tx, message)
            chunks.add_chunks(tx, TENANT, box.id, message.id, [(0, 0, b"a"), (1, 0, b"b"), (1, 1, b"c")])
    with db.transaction() as tx:
        assert messages.messages_of_box(tx, TENANT, box.id) == made
        assert [message.no for message in made] == [1, 2]
        assert messages.senders_of_box(tx, TENANT, box.id) == {"maria@bank.example", "otto@bank.example"}
        assert messages.messages_of_copies(tx, TENANT, [made[1].copy_id or ""]) == {made[1].copy_id: made[1]}
        assert chunks.list_chunks(tx, TENANT, box.id, made[0].id) == [(0, 0), (1, 0), (1, 1)]
        assert chunks.read_chunk(tx, TENANT, box.id, made[0].id, (1, 1)) == b"c"
        assert chunks.sweep_chunks(tx, TENANT, box.id, made[0].id) == 0
        assert messages.drop_message(tx, TENANT, box.id, made[0].id)
        assert not messages.drop_message(tx, TENANT, box.id, made[0].id)
        assert chunks.list_chunks(tx, TENANT, box.id, made[0].id) == []
        assert messages.get_box_message(tx, TENANT, box.id, made[0].id).sealed == b""
        assert messages.senders_of_box(tx, TENANT, box.id) == {"otto@bank.example"}
        assert messages.messages_of_box(tx, TENANT, box.id, is_kept=True) == [made[1]]


def test_what_is_due_to_expire(db: Database, clock: SteppedClock) -> None:
    with db.transaction() as tx:
        box = make_box(tx)
        boxes.add_box(tx, box)
        messages.add_box_message(tx, make_message(tx, box))
        assert boxes.boxes_to_expire(tx, TENANT, tx.now_ms()) == []
        assert messages.messages_to_expire(tx, TENANT, tx.now_ms()) == []
    clock.advance(2 * MINUTE)
    with db.transaction() as tx:
        assert [one.id for one in boxes.boxes_to_expire(tx, TENANT, tx.now_ms())] == [box.id]
        assert len(messages.messages_to_expire(tx, TENANT, tx.now_ms())) == 1


def test_notice_once_in_a_quiet_period(db: Database, clock: SteppedClock) -> None:
    with db.transaction() as tx:
        box = make_box(tx)
        boxes.add_box(tx, box)
        assert boxes.note_notice(tx, TENANT, box.id, tx.now_ms() - MINUTE)
        assert not boxes.note_notice(tx, TENANT, box.id, tx.now_ms() - MINUTE)
    clock.advance(2 * MINUTE)
    with db.transaction() as tx:
        assert boxes.note_notice(tx, TENANT, box.id, tx.now_ms() - MINUTE)


def test_generations_are_written_once_and_marked(db: Database) -> None:
    with db.transaction() as tx:
        box = make_box(tx)
        boxes.add_box(tx, box)
        one, two = make_generation(tx, box, 1), make_generation(tx, box, 2)
        assert generations.add_generation(tx, one)
        assert not generations.add_generation(tx, replace(one, capsule_sha="other"))
        assert generations.add_generation(tx, two)
        assert generations.generations_of(tx, TENANT, box.id) == [one, two]
        assert generations.find_generation(tx, TENANT, box.id, "sha2") == two
        generations.mark_pushed(tx, TENANT, box.id, 1)
        generations.mark_expired(tx, TENANT, box.id, 1)
        generations.set_notices(tx, TENANT, box.id, 1, password_notice="m1", code_notice=None)
        marked = generations.get_generation(tx, TENANT, box.id, 1)
        assert (marked.pushed_at, marked.expired_at, marked.password_notice) == (tx.now_ms(), tx.now_ms(), "m1")
        assert generations.forget_seeds(tx, TENANT, box.id, 2) == 1
        assert generations.destroy_capsules(tx, TENANT, box.id) == 2
        left = generations.get_generation(tx, TENANT, box.id, 2)
        assert (left.capsule, left.seed, left.key.data) == (None, None, b"")


def test_pushes_come_in_order_within_a_box_and_boxes_do_not_wait_for_each_other(db: Database) -> None:
    with db.transaction() as tx:
        for box, ref in (("a", "1"), ("a", "2"), ("b", "3")):
            pushes.add_push(tx, TENANT, pushes.MESSAGE, box=box, ref=ref, detail={"expires": 7})
        pushes.add_push(tx, TENANT, pushes.CARD, ref="9")
    with db.transaction() as tx:
        first = pushes.claim_pushes(tx, TENANT, "me", 10)
        assert [push.ref for push in first] == ["9", "1", "3"]
        assert first[1].detail == {"expires": 7}
        assert pushes.claim_pushes(tx, TENANT, "other", 10) == []
        assert not pushes.finish_push(tx, first[1], "other")
        assert pushes.postpone_push(tx, first[1], "me", next_at=tx.now_ms() + MINUTE, error="timeout")
        assert pushes.finish_push(tx, first[2], "me")
        # The first of box a waits, so does the one behind it.
        assert pushes.claim_pushes(tx, TENANT, "me", 10) == []
        assert pushes.drop_pushes(tx, TENANT, "a", [pushes.MESSAGE], "1") == 1
        assert [push.ref for push in pushes.claim_pushes(tx, TENANT, "me", 10)] == ["2"]
        assert [push.ref for push in pushes.waiting_pushes(tx, TENANT, box_id="a")] == ["2"]


def test_lease_of_a_push_runs_out(db: Database, clock: SteppedClock) -> None:
    with db.transaction() as tx:
        pushes.add_push(tx, TENANT, pushes.BOX, box="a", ref="1")
        pushes.claim_pushes(tx, TENANT, "dead", 1)
    clock.advance(pushes.PUSH_LEASE_MS + 1)
    with db.transaction() as tx:
        (again,) = pushes.claim_pushes(tx, TENANT, "alive", 1)
        assert again.attempts == 1
        assert pushes.finish_push(tx, again, "alive")
    clock.advance(MINUTE)
    with db.transaction() as tx:
        assert pushes.forget_pushes(tx, TENANT, tx.now_ms()) == 1


def test_mark_counts_up(db: Database) -> None:
    with db.transaction() as tx:
        assert pushes.read_mark(tx, TENANT) == (0, 0)
        assert [pushes.raise_mark(tx, TENANT) for _ in range(2)] == [1, 2]
        assert pushes.read_mark(tx, TENANT) == (2, tx.now_ms())


def test_entries_are_seen_once_and_refused_ones_are_kept(db: Database) -> None:
    with db.transaction() as tx:
        assert entries.find_seen(tx, TENANT, "b", "x") is None
        assert entries.note_entry(tx, TENANT, "b", "x", kind="item", result="taken")
        assert not entries.note_entry(tx, TENANT, "b", "x", kind="item", result="refused")
        assert entries.find_seen(tx, TENANT, "b", "x") == "taken"
        kept = entries.quarantine_entry(tx, TENANT, "b", "y", kind="item", code="signature", data=b"\x00raw")
        assert entries.get_quarantined(tx, TENANT, kept).data == b"\x00raw"
        assert [one.code for one in entries.list_quarantine(tx, TENANT)] == ["signature"]
        assert entries.forget_entries(tx, TENANT, "b") == 1


def test_newest_card_supersedes(db: Database) -> None:
    with db.transaction() as tx:
        assert cards.newest_card(tx, TENANT) is None
        cards.save_card(tx, TENANT, 1, "one")
        cards.save_card(tx, TENANT, 2, "two")
        cards.save_card(tx, TENANT, 1, "one, signed again")
        newest = cards.newest_card(tx, TENANT)
        assert newest is not None
        assert (newest.serial, newest.superseded_at) == (2, None)
        assert cards.get_card(tx, TENANT, 1).superseded_at == tx.now_ms()
        assert [card.record for card in cards.list_cards(tx, TENANT)] == ["one, signed again", "two"]
