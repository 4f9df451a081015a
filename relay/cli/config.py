"""`letterlock init`, `letterlock config check`."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.cli.exits import EX_CONFIG, EX_TEMPFAIL, CommandError, complain
from relay.cli.options import read_settings, terminal_actor
from relay.core.errors import ConfigurationError, LetterlockError

if TYPE_CHECKING:
    from relay.core.documents.organisation import Organisation
    from relay.settings import Settings
    from relay.smtpd.config import ListenerConfig


def add(nouns: Any) -> None:
    """Add the commands."""
    init = nouns.add_parser("init", help="write a complete, working installation into a new folder")
    init.add_argument("directory", type=Path)
    init.add_argument("--domain", default="bank.example", help="the organisation's mail domain")
    init.add_argument("--name", default="Example Bank", help="the organisation's name as partners read it")
    init.add_argument("--hostname", default=None, help="this gateway's host name (default: gateway.DOMAIN)")
    init.add_argument("--inside-hop", metavar="HOST:PORT", help="where mail to the inside goes")
    init.add_argument("--outside-hop", metavar="HOST:PORT", help="where mail to the outside goes, mostly a Postfix")
    init.add_argument("--health-port", type=int, default=2580)
    init.add_argument("--database", metavar="URL", help="postgresql://user@host/name instead of SQLite")
    init.set_defaults(run=run_init)
    config = nouns.add_parser("config", help="look at the settings of this host")
    verbs = config.add_subparsers(metavar="VERB", required=True)
    check = verbs.add_parser("check", help="check settings, token, certificates, database and documents")
    check.set_defaults(run=run_check)
    migrate = verbs.add_parser("upgrade", help="bring the database to this version's schema (before `serve`)")
    migrate.set_defaults(run=run_upgrade)


def _hop(text: str | None, key: str) -> tuple[str, int] | None:
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise CommandError(f"--{key} must be HOST:PORT, for instance mail.bank.example:25")
    return host, int(port)


def run_init(options: argparse.Namespace) -> int:
    """Write the installation and say what to do next."""
    from relay.cli.installation import HostChoices, create_installation
    from relay.core.documents.routes import HopSide, RoutesDocument
    from relay.core.documents.shipped import shipped_organisation

    organisation = shipped_organisation(options.domain, options.name)
    inside, outside = _hop(options.inside_hop, "inside-hop"), _hop(options.outside_hop, "outside-hop")
    routes = []
    for route in organisation.routes.routes:
        target = inside if route.hop is HopSide.INSIDE else outside
        routes.append(replace(route, host=target[0], port=target[1]) if target else route)
    organisation = replace(organisation, routes=RoutesDocument(tuple(routes)))
    choices = HostChoices(
        options.hostname or f"gateway.{options.domain}",
        options.health_port,
        self_signed=True,
        database_url=options.database,
    )
    settings = create_installation(options.directory, choices, organisation, terminal_actor())
    sys.stdout.write(
        f"Written: {settings.path}\n"
        f"Check it:            letterlock --config {options.directory} config check\n"
        f"Run it:              letterlock --config {options.directory} serve\n"
        f"Listeners, routes:   letterlock --config {options.directory} org show listeners | routes\n"
        f"Keep {settings.keys.pin_file} and {settings.keys.directory} safe: whoever has both opens stored passwords.\n"
    )
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Check everything that can be checked without starting; every problem is one line with its fix.

    Changes nothing, and may run beside the gateway: the token is opened without its lock.
    """
    from relay.keystore.opening import check_token
    from relay.wiring import make_clock

    settings = read_settings(options)
    problems = _Problems()
    keys = settings.keys
    problems.look(lambda: check_token(keys.directory, keys.pin_file, keys.public_file, make_clock(settings)))
    listening: list[str] = []
    problems.look(lambda: listening.extend(_check_documents(settings, problems)))
    if settings.portal is not None and settings.portal.link is not None:
        problems.look(lambda: _check_link(settings))
    if problems.exit_code:
        return problems.exit_code
    sys.stdout.write(
        f"{settings.path}: good. Token: good. Database: good. Documents: good. Listeners: {', '.join(listening)}\n"
    )
    return 0


class _Problems:
    """Goes on after an error, so that one run shows all that is wrong."""

    def __init__(self) -> None:
        self.exit_code = 0

    def look(self, check: Callable[[], object]) -> None:
        """Run a check and write its error, which names key and fix."""
        try:
            check()
        except LetterlockError as error:
            complain(f"{error}" if str(error) else error.public)
            # One that only the operator can mend counts more than one that may pass.
            worse = EX_CONFIG if isinstance(error, ConfigurationError) else EX_TEMPFAIL
            self.exit_code = max(self.exit_code, worse)


def _check_documents(settings: Settings, problems: _Problems) -> list[str]:
    """Check database, documents and what they need of this host; return the listeners."""
    from relay.organisation import CurrentOrganisation
    from relay.policy.lint import lint_organisation, render_findings
    from relay.wiring import open_database
    from relay.wiring.intake import make_smtpd_config

    database = open_database(settings, "config-check")
    try:
        organisation = CurrentOrganisation(database, settings.host.tenant)()
    finally:
        database.close()
    config = make_smtpd_config(settings, organisation)
    problems.look(lambda: _check_certificate(settings, config.listeners[0]))
    _check_routes(settings, organisation, problems)
    findings = lint_organisation(organisation)
    if findings:
        sys.stdout.write(render_findings(findings) + "\n")
    return [f"{one.name} {one.host}:{one.port}" for one in config.listeners]


def _check_certificate(settings: Settings, listener: ListenerConfig) -> None:
    from relay.smtpd.server import make_tls_context

    if settings.tls is None:
        return
    try:
        # All listeners have the same one.
        make_tls_context(replace(listener, starttls=(settings.tls.certificate, settings.tls.key)))
    except ConfigurationError as error:
        raise ConfigurationError("tls.certificate", error.problem, error.fix) from error


def _check_routes(settings: Settings, organisation: Organisation, problems: _Problems) -> None:
    from relay.wiring.deliver import check_route_ca, read_route_secret

    for route in organisation.routes.routes:
        try:
            socket.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
        except OSError:
            sys.stdout.write(f"warning: routes: {route.host} has no address now; mail for {route.pattern} would wait\n")
    names = {route.auth.secret for route in organisation.routes.routes if route.auth is not None}
    for name in sorted(names):
        problems.look(partial(read_route_secret, settings, name))
    for name in sorted({route.ca for route in organisation.routes.routes if route.ca}):
        problems.look(partial(check_route_ca, settings, name))


def _check_link(settings: Settings) -> None:
    from relay.link.client import PortalLink
    from relay.wiring.link import make_link_settings

    # Builds the TLS context and reads the pinned certificate; connects to nobody.
    PortalLink(make_link_settings(settings)).close()


def run_upgrade(options: argparse.Namespace) -> int:
    """Run the migrations."""
    from relay.store.migrate import upgrade

    settings = read_settings(options)
    upgrade(settings.database_url)
    sys.stdout.write("The database has this version's schema.\n")
    return 0
