"""Parts of deliver."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from relay.core.documents.organisation import Organisation
from relay.core.errors import ConfigurationError
from relay.delivery.attempt import Attempt
from relay.delivery.connections import ConnectionCache
from relay.delivery.deliver import DeliveryRun
from relay.delivery.main import Deliverer, LoopSettings
from relay.delivery.reports import DsnReports
from relay.delivery.route import MailerTable
from relay.delivery.settler import Settler
from relay.delivery.smtp import SessionOpener
from relay.keystore.public import SpoolPublicFile
from relay.organisation import CurrentOrganisation, make_is_own
from relay.process.health import HealthSocket
from relay.process.life import note_start, say_ready
from relay.process.wake import WakeReceiver
from relay.settings import Settings
from relay.wiring import make_hop_for, open_database, open_keystore, process_actor


def run_deliver(settings: Settings, stop: threading.Event) -> None:
    """Run deliver until stopped."""
    actor = process_actor(settings, "deliver")
    database = open_database(settings, "deliver")
    keystore = open_keystore(settings, "deliver")
    organisation = CurrentOrganisation(database, settings.host.tenant)
    table = make_table(settings, organisation)
    table()
    connections = ConnectionCache(SessionOpener(settings.host.hostname))
    reports = DsnReports(
        database,
        keystore,
        settings.host.hostname,
        actor,
        make_hop_for(organisation),
        is_own=make_is_own(organisation),
    )
    deliverer = Deliverer(
        database=database,
        attempt=Attempt(database, keystore, DeliveryRun(table, connections), actor),
        settler=Settler(database, reports, SpoolPublicFile(settings.keys.public_file).current, actor),
        connections=connections,
        table=table,
        owner=str(actor),
        settings=LoopSettings(threads=settings.deliver.connections, host_fell=note_start(settings.run_dir, "deliver")),
    )
    wake = WakeReceiver(settings.run_dir, "deliver")
    health = HealthSocket(settings.run_dir, "deliver", deliverer.report)
    say_ready()
    try:
        deliverer.run(stop, wake)
    finally:
        health.close()
        wake.close()
        database.close()


def read_route_secret(settings: Settings, name: str) -> str:
    """Return the password in a secret file that a route names. Raises ConfigurationError."""
    path = settings.path.parent / "secrets" / name
    try:
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not text"
        raise ConfigurationError(
            f"routes.auth.secret {name}", f"{path} cannot be read ({why})", "Create it with mode 0600"
        ) from error
    if not secret:
        raise ConfigurationError(f"routes.auth.secret {name}", f"{path} is empty", "Write the password into it")
    return secret


def route_ca_path(settings: Settings, name: str) -> Path:
    """Return the path of a trust file that a route names. While it cannot be used, mail for the hop waits."""
    return settings.path.parent / "tls" / name


def check_route_ca(settings: Settings, name: str) -> None:
    """Read a trust file that a route names. Raises ConfigurationError when nothing can be trusted by it."""
    path = route_ca_path(settings, name)
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"routes.ca {name}", f"{path} is no file of certificates that can be read", "Put certificates there, PEM"
        ) from error


def make_table(settings: Settings, organisation: Callable[[], Organisation]) -> Callable[[], MailerTable]:
    """Return the function that gives the mailer table of now; made anew when the routes change."""
    made: list[tuple[object, MailerTable]] = []
    lock = threading.Lock()

    def table() -> MailerTable:
        routes = organisation().routes
        with lock:
            if not made or made[0][0] is not routes:
                read_secret, find_ca = partial(read_route_secret, settings), partial(route_ca_path, settings)
                made[:] = [(routes, MailerTable(routes, read_secret, find_ca))]
            return made[0][1]

    return table
