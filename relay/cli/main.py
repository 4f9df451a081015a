"""`letterlock`: the console script of the inside.

Each noun's module offers `add(subparsers)` and is imported only where its noun is called, so that a process loads what
it needs and nothing else: eight start at once. `letterlock --help` loads all.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from relay.cli.exits import EX_USAGE, run_command

_ROOMS = {
    "demo": ("demo",),
    "config": ("init", "config"),
    "processes": ("serve", "keyd", "smtpd", "worker", "deliver", "link", "scheduler"),
    "queue": ("queue",),
    "mail": ("trace",),
    "mailbox": ("mailbox",),
    "policy": ("policy",),
    "org": ("org",),
    "partner": ("partner",),
    "password": ("password",),
    "login": ("login",),
    "portal": ("portal",),
    "audit": ("audit",),
    "backup": ("backup", "restore"),
}
"""Which module adds which commands, in the order of the help."""


def _version() -> str:
    try:
        return version("letterlock")
    except PackageNotFoundError:
        return "unpackaged"


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the command that these arguments call, or of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="letterlock",
        description="Secure mail for people who have no certificate: the inside of the gateway.",
        epilog="Settings are found by --config, then $LETTERLOCK_CONFIG, then /etc/letterlock/letterlock.toml.",
    )
    parser.add_argument("--version", action="version", version=f"letterlock {_version()}")
    parser.add_argument("--config", metavar="FILE", help="settings file, or the folder that `init` made")
    nouns = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    called = [room for room, commands in _ROOMS.items() if set(commands) & set(arguments[:3])]
    for room in called or _ROOMS:
        importlib.import_module(f"relay.cli.{room}").add(nouns)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code."""
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        options = build_parser(given).parse_args(given)
    except SystemExit as stop:
        # argparse leaves with 2 on bad usage; sysexits.h calls that 64.
        return EX_USAGE if stop.code == 2 else int(stop.code or 0)
    return run_command(lambda: options.run(options))


def run() -> None:
    """Entry of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
