"""Counters of one intake process, for health and metrics. Plain numbers, no names or addresses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Counted since the start, apart from `connections_open` and `messages_open`, which tell the present."""

    connections_open: int = 0
    connections_total: int = 0
    connections_refused: int = 0
    messages_open: int = 0
    messages_accepted: int = 0
    messages_refused: int = 0
    messages_failed: int = 0
    """Refused for a fault of ours (4xx after the content)."""
    messages_aborted: int = 0
    """The peer went away before the end of data."""
    octets_accepted: int = 0
    recipients_accepted: int = 0
    recipients_refused: int = 0
    commits_late: int = 0
    """Commits that took longer than the limit; their outcome was not waited for."""
    logins_accepted: int = 0
    logins_refused: int = 0
    suspected_loops: int = 0
    faults: int = 0
    """Errors that nobody foresaw."""
    last_fault_ms: int = 0
    """Time of the last storage or internal fault, milliseconds since 1970; 0 when none."""
    last_accepted_ms: int = 0
    stopping: bool = False
