"""Who may hand what to whom: the rules of each side, by network, login, own domains and DNS.

Does: refuse clients, senders and recipients with a reply of the table. An INSIDE listener takes mail to anywhere from
its networks, an OUTSIDE one to own domains only, a SUBMISSION one from logins with their own addresses only.
Must not: look at message content, decide on protection.
Sources: RFC 5321 3.6.2 (relaying), 4.5.1 (postmaster); RFC 6409 6.1; RFC 4954; RFC 7372 3 and RFC 7505 for statuses.
"""

from __future__ import annotations

import functools
import ipaddress

from relay.core.address import domain_of, normalise_address
from relay.core.envelope import Recipient, Side
from relay.core.errors import AddressError
from relay.smtpd import replies
from relay.smtpd.config import ListenerConfig, SmtpdConfig
from relay.smtpd.grammar import RcptCommand
from relay.smtpd.logins import Login
from relay.smtpd.names import Finding, Names
from relay.smtpd.replies import RefusalError


class Admission:
    """The rules of one listener. Holds no state of a connection."""

    def __init__(self, config: SmtpdConfig, listener: ListenerConfig, names: Names) -> None:
        self._listener = listener
        self._names = names
        self._own_domains = config.own_domains
        self._is_recipient = config.is_recipient if listener.side is Side.OUTSIDE else None
        self._postmaster = config.postmaster_address
        # RFC 5321 4.5.1: the postmaster of every name we go by.
        self._own_names = config.own_domains | {config.hostname.lower()}

    def is_client_allowed(self, client_ip: str) -> bool:
        """Tell whether the client's network may use this listener."""
        networks = self._listener.networks
        if networks is None:
            return True
        try:
            address = ipaddress.ip_address(client_ip)
        except ValueError:
            return False
        return any(address in network for network in networks if network.version == address.version)

    async def check_client_name(self, client_ip: str) -> None:
        """Refuse a client without a name in DNS, where the listener wants one. Raises RefusalError."""
        if self._listener.verify_client_dns:
            finding = await self._names.check_client(client_ip)
            if finding is Finding.UNKNOWN:
                raise RefusalError(replies.CLIENT_NAME_UNKNOWN_NOW)
            if finding is not Finding.GOOD:
                raise RefusalError(replies.CLIENT_NAME_MISSING)

    def check_sender(self, reverse_path: str, login: Login | None) -> None:
        """Refuse a login's use of an address that is not its own. Raises RefusalError.

        The null reverse-path is nobody's address: reading programs send their MDNs with it (RFC 8098 2.1).
        """
        if not self._listener.needs_auth:
            return
        if login is None:
            raise RefusalError(replies.LOGIN_FIRST)
        if reverse_path and _normal(reverse_path, replies.BAD_SENDER) not in login.addresses:
            raise RefusalError(replies.SENDER_NOT_YOURS)

    async def check_recipient(self, command: RcptCommand) -> Recipient:
        """Return the recipient as it goes into the envelope. Raises RefusalError."""
        if command.is_bare_postmaster:
            return Recipient(self._postmaster, command.notify, command.orcpt)
        address = _normal(command.forward_path, replies.BAD_RECIPIENT)
        domain = domain_of(address)
        if self._is_our_postmaster(command.forward_path, domain):
            pass  # RFC 5321 4.5.1: taken whatever else exists
        elif domain in self._own_domains:
            if self._is_recipient is not None and not self._is_recipient(address):
                raise RefusalError(replies.RECIPIENT_UNKNOWN)
        else:
            if self._listener.side is Side.OUTSIDE:
                raise RefusalError(replies.RELAYING_DENIED)
            if self._listener.verify_recipient_dns and not domain.startswith("["):
                await self._check_domain(domain)
        return Recipient(command.forward_path, command.notify, command.orcpt)

    def _is_our_postmaster(self, forward_path: str, domain: str) -> bool:
        return domain in self._own_names and forward_path.rpartition("@")[0].lower() == "postmaster"

    async def _check_domain(self, domain: str) -> None:
        finding = await self._names.check_domain(domain)
        if finding is Finding.UNKNOWN:
            raise RefusalError(replies.DOMAIN_UNKNOWN_NOW)
        if finding is Finding.NULL_MX:
            raise RefusalError(replies.DOMAIN_NULL_MX)
        if finding is Finding.MISSING:
            raise RefusalError(replies.DOMAIN_MISSING)


@functools.lru_cache(maxsize=512)
def _normal(path: str, bad: replies.Reply) -> str:
    try:
        return normalise_address(path)
    except AddressError as error:
        raise RefusalError(bad) from error
