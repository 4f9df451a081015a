"""Counters of wrong tries, in SQL because nodes share them. Keyed by what was typed, whether it exists or not.

Per login (`login:`) five tries, then 2^n seconds up to 15 minutes, never a lock for ever; a known device (`device:`)
has a budget of its own, so that nobody can lock the owner out, and so has who is signed in and chooses a new password
(`rekey:`). Per address (`net:`) a softer limit, per neighbourhood of addresses (`wide:`, /24 and /48: whose network it
is cannot be known without asking somebody) a softer one still, both by the hour: on a busy day no hour passes without
somebody's slip. A reply link (`link:`) is shut for a day after ten wrong tries, all links of a box (`reply:`) to the
end of the day after a hundred. Obeys portal.md 1.7, 3.2 and sealed-mailbox 12, 14.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, literal, or_, select, text, update

from portal.store.models import throttle, token
from relay.core.clock import DAY, HOUR, SECOND

ACCOUNT_TRIES = 5
NETWORK_TRIES = 40
"""Of an address in one hour, by everybody behind it that no device cookie tells apart."""
WIDE_TRIES = 200
"""Of a neighbourhood in one hour, by everybody in it that no device cookie tells apart."""
LINK_TRIES = 10
"""Wrong tries that a reply link takes before it is shut for a day (portal.md 1.7)."""
BOX_TRIES = 100
"""Wrong tries that all links of a reply box take together in a day."""
TOTAL_ONLY = 1_000_000
"""Free tries of a counter that nobody waits for: its total counts, for what is lost after so many tries in all."""
MOST_SECONDS = 900
WIDE_SECONDS = 30
"""The longest wait of a neighbourhood: it slows a guesser with many addresses and nobody else much."""
FORGET_AFTER = DAY
_LINK, _REPLY, _WIDE = "link:", "reply:", "wide:"

# One statement makes the row or locks it, so that tries at the same moment wait for each other.
_TOUCH = text(
    "INSERT INTO throttle (name, wrong, total, until, changed) VALUES (:name, 0, 0, 0, :now) "
    "ON CONFLICT (name) DO UPDATE SET changed = excluded.changed, "
    "wrong = CASE WHEN throttle.changed < :old OR (throttle.wrong >= :most AND throttle.until <= :now) "
    "THEN 0 ELSE throttle.wrong END "
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

    @property
    def is_shut(self) -> bool:
        """Tell whether there were too many wrong tries for a link, or for its box; the end is `until` or the day's."""
        if self.name.startswith(_LINK):
            return self.wrong >= LINK_TRIES
        return self.name.startswith(_REPLY) and self.total >= BOX_TRIES


def name_networks(network: str, now: int) -> list[tuple[str, int]]:
    """Return the counters, with their free tries, of where a reader comes from: the address and its neighbourhood."""
    names = [name_address("net", network, now)]
    try:
        parsed = ipaddress.ip_network(network)
    except ValueError:
        return names
    wide = parsed.supernet(new_prefix=24 if parsed.version == 4 else 48)
    return [*names, (f"{_WIDE}{wide}:{now // HOUR}", WIDE_TRIES)]


def name_address(what: str, network: str, now: int) -> tuple[str, int]:
    """Return the counter, with its free tries, of what comes from an address in this hour: slips, or wishes."""
    return f"{what}:{network}:{now // HOUR}", NETWORK_TRIES


def name_links(link: str, box: str, now: int) -> list[tuple[str, int]]:
    """Return the counters of a reply link, by its hash, and of all links of its box."""
    return [(f"{_LINK}{link}", ACCOUNT_TRIES), (f"{_REPLY}{box}:{now // DAY}", TOTAL_ONLY)]


def touch_counters(connection: Connection, names: Sequence[tuple[str, int]], now: int) -> list[Counter]:
    """Lock the counters of these (name, free tries), in the order of their names; make those that are not there."""
    found = {}
    for name, tries in sorted(names):
        most = LINK_TRIES if name.startswith(_LINK) else TOTAL_ONLY
        row = connection.execute(_TOUCH, {"name": name, "now": now, "old": now - FORGET_AFTER, "most": most}).one()
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
        most = WIDE_SECONDS if counter.name.startswith(_WIDE) else MOST_SECONDS
        delay = min(2 ** min(wrong - counter.tries + 1, 20), most) if wrong >= counter.tries else 0
        if counter.name.startswith(_LINK) and wrong >= LINK_TRIES:
            delay = DAY // SECOND
        connection.execute(
            update(throttle)
            .where(throttle.c.name == counter.name)
            .values(wrong=wrong, total=counter.total + 1, until=now + delay * SECOND if delay else counter.until)
        )


def forgive(connection: Connection, names: Sequence[str], *, is_new_capsule: bool = False) -> None:
    """Forget wrong tries after a right one; the total too when the relay pushed a capsule."""
    values = {"wrong": 0, "until": 0} | ({"total": 0} if is_new_capsule else {})
    connection.execute(update(throttle).where(throttle.c.name.in_(names)).values(**values))


def lock_links(connection: Connection, box: str, now: int) -> list[str]:
    """Lock the counters of a reply box and of all its links, in the order of their names; return the names."""
    of_links = select(literal(_LINK) + token.c.hash).where(token.c.box == box)
    (_, (of_box, _)) = name_links("", box, now)
    query = select(throttle.c.name).where(or_(throttle.c.name == of_box, throttle.c.name.in_(of_links)))
    return list(connection.execute(query.order_by(throttle.c.name).with_for_update()).scalars())


def count_left(connection: Connection, link: str, box: str, now: int) -> int:
    """Return how many wrong tries a reply link still takes; 0 while it is shut. Counts nothing."""
    (of_link, _), (of_box, _) = name_links(link, box, now)
    rows = {row.name: row for row in connection.execute(select(throttle).where(throttle.c.name.in_((of_link, of_box))))}
    if of_box in rows and rows[of_box].total >= BOX_TRIES:
        return 0
    row = rows.get(of_link)
    if row is None or row.changed < now - FORGET_AFTER or (row.wrong >= LINK_TRIES and row.until <= now):
        return LINK_TRIES
    return max(0, LINK_TRIES - int(row.wrong))
