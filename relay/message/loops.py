"""Loop detection (RFC 5321 6.3): Received fields, our own ones among them, and our own trace field.

A carrier mail does not carry the inside Received fields, so our trace field carries the count of passes instead. Both
can be forged by anybody; all that wins is a refused mail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.message.fields import HeaderFields

TRACE_FIELD = "X-Letterlock-Trace"
_TRACE = re.compile(rb"([A-Za-z0-9.\-_:\[\]]{1,255});\s*passes=(\d{1,4})\s*")
_BY = re.compile(rb"(?:^|\s)by\s+([A-Za-z0-9.\-_:\[\]]{1,255})")  # RFC 5321 4.4


@dataclass(frozen=True, slots=True)
class LoopVerdict:
    """What was counted and whether that is a loop. `explanation` is one plain sentence without mail text."""

    is_loop: bool
    received: int
    own_passes: int
    explanation: str


def _count_own(fields: HeaderFields, hostname: str) -> int:
    own = hostname.lower().encode("utf-8")
    count = 0
    for field in fields.get_all("Received"):
        found = _BY.search(field.value[:4096])
        if found and found[1].lower() == own:
            count += 1
    carried = [
        int(found[2])
        for field in fields.get_all(TRACE_FIELD)
        if (found := _TRACE.fullmatch(field.value)) and found[1].lower() == own
    ]
    return count + max(carried, default=0)


def check_loop(fields: HeaderFields, hostname: str, max_received: int = 50, max_own_passes: int = 4) -> LoopVerdict:
    """Count the passes; a message is looping over `max_received` Received fields or `max_own_passes` through us.

    smtpd's own Received field of this pass counts as one.
    """
    received = len(fields.get_all("Received"))
    own = _count_own(fields, hostname)
    if received > max_received:
        return LoopVerdict(True, received, own, f"{received} Received fields, {max_received} are allowed")
    if own > max_own_passes:
        return LoopVerdict(True, received, own, f"passed {hostname} {own} times, {max_own_passes} are allowed")
    return LoopVerdict(False, received, own, f"{received} Received fields, {own} of them or of our traces ours")


def make_trace(fields: HeaderFields, hostname: str) -> tuple[str, str]:
    """Return the trace field (name, text) for a mail made from this one: our host name and the passes so far."""
    return TRACE_FIELD, f"{hostname}; passes={max(1, min(9999, _count_own(fields, hostname)))}"
