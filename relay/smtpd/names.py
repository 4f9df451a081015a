"""DNS checks of client and recipient domain, where a listener asks for them.

Does: tell whether a client's address has a name that leads back to it, and whether a domain can take mail
(RFC 5321 5.1, null MX of RFC 7505). What DNS cannot tell now is `UNKNOWN`, which delays and never bounces.
Must not: block the loop, decide what to answer, remember for long.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver


class Finding(Enum):
    """What DNS says."""

    GOOD = auto()
    MISSING = auto()
    NULL_MX = auto()
    UNKNOWN = auto()


class Names(Protocol):
    """The port to DNS."""

    async def check_client(self, client_ip: str) -> Finding:
        """Tell whether the address has a PTR name that resolves to the address again."""
        ...

    async def check_domain(self, domain: str) -> Finding:
        """Tell whether the domain (A-labels) has a usable MX, or an address instead."""
        ...


class DnsNames:
    """Asks real DNS through dnspython and remembers for a minute."""

    def __init__(self, timeout: float, resolver: Resolver | None = None, most: int = 4096) -> None:
        self._timeout = timeout
        self._resolver = resolver
        self._most = most
        self._known: OrderedDict[str, tuple[float, Finding]] = OrderedDict()

    async def check_client(self, client_ip: str) -> Finding:
        """See the port."""
        return await self._remembered(client_ip, self._look_up_client)

    async def check_domain(self, domain: str) -> Finding:
        """See the port."""
        return await self._remembered(domain, self._look_up_domain)

    async def _remembered(self, name: str, look_up: _LookUp) -> Finding:
        now = asyncio.get_running_loop().time()
        known = self._known.get(name)
        if known is not None and now - known[0] < 60.0:
            return known[1]
        try:
            async with asyncio.timeout(self._timeout):
                finding = await look_up(name)
        except TimeoutError:
            finding = Finding.UNKNOWN
        if finding is not Finding.UNKNOWN:
            self._known[name] = (now, finding)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return finding

    async def _answers(self, name: str, kind: str) -> list[str] | None:
        """Return the records as text, empty when there are none, None when DNS cannot tell now."""
        import dns.asyncresolver
        import dns.exception
        import dns.resolver

        try:
            if self._resolver is None:
                self._resolver = dns.asyncresolver.Resolver()
            answer = await self._resolver.resolve(name, kind, lifetime=self._timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError, UnicodeError):
            return None
        return [str(record) for record in answer]

    async def _look_up_client(self, client_ip: str) -> Finding:
        import dns.reversename

        names = await self._answers(dns.reversename.from_address(client_ip).to_text(), "PTR")
        if names is None:
            return Finding.UNKNOWN
        is_sure = True
        for name in names[:4]:
            addresses = await self._answers(name, "AAAA" if ":" in client_ip else "A")
            if addresses is None:
                is_sure = False
            elif client_ip in addresses:
                return Finding.GOOD
        return Finding.MISSING if is_sure else Finding.UNKNOWN

    async def _look_up_domain(self, domain: str) -> Finding:
        exchangers = await self._answers(domain, "MX")
        if exchangers is None:
            return Finding.UNKNOWN
        if exchangers:
            return Finding.NULL_MX if [e.split()[-1] for e in exchangers] == ["."] else Finding.GOOD
        is_sure = True
        for kind in ("A", "AAAA"):  # RFC 5321 5.1: no MX, then the address itself
            addresses = await self._answers(domain, kind)
            if addresses:
                return Finding.GOOD
            is_sure = is_sure and addresses is not None
        return Finding.MISSING if is_sure else Finding.UNKNOWN


class _LookUp(Protocol):
    async def __call__(self, name: str, /) -> Finding: ...
