"""When to try again, when to tell, when to give up."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from relay.core.clock import DAY, HOUR, MINUTE
from relay.spool.backoff import is_delay_notice_due, is_expired, next_delay_ms


@given(st.integers(-5, 10**6), st.integers())
def test_delays_grow_from_a_minute_to_an_hour(attempts: int, seed: int) -> None:
    delay = next_delay_ms(attempts, random.Random(seed))
    assert 0.8 * MINUTE <= delay <= 1.2 * HOUR
    nominal = min(MINUTE * 2 ** min(max(attempts, 1) - 1, 6), HOUR)
    assert 0.8 * nominal - 1 <= delay <= 1.2 * nominal


def test_mails_that_fail_together_do_not_come_back_together() -> None:
    assert len({next_delay_ms(5) for _ in range(50)}) > 40


def test_five_days_and_four_hours() -> None:
    assert not is_expired(1000, 1000 + 5 * DAY - 1)
    assert is_expired(1000, 1000 + 5 * DAY)
    assert not is_delay_notice_due(0, None, 4 * HOUR - 1)
    assert is_delay_notice_due(0, None, 4 * HOUR)
    assert not is_delay_notice_due(0, 1, 9 * HOUR)
