"""What a comparison of both sides must not take for a restore."""

from __future__ import annotations

from relay.core.clock import MINUTE
from tests.contract.link.world import Linked


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
