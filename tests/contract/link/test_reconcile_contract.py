"""What a comparison of both sides must not take for a restore."""

from __future__ import annotations

from relay.core.clock import HOUR, MINUTE
from relay.core.lifecycle import State
from relay.store.repositories import mailbox_pushes as pushes
from tests.contract.link.world import TENANT, Linked


def test_what_is_pushed_while_the_inventory_is_read_is_no_alarm(linked: Linked) -> None:
    before = linked.alerts()
    linked.break_calls()
    linked.send()
    linked.mend()
    linked.clock.advance(15 * MINUTE)
    pushed = 0

    def push_meanwhile(_method: str, path: str) -> None:
        nonlocal pushed
        if "inventory" in path and not pushed:
            # Its answer is on the way and knows nothing of this.
            pushed = linked.push()

    linked.after_call = push_meanwhile
    linked.keeper.run_once()
    assert pushed
    linked.mend()
    linked.go()
    linked.keeper.run_once()
    assert linked.alerts() == before


def test_mail_that_waits_for_a_portal_without_its_mailbox_brings_the_mailbox(linked: Linked) -> None:
    """The comparison queues the box behind the mail: it must not wait for it."""
    empty = linked.back_up()
    linked.keeper.run_once()
    first = linked.send()
    linked.push()
    linked.restore(empty)
    second = linked.inside.send()
    linked.inside.work()
    # Before anything was compared.
    linked.push()
    assert linked.state(second) is State.DELIVERED
    linked.keeper.run_once()
    linked.go()
    assert linked.state(first) is State.DELIVERED
    assert linked.waiting() == []


def test_a_comparison_makes_due_what_was_left_for_later(linked: Linked) -> None:
    """What failed before it waits for a minute and longer; a restored portal would stay shut for as long."""
    linked.keeper.run_once()
    linked.send()
    linked.push()
    copy = linked.back_up()
    linked.restore(copy)
    second = linked.inside.send()
    linked.inside.work()
    with linked.inside.db.transaction() as tx:
        tx.run("UPDATE portal_push SET next_at = ? WHERE state = 'waiting'", [tx.now_ms() + HOUR])
        pushes.raise_mark(tx, TENANT)
        pushes.raise_mark(tx, TENANT)
    linked.push()
    assert linked.state(second) is not State.DELIVERED
    linked.clock.advance(15 * MINUTE)
    linked.keeper.run_once()
    linked.push()
    assert linked.state(second) is State.DELIVERED
