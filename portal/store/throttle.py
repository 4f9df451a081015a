"""Counters of wrong tries, in SQL because nodes share them. Keyed by what was typed, whether it exists or not.

Per login five tries, then 2^n seconds up to 15 minutes, never a lock for ever; a known device has a budget of its own,
so that nobody can lock the owner out. Per network a softer limit. Obeys portal.md 3.2 and sealed-mailbox 14.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text, update

from portal.store.models import throttle
from relay.core.clock import DAY, HOUR, SECOND

ACCOUNT_TRIES = 5
NETWORK_TRIES = 40
TOTAL_ONLY = 1_000_000
"""Free tries of a counter that nobody waits for: its total counts, for what is lost after so many tries in all."""
MOST_SECONDS = 900
FORGET_AFTER = DAY
FORGET_NETWORK_AFTER = HOUR

# One statement makes the row or locks it, so that tries at the same moment wait for each other.
_TOUCH = text(
    "INSERT INTO throttle (name, wrong, total, until, changed) VALUES (:name, 0, 0, 0, :now) "
    "ON CONFLICT (name) DO UPDATE SET changed = excluded.changed, "
    "wrong = CASE WHEN throttle.changed < :old THEN 0 ELSE throttle.wrong END "
    "RETURNING wrong, total, until"
)


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter as it stands now, its row locked until the transaction ends."""

    name: str
    tries: int
    wrong: int
    total: int
    until: int


def touch_counters(connection: Connection, names: Sequence[tuple[str, int]], now: int) -> list[Counter]:
    """Lock the counters of these (name, free tries), in the order of their names; make those that are not there."""
    found = {}
    for name, tries in sorted(names):
        age = FORGET_NETWORK_AFTER if tries == NETWORK_TRIES else FORGET_AFTER
        row = connection.execute(_TOUCH, {"name": name, "now": now, "old": now - age}).one()
        found[name] = Counter(name, tries, row.wrong, row.total, row.until)
    return [found[name] for name, _ in names]


def seconds_to_wait(counters: Sequence[Counter], now: int) -> int:
    """Return how many seconds there may be no try, 0 for none."""
    latest = max((counter.until for counter in counters), default=0)
    return max(0, -(-(latest - now) // SECOND))


def count_wrong(connection: Connection, counters: Sequence[Counter], now: int) -> None:
    """Count a wrong try, and set when the next may come."""
    for counter in counters:
        wrong = counter.wrong + (counter.tries != TOTAL_ONLY)
        delay = min(2 ** min(wrong - counter.tries + 1, 20), MOST_SECONDS) if wrong >= counter.tries else 0
        connection.execute(
            update(throttle)
            .where(throttle.c.name == counter.name)
            .values(wrong=wrong, total=counter.total + 1, until=now + delay * SECOND if delay else counter.until)
        )


def forgive(connection: Connection, names: Sequence[str], *, is_new_capsule: bool = False) -> None:
    """Forget wrong tries after a right one; the total too when the relay pushed a capsule."""
    values = {"wrong": 0, "until": 0} | ({"total": 0} if is_new_capsule else {})
    connection.execute(update(throttle).where(throttle.c.name.in_(names)).values(**values))
