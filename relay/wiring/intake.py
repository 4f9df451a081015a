"""Parts of smtpd. Loads nothing that holds or uses a private key."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from relay.core.clock import MINUTE, Clock
from relay.core.documents.domains import DomainsDocument
from relay.core.documents.limits import ListenerLimits
from relay.core.documents.listeners import Listener, ListenerTls
from relay.core.documents.organisation import Organisation
from relay.core.documents.patterns import PatternSet
from relay.core.errors import ConfigurationError, LetterlockError
from relay.core.returns import read_return_token
from relay.keystore.public import SpoolPublicFile
from relay.log import Log
from relay.organisation import CurrentOrganisation
from relay.process.health import HealthSocket
from relay.process.life import say_ready
from relay.process.wake import WakeSender
from relay.settings import Settings
from relay.smtpd.acceptor import LoadBoard
from relay.smtpd.config import LimitsConfig, ListenerConfig, SmtpdConfig
from relay.smtpd.logins import Login
from relay.smtpd.server import Server, run
from relay.spool.intake import SpoolIntake
from relay.store.base import Database
from relay.store.repositories.logins import find_login
from relay.wiring import make_clock, open_database

_log = Log("smtpd")
_WATCH_SECONDS = 2.0
_WAKE_SECONDS = 0.005
_RESTART_KINDS = ("listeners", "domains", "limits")


class _LazyWake:
    """Sends one wake-up for all commits of a moment. Belongs to the event loop of smtpd."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._is_set = False

    def __call__(self) -> None:
        if not self._is_set:
            self._is_set = True
            asyncio.get_running_loop().call_later(_WAKE_SECONDS, self._send)

    def _send(self) -> None:
        self._is_set = False
        self._wake()


class StoredLogins:
    """smtpd.logins.Logins over the table of logins. An unknown name costs the same hash as a known one."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self._hasher = PasswordHasher()
        self._dummy = self._hasher.hash(os.urandom(16).hex())

    def verify(self, name: str, password: str) -> Login | None:
        """See smtpd.logins.Logins."""
        with self._database.reading() as tx:
            found = find_login(tx, self._tenant, name)
        try:
            self._hasher.verify(found.hash if found else self._dummy, password)
        except (VerificationError, InvalidHashError):
            return None
        if found is None or not found.enabled:
            return None
        return Login(found.name, frozenset(found.addresses))


@dataclass(frozen=True, slots=True)
class Share:
    """One of several intake processes, with its number and the listening sockets that it shares with the others."""

    slot: int
    sockets: tuple[tuple[str, int], ...]
    """Listener's name and file number, in the listeners' order."""
    board: int
    """File number of the shared memory in which each says how much it has open."""
    slots: int
    """How many they are."""

    @property
    def process(self) -> str:
        """Return the process's name, for its chain of events, its health and its log."""
        return f"smtpd-{self.slot}"

    @classmethod
    def from_options(cls, slot: str, sockets: Sequence[str]) -> Share:
        """Read the options `--slot SLOT:SLOTS:FD --socket NAME=FD ...`. Raises ConfigurationError."""
        pairs = [text.rpartition("=") for text in sockets]
        numbers = slot.split(":")
        is_good = len(numbers) == 3 and all(one.isdecimal() for one in numbers)
        if not is_good or not pairs or not all(name and number.isdecimal() for name, _, number in pairs):
            raise ConfigurationError("--slot", "is for smtpd's own use", "Start `letterlock smtpd` without it")
        mine, slots, board = (int(one) for one in numbers)
        return cls(mine, tuple((name, int(number)) for name, _, number in pairs), board, slots)

    def to_options(self) -> tuple[str, ...]:
        """Return the options that read back to an equal value."""
        sockets = (f"--socket={name}={number}" for name, number in self.sockets)
        return (f"--slot={self.slot}:{self.slots}:{self.board}", *sockets)

    def open_sockets(self, config: SmtpdConfig) -> list[socket.socket]:
        """Return the sockets. Raises ConfigurationError when they belong to other listeners than the documents': these
        have changed since the sockets were bound, and one listener's rules must not stand at another's port."""
        opened = [socket.socket(fileno=number) for _, number in self.sockets]
        places = [(name, one.getsockname()[1]) for (name, _), one in zip(self.sockets, opened, strict=True)]
        wanted = [(one.name, one.port) for one in config.listeners]
        if len(places) != len(wanted) or not all(
            name == its_name and its_port in (0, port)
            for (name, port), (its_name, its_port) in zip(places, wanted, strict=True)
        ):
            for one in opened:
                one.close()
            raise ConfigurationError("listeners", "were changed in this moment", "Wait for the restart")
        for one in opened:
            one.setblocking(False)
        return opened


