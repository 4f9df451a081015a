"""What most commands begin with: settings, database, the actor at the terminal."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relay.core.ports import Actor
from relay.settings import Settings, find_settings_file, load_settings

if TYPE_CHECKING:
    from relay.store.base import Database


def read_settings(options: argparse.Namespace) -> Settings:
    """Find and read the settings. Raises ConfigurationError."""
    return load_settings(find_settings_file(options.config))


def terminal_actor() -> Actor:
    """Return who sits at the terminal: the login name, behind sudo the one who called it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return Actor("operator", name)


@contextmanager
def open_inside(options: argparse.Namespace) -> Iterator[tuple[Settings, Database]]:
    """Open settings and database for one command. Raises ConfigurationError, StorageError."""
    from relay.wiring import open_database

    settings = read_settings(options)
    # A chain of events of its own for each run of a command, since several may run at once.
    database = open_database(settings, f"cli-{os.getpid()}")
    try:
        yield settings, database
    finally:
        database.close()
