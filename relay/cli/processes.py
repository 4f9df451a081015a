"""`letterlock serve` and the single processes behind it."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from typing import Any

from relay.cli.exits import complain
from relay.cli.options import read_settings
from relay.log import configure_logging
from relay.process.life import die_with_parent, forget_starts, say_ready, stop_on_signals
from relay.settings import Settings

INSIDE = ("keyd", "smtpd", "worker", "deliver", "link", "scheduler")
"""In the order of start; they stop in the reverse one, so intake and delivery end before keyd."""


def inside_processes(settings: Settings) -> tuple[str, ...]:
    """Return the processes of this host: `link` runs where a portal is linked."""
    is_linked = settings.portal is not None and settings.portal.link is not None
    return tuple(name for name in INSIDE if name != "link" or is_linked)


def add(nouns: Any) -> None:
    """Add the commands."""
    serve = nouns.add_parser("serve", help="run all processes of the inside on this host")
    serve.set_defaults(run=run_serve)
    for name, run in _PROCESSES.items():
        parser = nouns.add_parser(name, help=f"run the process {name} alone (a unit of its own in production)")
        if run is not None:
            parser.set_defaults(run=functools.partial(_run_process, name, run))
        else:
            # Only smtpd itself uses these, for the processes that share its sockets.
            parser.add_argument("--slot", help=argparse.SUPPRESS)
            parser.add_argument("--socket", action="append", default=[], help=argparse.SUPPRESS)
            parser.set_defaults(run=_run_smtpd)


def _run_process(name: str, run: Callable[[Settings], None], options: argparse.Namespace) -> int:
    die_with_parent()
    settings = read_settings(options)
    configure_logging(name, settings.log_level)
    run(settings)
    return 0


def _run_keyd(settings: Settings) -> None:
    from relay.keystore.daemon import run_keyd
    from relay.process.health import HealthSocket
    from relay.wiring import make_clock
    from relay.wiring.keyd import make_keyd_config

    stop = stop_on_signals()
    config = make_keyd_config(settings)
    health = HealthSocket(settings.run_dir, "keyd", lambda: {"status": "ok"})
    try:
        run_keyd(config, make_clock(settings), stop, say_ready)
    finally:
        health.close()


def _run_smtpd(options: argparse.Namespace) -> int:
    die_with_parent()
    settings = read_settings(options)
    if options.slot is not None:
        from relay.wiring.intake import Share, run_intake

        share = Share.from_options(options.slot, options.socket)
        configure_logging(share.process, settings.log_level)
        run_intake(settings, share)
        return 0
    configure_logging("smtpd", settings.log_level)
    if settings.smtpd.processes > 1:
        from relay.wiring.intake_group import run_intake_group

        return run_intake_group(settings)
    from relay.wiring.intake import run_intake

    run_intake(settings)
    return 0


def _run_worker(settings: Settings) -> None:
    from relay.wiring import open_database
    from relay.worker.main import run_worker

    stop = stop_on_signals()
    database = open_database(settings, "worker")
    try:
        run_worker(settings, database, stop)
    finally:
        database.close()


def _run_deliver(settings: Settings) -> None:
    from relay.wiring.deliver import run_deliver

    run_deliver(settings, stop_on_signals())


def _run_link(settings: Settings) -> None:
    from relay.wiring.link import run_link

    run_link(settings, stop_on_signals())


def _run_scheduler(settings: Settings) -> None:
    from relay.wiring.timed import run_timed_jobs

    run_timed_jobs(settings, stop_on_signals())


_PROCESSES: dict[str, Callable[[Settings], None] | None] = {
    "keyd": _run_keyd,
    "smtpd": None,
    "worker": _run_worker,
    "deliver": _run_deliver,
    "link": _run_link,
    "scheduler": _run_scheduler,
}


def run_serve(options: argparse.Namespace) -> int:
    """Run all processes under one supervisor until SIGTERM or SIGINT."""
    die_with_parent()
    settings = read_settings(options)
    configure_logging("serve", settings.log_level)
    return supervise(settings)


def supervise(settings: Settings) -> int:
    """Start, watch and stop the inside's processes; return the exit code."""
    from relay.process.health import HealthPage, gather_health
    from relay.process.supervisor import ProcessSpec, StartError, Supervisor

    stop = stop_on_signals()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    forget_starts(settings.run_dir)
    command = (sys.executable, "-m", "relay.cli.main", "--config", str(settings.path))
    names = inside_processes(settings)
    supervisor = Supervisor([ProcessSpec(name, (*command, name)) for name in names])
    page = None
    try:
        if settings.health.port:
            page = _open_health_page(settings, lambda: gather_health(settings.run_dir, names), HealthPage)
        supervisor.start()
    except StartError as error:
        complain(f"{error.name} could not start; its own words stand above. Nothing is running now")
        return error.exit_code
    say_ready()
    try:
        return supervisor.run(stop)
    finally:
        if page is not None:
            page.close()


def _open_health_page(settings: Settings, report: Callable[[], dict[str, Any]], page: Callable[..., Any]) -> Any:
    from relay.core.errors import ConfigurationError

    try:
        return page(settings.health.host, settings.health.port, report)
    except OSError as error:
        raise ConfigurationError(
            "health.port", f"port {settings.health.port} is taken ({error.strerror})", "Stop what uses it, or change it"
        ) from error
