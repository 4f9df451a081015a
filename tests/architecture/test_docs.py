"""What the pages name exists: tests, modules, links, pictures, commands; every feature has its one row."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TESTS = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
# fmt: off
IDS = [
    "A1", "A2", "A4", "A5", "A6", "A7", "A9", "A10", "A11", "A12", "A13",
    "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B12", "B13", "B14", "B15",
    "C1", "C2", "C4", "C5", "C6", "C7", "C8", "C9/C11", "C10", "C12", "C13/C14", "C15", "C16", "C17", "C18", "C19",
    "C21", "C22",
    "D1", "D2", "D3", "D4", "D5", "D6/D7", "D8",
    "E1", "E2", "E3", "E4", "E5", "E6", "E7", "E9", "E10",
    "F1", "F2/F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "F13", "F14", "F15",
    "G1", "G2", "G3", "G4/G5", "G6", "G7", "G8", "G9", "G10", "G11", "G12", "G13", "G14", "G16", "G17", "G18",
    "L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "L11", "L12", "L13", "L14", "L15", "L16",
]
# fmt: on

_TEST_FILE = re.compile(r"(?:[\w-]+/)*test_\w+\.py")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:(?:relay|pdfmail|portal|tests|templates|static|docs)/)[\w./-]*\w/?|(?:[\w-]+/)*[\w-]+\.py")
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
FILES = [
    str(path.relative_to(ROOT))
    for top in ("relay", "pdfmail", "portal", "tests", "templates", "static", "docs")
    for path in (ROOT / top).rglob("*")
    if "__pycache__" not in path.parts
]


def read(page: Path) -> str:
    return page.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_test_files_exist(page: Path) -> None:
    named = set(_TEST_FILE.findall(read(page)))
    missing = {
        one
        for one in named
        if one.rpartition("/")[2] not in TESTS or not str(TESTS[one.rpartition("/")[2]]).endswith("/" + one)
    }
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_modules_and_folders_exist(page: Path) -> None:
    named = {code.rstrip("/") for code in _CODE.findall(read(page)) if _PATH.fullmatch(code)}
    # Tables name a module from its room on, and a second one of the room by its name alone.
    missing = {one for one in named if not any(("/" + file).endswith("/" + one) for file in FILES)}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(read(page)) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_feature_has_its_one_row() -> None:
    rows = re.findall(
        r"^\| ([A-Z]\d+(?:/[A-Z]\d+)?) \| [^|]+ \| ([^|]+) \| ([^|]*)\|$", read(ROOT / "docs/features.md"), re.M
    )
    assert Counter(row[0] for row in rows) == Counter(IDS)
    for name, state, proof in rows:
        assert state in ("works", "in part", "not yet"), name
        # What is said to work names who says so; what works in part also names what is missing or who does it.
        assert state == "not yet" or "`test_" in proof, name


def test_names_of_test_files_are_unique() -> None:
    # Pages name them without their folder.
    assert len(TESTS) == len(list((ROOT / "tests").rglob("test_*.py")))


def test_the_console_knows_every_command_that_pages_show() -> None:
    from relay.cli.main import build_parser

    parser = build_parser()
    known = _commands(parser)
    shown = set()
    for page in PAGES:
        for code in re.findall(
            r"`letterlock ([a-z]+(?: [a-z][a-z-]*)?)|^    +letterlock ([a-z]+(?: [a-z][a-z-]*)?)", read(page), re.M
        ):
            shown.add(next(text for text in code if text))
    assert shown
    unknown = {one for one in shown if one not in known and one.partition(" ")[0] not in known}
    assert unknown == set()
    # A noun with verbs is shown with one of them.
    wrong = {one for one in shown if " " in one and one not in known and _has_verbs(known, one.partition(" ")[0])}
    assert wrong == set()


def _has_verbs(known: set[str], noun: str) -> bool:
    return any(one.startswith(noun + " ") for one in known)


def _commands(parser: object, prefix: str = "") -> set[str]:
    import argparse

    assert isinstance(parser, argparse.ArgumentParser)
    found: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                found.add(prefix + name)
                found |= _commands(below, f"{prefix}{name} ")
    return found