def run_intake(settings: Settings, share: Share | None = None) -> None:
    """Run smtpd until SIGTERM. A change of its documents ends it too, so that the supervisor starts it anew; of several
    that share their sockets it ends the one that started them."""
    name = "smtpd" if share is None else share.process
    database = open_database(settings, name)
    organisation = CurrentOrganisation(database, settings.host.tenant)
    config = make_smtpd_config(settings, organisation())
    sockets = None if share is None else share.open_sockets(config)
    board = None if share is None else LoadBoard(share.board, share.slots, share.slot)
    wake = WakeSender(settings.run_dir, "worker")
    spool = SpoolIntake(
        database,
        SpoolPublicFile(settings.keys.public_file).current,
        settings.host.hostname,
        settings.host.tenant,
        config.limits.message_octets,
        on_commit=_LazyWake(wake.wake),
    )
    health: list[HealthSocket] = []
    clock = make_clock(settings)
    stop = threading.Event()

    def ready(server: Server) -> None:
        health.append(HealthSocket(settings.run_dir, name, lambda: _report(server, clock)))
        if share is None:
            watch_documents(organisation, stop)
        _spare_collector()
        say_ready()

    try:
        run(
            config,
            spool,
            StoredLogins(database, settings.host.tenant),
            sockets=sockets,
            ready=ready,
            clock=clock,
            board=board,
        )
    finally:
        stop.set()
        spool.close()
        for one in health:
            one.close()
        if board is not None:
            board.close()
        wake.close()
        database.close()


def _spare_collector() -> None:
    """Let the garbage collector pass over what stays for ever, and look less often: mails make few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _report(server: Server, clock: Clock) -> dict[str, object]:
    """Return the counters; failing while faults of ours were the last thing that happened within a minute."""
    stats = server.stats()
    is_failing = stats.last_fault_ms > max(stats.last_accepted_ms, clock.now_ms() - MINUTE)
    return {"status": "failing" if is_failing else "ok", **asdict(stats)}


def watch_documents(organisation: CurrentOrganisation, stop: threading.Event) -> None:
    """From now on end this process in good order when a document changes that only a new start can obey."""
    began = _watched_versions(organisation)
    threading.Thread(target=_watch, args=(organisation, began, stop), daemon=True).start()


def _watched_versions(organisation: CurrentOrganisation) -> list[int]:
    return [organisation().versions.get(kind, 0) for kind in _RESTART_KINDS]


def _watch(organisation: CurrentOrganisation, began: list[int], stop: threading.Event) -> None:
    while not stop.wait(_WATCH_SECONDS):
        try:
            now = _watched_versions(organisation)
        except LetterlockError:
            continue
        if now != began:
            _log.info("documents-changed")
            os.kill(os.getpid(), signal.SIGTERM)
            return


def make_smtpd_config(settings: Settings, organisation: Organisation) -> SmtpdConfig:
    """Build the intake's configuration from the documents. Raises ConfigurationError."""
    if not organisation.listeners.listeners:
        raise ConfigurationError("listeners", "none is defined", "Name at least one listener: letterlock org put")

    def listener(one: Listener) -> ListenerConfig:
        tls = settings.tls
        offer = one.tls is not ListenerTls.NONE and tls is not None
        networks = tuple(ipaddress.ip_network(text) for text in one.networks) if one.networks is not None else None
        return ListenerConfig(
            name=one.name,
            host=one.host,
            port=one.port,
            side=one.side,
            networks=networks,
            starttls=(tls.certificate, tls.key) if offer and tls is not None else None,
            require_tls=one.tls is ListenerTls.REQUIRE,
            require_auth=one.auth,
            loopback_demo=one.auth_without_tls,
            verify_client_dns=one.check_client_dns,
            verify_recipient_dns=one.check_recipient_dns,
            limits=_listener_limits(one.limits, organisation),
            rules=one.connection_rules,
        )

    return SmtpdConfig(
        hostname=settings.host.hostname,
        listeners=tuple(listener(one) for one in organisation.listeners.listeners),
        own_domains=organisation.domains.names(),
        limits=_process_limits(organisation),
        is_recipient=_make_is_recipient(organisation.domains),
        postmaster=organisation.domains.domains[0].postmaster_address(),
    )


def _listener_limits(limits: ListenerLimits, organisation: Organisation) -> LimitsConfig:
    return LimitsConfig(
        message_octets=limits.message_octets,
        recipients=limits.recipients,
        connections=limits.connections,
        connections_per_client=limits.connections_per_client,
        messages_per_client_minute=limits.messages_per_client_per_minute,
        command_timeout=limits.command_seconds,
        chunk_timeout=limits.chunk_seconds,
        commit_timeout=limits.commit_seconds,
        received_fields=organisation.limits.received_fields,
    )


def _process_limits(organisation: Organisation) -> LimitsConfig:
    """Return what holds for all listeners together; the largest message also sizes the spool's reserve."""
    limits = [one.limits for one in organisation.listeners.listeners]
    return LimitsConfig(
        message_octets=max(one.message_octets for one in limits),
        connections=sum(one.connections for one in limits),
    )


def _make_is_recipient(domains: DomainsDocument) -> Callable[[str], bool]:
    patterns = {own.name: PatternSet(own.recipients) for own in domains.domains}

    def is_recipient(address: str) -> bool:
        known = patterns.get(address.rpartition("@")[2])
        # A return address of our own mails is taken wherever a list of recipients is kept.
        return known is not None and (known.matches(address) or read_return_token(address) is not None)

    return is_recipient
