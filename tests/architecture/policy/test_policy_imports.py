"""Deciding is pure: importing it loads no socket, no database and no web framework, and nothing there asks a clock."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import relay.policy

ROOM = Path(relay.policy.__file__).parent
FORBIDDEN = {"socket", "ssl", "asyncio", "sqlite3", "sqlalchemy", "psycopg", "aiosmtpd", "flask", "subprocess", "os"}
CLOCKS = {"time", "datetime", "random", "secrets", "uuid"}
MODULES = sorted(ROOM.rglob("*.py"))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_of_the_room_imports_io_or_a_clock(path: Path) -> None:
    names = {name.partition(".")[0] for name in imported(path)}
    assert names.isdisjoint(FORBIDDEN | CLOCKS)
    ours = {".".join(name.split(".")[:2]) for name in imported(path) if name.startswith("relay")}
    assert ours <= {"relay.core", "relay.message", "relay.policy"}


def test_the_room_was_found() -> None:
    assert {"decide.py", "ruleset.py", "sender.py"} <= {path.name for path in MODULES}


def test_deciding_loads_no_socket_and_no_database() -> None:
    code = (
        "import sys, relay.policy.decide, relay.policy.explain, relay.policy.lint, relay.policy.rules.reader\n"
        "bad = {'socket', '_socket', 'ssl', 'sqlite3', 'sqlalchemy', 'psycopg', 'asyncio', 'aiosmtpd', 'flask'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOM.parents[1])
    assert done.stdout.strip() == "[]"
