"""The port to the logins: who may submit, and as whom (RFC 4954, RFC 6409)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Login:
    """A person or program that has logged in. `addresses` are in normal form (core.address.normalise_address)."""

    name: str
    addresses: frozenset[str]


class Logins(Protocol):
    """Where passwords are checked. Called in a thread; may block."""

    def verify(self, name: str, password: str) -> Login | None:
        """Return the login, or None when name or password is wrong. Raises LetterlockError when it cannot tell."""
        ...


class NoLogins:
    """Nobody can log in."""

    def verify(self, name: str, password: str) -> Login | None:  # noqa: ARG002 - the port's signature
        """Return None."""
        return None
