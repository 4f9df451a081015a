"""Counting connections, messages and failed logins per client. Kept in memory, bounded, gone with the process.

Time is handed in as monotonic seconds. Must not: know sockets or replies.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict


def client_key(client_ip: str) -> str:
    """Return what limits count by: the IPv4 address, or the /64 that one IPv6 client has to itself."""
    if ":" not in client_ip:
        return client_ip
    try:
        address = ipaddress.IPv6Address(client_ip)
    except ValueError:
        return client_ip
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class ConnectionCounter:
    """Open connections in all and per client."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self._most = most
        self._most_per_client = most_per_client
        self._open: dict[str, int] = {}
        self.total = 0

    def is_full(self) -> bool:
        """Tell whether no further connection may be opened at all."""
        return self.total >= self._most

    def is_full_for(self, client: str) -> bool:
        """Tell whether this client may open no further connection."""
        return self._open.get(client, 0) >= self._most_per_client

    def add(self, client: str) -> None:
        """Count a connection that was opened."""
        self.total += 1
        self._open[client] = self._open.get(client, 0) + 1

    def remove(self, client: str) -> None:
        """Count a connection that was closed."""
        self.total -= 1
        left = self._open[client] - 1
        if left:
            self._open[client] = left
        else:
            del self._open[client]


class WindowCounter:
    """Events per name within a window of `seconds`, by the two-bucket estimate: the old bucket fades linearly."""

    def __init__(self, seconds: float, most_names: int = 20_000) -> None:
        self._seconds = seconds
        self._most_names = most_names
        self._buckets: OrderedDict[str, tuple[int, float, float]] = OrderedDict()

    def count(self, name: str, now: float) -> float:
        """Return the estimate for the last window."""
        number, before, current = self._buckets.get(name, (0, 0.0, 0.0))
        position = now / self._seconds
        if int(position) == number + 1:
            before, current = current, 0.0
        elif int(position) != number:
            return 0.0
        return before * (1.0 - position % 1.0) + current

    def add(self, name: str, now: float) -> None:
        """Count one event."""
        number, before, current = self._buckets.pop(name, (0, 0.0, 0.0))
        bucket = int(now / self._seconds)
        if bucket == number + 1:
            before, current = current, 0.0
        elif bucket != number:
            before, current = 0.0, 0.0
        self._buckets[name] = (bucket, before, current + 1.0)
        while len(self._buckets) > self._most_names:
            self._buckets.popitem(last=False)

    def forget(self, name: str) -> None:
        """Start afresh for this name."""
        self._buckets.pop(name, None)
