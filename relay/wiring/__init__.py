"""The only room that chooses implementations: settings and documents in, working parts out. One module a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from relay.core.clock import Clock, SystemClock
from relay.core.decision import Method
from relay.core.documents.organisation import Organisation
from relay.core.ports import Actor
from relay.settings import Settings
from relay.store.base import Database

if TYPE_CHECKING:
    from relay.actions.mailer import Mailer
    from relay.keystore.client import RemoteKeyStore

_POSSIBLE = frozenset({Method.PASS, Method.PDF, Method.HOLD, Method.REJECT, Method.DISCARD, Method.FORWARD})


def possible_methods(settings: Settings) -> frozenset[Method]:
    """Return what works on this host, webmail where a portal is linked; policy skips or holds the rest and says so."""
    if settings.portal is not None and settings.portal.link is not None:
        return _POSSIBLE | {Method.WEBMAIL}
    return _POSSIBLE


def make_clock(settings: Settings) -> Clock:
    """Return the host's clock, moved by the test offset where one is set."""
    return SystemClock(settings.clock_offset_file)


def open_database(settings: Settings, process: str) -> Database:
    """Open the database as one of this node's processes. Raises ConfigurationError, StorageError."""
    return Database.open(settings.database_url, make_clock(settings), f"{settings.host.node}/{process}")


def keyd_socket(settings: Settings, role: str) -> Path:
    """Return where keyd listens for a role."""
    return settings.run_dir / "keyd" / f"{role}.sock"


def open_keystore(settings: Settings, role: str) -> RemoteKeyStore:
    """Return keyd's client for a role; it connects when it is first used."""
    from relay.keystore.client import RemoteKeyStore

    return RemoteKeyStore(keyd_socket(settings, role))


def make_hop_for(organisation: Callable[[], Organisation]) -> Callable[[str], str]:
    """Return the function that names an address's hop for the queue; a route may change until it is tried."""

    def hop_for(address: str) -> str:
        route = organisation().routes.find(address.lower())
        return f"{route.hop.value}:{route.host}:{route.port}" if route else ""

    return hop_for


def make_mailer(settings: Settings, process: str, organisation: Callable[[], Organisation]) -> Mailer:
    """Return what queues the mails of ours that a process makes."""
    from relay.actions.mailer import Mailer
    from relay.keystore.public import SpoolPublicFile
    from relay.message.texts import MailTexts

    return Mailer(
        tenant=settings.host.tenant,
        hostname=settings.host.hostname,
        actor=process_actor(settings, process),
        clock=make_clock(settings),
        texts=MailTexts(),
        spool_public=SpoolPublicFile(settings.keys.public_file).current,
        hop_for=make_hop_for(organisation),
    )


def process_actor(settings: Settings, process: str) -> Actor:
    """Return one of this node's processes as an actor."""
    return Actor("process", f"{settings.host.node}/{process}")
