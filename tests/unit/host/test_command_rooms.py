"""The command line loads what is called, and nothing else."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

import pytest

from relay.cli.main import _ROOMS, build_parser


@pytest.mark.parametrize("room", _ROOMS)
def test_each_module_adds_the_commands_that_the_table_names(room: str) -> None:
    nouns = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"relay.cli.{room}").add(nouns)
    assert tuple(nouns.choices) == _ROOMS[room]


def test_every_command_is_found_alone_and_in_the_help() -> None:
    whole = build_parser().format_help()
    for commands in _ROOMS.values():
        for command in commands:
            assert f"    {command} " in whole
            with pytest.raises(SystemExit) as stop:
                build_parser(["--config", "x", command]).parse_args(["--config", "x", command, "--help"])
            assert stop.value.code == 0


def test_a_process_loads_neither_other_commands_nor_a_driver_that_it_does_not_use() -> None:
    code = (
        "import sys; from relay.cli.main import build_parser; build_parser(['worker']).parse_args(['worker']);"
        "from relay.wiring import open_database;"
        "bad = {'relay.cli.installation', 'relay.cli.portal', 'alembic', 'psycopg'};"
        "print(sorted(bad & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
