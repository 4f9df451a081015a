"""`letterlock`: the console script of the inside.

Each noun's module offers `add(subparsers)` and is imported when its parser is built; heavy imports stay inside the
commands, so that `letterlock --help` is quick and exposed processes load only what they need.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from relay.cli import (
    audit,
    backup,
    config,
    demo,
    login,
    mail,
    mailbox,
    org,
    partner,
    password,
    policy,
    portal,
    processes,
    queue,
)
from relay.cli.exits import EX_USAGE, run_command


def _version() -> str:
    try:
        return version("letterlock")
    except PackageNotFoundError:
        return "unpackaged"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="letterlock",
        description="Secure mail for people who have no certificate: the inside of the gateway.",
        epilog="Settings are found by --config, then $LETTERLOCK_CONFIG, then /etc/letterlock/letterlock.toml.",
    )
    parser.add_argument("--version", action="version", version=f"letterlock {_version()}")
    parser.add_argument("--config", metavar="FILE", help="settings file, or the folder that `init` made")
    nouns = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for noun in (
        demo,
        config,
        processes,
        queue,
        mail,
        mailbox,
        policy,
        org,
        partner,
        password,
        login,
        portal,
        audit,
        backup,
    ):
        noun.add(nouns)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and return the exit code."""
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as stop:
        # argparse leaves with 2 on bad usage; sysexits.h calls that 64.
        return EX_USAGE if stop.code == 2 else int(stop.code or 0)
    return run_command(lambda: options.run(options))


def run() -> None:
    """Entry of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
