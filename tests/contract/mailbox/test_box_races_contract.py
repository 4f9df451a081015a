"""Two mails of one moment, and a mail beside a rekey: one wins, the other plans anew, nothing is half done."""

from __future__ import annotations

import threading

import pytest

from relay.core.ports import Actor, Grant
from relay.mailbox.boxes import Boxes
from relay.store.errors import ConflictError
from relay.store.repositories.mailbox_generations import generations_of
from relay.store.repositories.mailbox_messages import messages_of_box
from relay.store.repositories.partners import Partner, find_or_create
from tests.contract.mailbox.world import ANNA, MARIA, OTTO, TENANT, WORKER, World, password_in

GRANT = Grant("protect", "message-1", str(WORKER))


def make_boxes(world: World) -> tuple[Boxes, Partner]:
    with world.db.transaction() as tx:
        partner = find_or_create(tx, TENANT, ANNA, Actor("system", "test"))
    return Boxes(world.db, world.generations, tenant=TENANT, actor=WORKER), partner


def test_two_first_mails_make_one_mailbox(world: World) -> None:
    boxes, partner = make_boxes(world)
    plans = [boxes.plan(sender, partner, "en", GRANT) for sender in (MARIA, OTTO)]
    with world.db.transaction() as tx:
        boxes.record(tx, plans[0])
    with pytest.raises(ConflictError), world.db.transaction() as tx:
        boxes.record(tx, plans[1])
    again = boxes.plan(OTTO, partner, "en", GRANT)
    assert (again.is_new, again.made, again.box.id, again.no) == (False, None, plans[0].box.id, 2)
    with world.db.transaction() as tx:
        boxes.record(tx, again)
        assert len(generations_of(tx, TENANT, again.box.id)) == 1


def test_plan_made_before_a_rekey_is_made_again(world: World) -> None:
    world.send()
    world.work()
    world.link()
    boxes, partner = make_boxes(world)
    plan = boxes.plan(MARIA, partner, "en", GRANT)
    world.choose_password(world.sign_in(password_in(world.mails(MARIA)[0])), "a long password of mine")
    with pytest.raises(ConflictError), world.db.transaction() as tx:
        boxes.record(tx, plan)
    assert boxes.plan(MARIA, partner, "en", GRANT).box.gen == 2


def test_numbers_of_one_moment_are_all_different(world: World) -> None:
    world.send()
    world.work()
    boxes, partner = make_boxes(world)
    numbers: list[int] = []

    def take() -> None:
        numbers.extend(boxes.plan(MARIA, partner, "en", GRANT).no for _ in range(5))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(2, 22))


def test_mail_that_lost_a_race_is_tried_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    message_id = world.send()
    record, lost = Boxes.record, []

    def lose_once(self: Boxes, tx: object, plan: object) -> None:
        if not lost:
            lost.append(plan)
            raise ConflictError("another mail was faster")
        record(self, tx, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(Boxes, "record", lose_once)
    world.work()
    assert world.copy(message_id).state == "queued"
    with world.db.reading() as tx:
        assert len(messages_of_box(tx, TENANT, world.box().id)) == 1
