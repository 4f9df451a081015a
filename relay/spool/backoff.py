"""When to try again, when to tell the sender, when to give up (relay design 2.2; RFC 5321 4.5.4.1)."""

from __future__ import annotations

import random

from relay.core.clock import DAY, HOUR, MINUTE

FIRST_DELAY_MS = 1 * MINUTE
LONGEST_DELAY_MS = 1 * HOUR
DELAY_NOTICE_MS = 4 * HOUR
GIVE_UP_MS = 5 * DAY


def next_delay_ms(attempts: int, source: random.Random | None = None) -> int:
    """Return the milliseconds to wait after attempt number `attempts` (from 1): 1 min doubling to 1 h, 20 % jitter."""
    exponent = min(max(attempts, 1) - 1, 16)
    delay = min(FIRST_DELAY_MS << exponent, LONGEST_DELAY_MS)
    spread = (source or random).uniform(0.8, 1.2)
    return int(delay * spread)


def is_expired(first_ms: int, now_ms: int) -> bool:
    """Tell whether mail waiting since `first_ms` is to be given up (4.4.7)."""
    return now_ms - first_ms >= GIVE_UP_MS


def is_delay_notice_due(first_ms: int, delay_notified_at: int | None, now_ms: int) -> bool:
    """Tell whether the sender is to be told now that the mail is late."""
    return delay_notified_at is None and now_ms - first_ms >= DELAY_NOTICE_MS
