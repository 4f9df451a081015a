"""What all connections of one intake process share."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.core.clock import Clock
from relay.core.errors import LetterlockError
from relay.core.ports import Intake
from relay.log import Log
from relay.smtpd.acceptor import LoadBoard
from relay.smtpd.admission import Admission
from relay.smtpd.config import LimitsConfig, ListenerConfig, SmtpdConfig
from relay.smtpd.content import CommitKeeper
from relay.smtpd.limits import ConnectionCounter, WindowCounter
from relay.smtpd.logins import Logins
from relay.smtpd.names import Names
from relay.smtpd.stats import Stats

if TYPE_CHECKING:
    from relay.smtpd.channel import Channel

_log = Log("smtpd")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listener with what its connections need."""

    listener: ListenerConfig
    limits: LimitsConfig
    admission: Admission
    tls: ssl.SSLContext | None
    connections: ConnectionCounter
    message_rate: WindowCounter


def make_endpoint(
    config: SmtpdConfig, listener: ListenerConfig, names: Names, tls: ssl.SSLContext | None = None
) -> Endpoint:
    """Put together what one listener's connections need."""
    limits = listener.limits or config.limits
    return Endpoint(
        listener=listener,
        limits=limits,
        admission=Admission(config, listener, names),
        tls=tls,
        connections=ConnectionCounter(limits.connections, limits.connections_per_client),
        message_rate=WindowCounter(60.0),
    )


@dataclass(frozen=True, slots=True)
class Service:
    """Configuration, ports and counters. The members change, the set of them does not."""

    config: SmtpdConfig
    intake: Intake
    logins: Logins
    clock: Clock
    stats: Stats
    keeper: CommitKeeper
    failed_clients: WindowCounter
    failed_logins: WindowCounter
    login_slots: asyncio.Semaphore
    channels: set[Channel] = field(default_factory=set)
    board: LoadBoard | None = None
    """Where several processes on the same sockets tell each other how much they have open."""

    def add_channel(self, channel: Channel) -> None:
        """Note an open connection."""
        self.channels.add(channel)
        if self.board is not None:
            self.board.tell(len(self.channels))

    def remove_channel(self, channel: Channel) -> None:
        """Note that a connection has ended."""
        self.channels.discard(channel)
        if self.board is not None:
            self.board.tell(len(self.channels))


def make_service(
    config: SmtpdConfig, intake: Intake, logins: Logins, clock: Clock, board: LoadBoard | None = None
) -> Service:
    """Put the shared things together from the configuration."""
    limits = config.limits
    return Service(
        config=config,
        intake=intake,
        logins=logins,
        clock=clock,
        stats=Stats(),
        keeper=CommitKeeper(),
        failed_clients=WindowCounter(limits.auth_window),
        failed_logins=WindowCounter(limits.auth_window),
        login_slots=asyncio.Semaphore(limits.auth_parallel),
        board=board,
    )


def note_fault(service: Service, endpoint: Endpoint, error: Exception) -> None:
    """Count and log a fault of ours: an expected one in a word, since there is one a message while a database is down;
    any other with its places in the code."""
    service.stats.faults += 1
    service.stats.last_fault_ms = service.clock.now_ms()
    if isinstance(error, LetterlockError):
        _log.error("intake-fault", listener=endpoint.listener.name, error=type(error).__name__, status=error.status)
    else:
        _log.exception("intake-fault", listener=endpoint.listener.name)
