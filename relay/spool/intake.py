"""Where smtpd puts mail: port core.ports.Intake over the database.

A new key for each message is sealed to the spool's public key; this process holds no private key and forgets the
message's own key after the commit. Up to one chunk (256 KiB) stays in memory until the one commit; larger content goes
ahead in sealed chunks that nobody sees before the commit, and that are swept within a minute when it never comes.
`commit` returns after the durable COMMIT of message, key, last chunk, copies and event, and nothing earlier.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.core.envelope import Envelope, SessionInfo
from relay.core.ports import IncomingMessage, SpoolPublicKey
from relay.store.base import Database


class SpoolIntake:
    """core.ports.Intake. Made once in smtpd, closed at its end."""

    def __init__(
        self,
        db: Database,
        spool_public: Callable[[], SpoolPublicKey],
        hostname: str,
        tenant: str,
        max_message: int,
        *,
        reserve: int | None = None,
        max_batch: int = 64,
    ) -> None:
        """`max_message` in octets; `reserve`: octets that intake leaves free, default 2 x max_message + 5 %."""
        raise NotImplementedError

    def has_room(self, octets: int) -> bool:
        """See core.ports.Intake."""
        raise NotImplementedError

    def open(self, session: SessionInfo, envelope: Envelope) -> IncomingMessage:
        """See core.ports.Intake."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish what was submitted, stop the writer thread."""
        raise NotImplementedError
