"""Rows of registration links and reply codes on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.ids import new_id
from relay.core.ports import Actor, SealedBlob
from relay.store.base import Database, Tx
from relay.store.errors import NotFoundError
from relay.store.repositories.mailbox_joins import (
    EXPIRED,
    OPEN,
    ParkedMail,
    StoredJoin,
    add_join,
    change_join,
    find_open_join,
    forget_joins,
    get_join,
    open_joins,
)
from relay.store.repositories.partners import find_or_create
from relay.store.repositories.passwords import add_password, chosen_password, current_pair_password

TENANT = "bank"
ACTOR = Actor("system", "test")
BLOB = SealedBlob("k1", "AES", 1, b"\x00sealed")
ANNA, MARIA, OTTO = "anna@partner.example", "maria@bank.example", "otto@bank.example"


def make_join(tx: Tx, address: str = ANNA) -> StoredJoin:
    now = tx.now_ms()
    return StoredJoin(
        id=new_id(),
        tenant=TENANT,
        partner_id=find_or_create(tx, TENANT, address, ACTOR).id,
        sender=MARIA,
        sender_name="Maria Keller",
        state=OPEN,
        want="",
        secret=BLOB,
        mails=(ParkedMail(0, new_id()), ParkedMail(now + 1, new_id())),
        reminders=0,
        renewed=0,
        began_at=now,
        created_at=now,
        expires_at=now + 10,
    )


def test_a_link_is_read_back_as_it_was_stored(db: Database) -> None:
    with db.transaction() as tx:
        join = make_join(tx)
        assert add_join(tx, join)
    with db.reading() as tx:
        assert get_join(tx, TENANT, join.id) == find_open_join(tx, TENANT, join.partner_id) == join
        with pytest.raises(NotFoundError):
            get_join(tx, "other", join.id)


def test_one_open_link_a_partner(db: Database) -> None:
    with db.transaction() as tx:
        first, second = make_join(tx), make_join(tx)
        assert add_join(tx, first)
        assert not add_join(tx, second)
        held = get_join(tx, TENANT, first.id, lock=True)
        change_join(tx, held, {"state": EXPIRED, "mails": (), "ended_at": tx.now_ms()})
        assert add_join(tx, second)
    with db.reading() as tx:
        assert find_open_join(tx, TENANT, first.partner_id) == second
        assert get_join(tx, TENANT, first.id).mails == ()


def test_what_never_changes_is_not_written(db: Database) -> None:
    with db.transaction() as tx:
        join = make_join(tx)
        add_join(tx, join)
        with pytest.raises(KeyError):
            change_join(tx, join, {"partner_id": "x"})


def test_open_links_come_page_by_page(db: Database) -> None:
    with db.transaction() as tx:
        made = [make_join(tx, f"p{number}@partner.example") for number in range(7)]
        assert all(add_join(tx, one) for one in made)
        change_join(tx, made[0], {"state": EXPIRED, "ended_at": tx.now_ms()})
    with db.reading() as tx:
        for page in (1, 3, 6, 10):
            assert {one.id for one in open_joins(tx, TENANT, page=page)} == {one.id for one in made[1:]}


def test_only_ended_links_are_forgotten(db: Database) -> None:
    with db.transaction() as tx:
        ended, still = make_join(tx), make_join(tx, "ben@partner.example")
        assert add_join(tx, replace(ended, state=EXPIRED, ended_at=5))
        assert add_join(tx, still)
        assert forget_joins(tx, TENANT, 6) == 1
        assert [one.id for one in open_joins(tx, TENANT)] == [still.id]


def test_a_chosen_password_is_marked_and_the_newest_in_use_counts(db: Database) -> None:
    with db.transaction() as tx:
        partner = find_or_create(tx, TENANT, ANNA, ACTOR).id
        made = add_password(tx, TENANT, MARIA, partner, version=1, blob=BLOB, actor=ACTOR)
        assert made is not None
        assert not made.is_chosen
        assert chosen_password(tx, TENANT, partner) is None
        chosen = add_password(tx, TENANT, OTTO, partner, version=1, blob=BLOB, actor=ACTOR, is_chosen=True)
        assert chosen is not None
        assert chosen.is_chosen
        assert chosen_password(tx, TENANT, partner) == current_pair_password(tx, TENANT, OTTO, partner) == chosen
        # A machine's one takes its place.
        add_password(tx, TENANT, OTTO, partner, version=2, blob=BLOB, actor=ACTOR)
        assert chosen_password(tx, TENANT, partner) is None
