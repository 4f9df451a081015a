"""Where did it come in? `listener` (name), `side`, `client` (networks), `direction` (A4, B1)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from relay.core.documents.patterns import PatternSet, read_text_pattern
from relay.core.documents.reading import DocumentError, check_choice, check_items, read_network
from relay.core.envelope import Side
from relay.policy.facts import Direction, Facts, RecipientFacts, direction_of
from relay.policy.rules.condition import list_words
from relay.policy.rules.sender import require_some

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ListenerIs:
    """The listener's name fits a pattern."""

    patterns: PatternSet

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the session."""
        return self.patterns.matches(facts.listener)

    def describe(self) -> str:
        """Return the words."""
        return f"the listener is {list_words(self.patterns.patterns)}"


@dataclass(frozen=True, slots=True)
class SideIs:
    """The listener looks to one of these sides."""

    sides: frozenset[Side]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the session."""
        return facts.side in self.sides

    def describe(self) -> str:
        """Return the words."""
        return f"it came in by the side {list_words(sorted(self.sides))}"


@dataclass(frozen=True, slots=True)
class ClientIs:
    """The client's address lies in one of the networks."""

    networks: tuple[Network, ...]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for the session; an IPv4 address in IPv6 clothes counts as IPv4 (RFC 4291 2.5.5.2)."""
        if not facts.client_ip:
            return False
        address = ipaddress.ip_address(facts.client_ip)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            return any(address.ipv4_mapped in network for network in self.networks)
        return any(address in network for network in self.networks)

    def describe(self) -> str:
        """Return the words."""
        return f"the client's address is in {list_words(str(network) for network in self.networks)}"


@dataclass(frozen=True, slots=True)
class DirectionIs:
    """The copy goes one of these ways."""

    directions: frozenset[Direction]

    def evaluate(self, facts: Facts, recipient: RecipientFacts, strict: bool) -> bool:  # noqa: ARG002
        """Answer for this copy."""
        return direction_of(facts, recipient) in self.directions

    def describe(self) -> str:
        """Return the words."""
        return f"the direction is {list_words(sorted(self.directions))}"


def read_listener(untrusted_value: object, path: str) -> ListenerIs:
    """Read `{"listener": ["inside"]}`."""
    return ListenerIs(require_some(check_items(untrusted_value, path, read_text_pattern), path))


def read_side(untrusted_value: object, path: str) -> SideIs:
    """Read `{"side": ["submission"]}`."""
    sides = check_items(untrusted_value, path, lambda value, at: check_choice(value, at, Side))
    if not sides:
        raise DocumentError(path, "is empty", "Name at least one side")
    return SideIs(frozenset(sides))


def read_client(untrusted_value: object, path: str) -> ClientIs:
    """Read `{"client": ["10.1.0.0/16"]}`."""
    networks = check_items(untrusted_value, path, read_network)
    if not networks:
        raise DocumentError(path, "is empty", "Name at least one network")
    return ClientIs(tuple(ipaddress.ip_network(network) for network in networks))


def read_direction(untrusted_value: object, path: str) -> DirectionIs:
    """Read `{"direction": ["outbound"]}`."""
    directions = check_items(untrusted_value, path, lambda value, at: check_choice(value, at, Direction))
    if not directions:
        raise DocumentError(path, "is empty", "Name at least one direction")
    return DirectionIs(frozenset(directions))
