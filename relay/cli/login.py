"""`letterlock login`: who may submit mail with a password, and as whom (A11)."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from relay.cli.exits import EX_DATAERR, CommandError
from relay.cli.options import open_inside, terminal_actor

_SHORTEST = 12


def add(nouns: Any) -> None:
    """Add the commands."""
    login = nouns.add_parser("login", help="logins of the submission listener")
    verbs = login.add_subparsers(metavar="VERB", required=True)
    put = verbs.add_parser("put", help="add a login or change it; the password is asked for, or read from stdin")
    put.add_argument("name")
    put.add_argument(
        "--address", action="append", required=True, metavar="ADDRESS", help="may send as; repeat for more"
    )
    put.set_defaults(run=run_put)
    listing = verbs.add_parser("list", help="list logins and their addresses")
    listing.set_defaults(run=run_list)
    for verb, text in (("enable", "let a login in again"), ("disable", "refuse a login from now on")):
        parser = verbs.add_parser(verb, help=text)
        parser.add_argument("name")
        parser.set_defaults(run=run_switch, enabled=verb == "enable")


def run_put(options: argparse.Namespace) -> int:
    """Add or change a login."""
    from argon2 import PasswordHasher

    from relay.core.address import normalise_address
    from relay.store.repositories.logins import StoredLogin, put_login

    addresses = tuple(normalise_address(one) for one in options.address)
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if len(password) < _SHORTEST:
        raise CommandError(f"the password needs {_SHORTEST} characters or more", EX_DATAERR)
    encoded = PasswordHasher().hash(password)
    with open_inside(options) as (settings, database), database.transaction() as tx:
        login = StoredLogin(settings.host.tenant, options.name, encoded, addresses, enabled=True)
        put_login(tx, login, terminal_actor())
    sys.stdout.write(f"{options.name} may send as {', '.join(addresses)}\n")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Print all logins."""
    from relay.store.repositories.logins import list_logins

    with open_inside(options) as (settings, database), database.reading() as tx:
        for one in list_logins(tx, settings.host.tenant):
            state = "" if one.enabled else "  disabled"
            sys.stdout.write(f"{one.name}  {', '.join(one.addresses)}{state}\n")
    return 0


def run_switch(options: argparse.Namespace) -> int:
    """Switch a login on or off."""
    from relay.store.repositories.logins import enable_login

    with open_inside(options) as (settings, database), database.transaction() as tx:
        enable_login(tx, settings.host.tenant, options.name, terminal_actor(), enabled=options.enabled)
    sys.stdout.write(f"{options.name}: {'enabled' if options.enabled else 'disabled'}\n")
    return 0
