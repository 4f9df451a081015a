"""The house itself: locks that fit, a set-up that says what is missing, nothing foreign and no machine's paths."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^([a-z0-9._-]+)==([^ ;]+)(?: ; [^\\]+)? \\$", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9._-]+")


def tracked() -> list[str]:
    # A build server's checkout may belong to another user than the tests: git must read it all the same.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def locked(name: str) -> dict[str, str]:
    return dict(LINE.findall((ROOT / name).read_text("utf-8")))


def wanted(*groups: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][group] for group in groups)]
    names = (NAME.match(line) for lines in lists for line in lines)
    return {found.group().lower().replace("_", "-") for found in names if found}


def test_the_locks_hold_what_the_project_asks_for() -> None:
    running, testing = locked("requirements.txt"), locked("requirements-dev.txt")
    assert wanted("build") - running.keys() == set()
    assert wanted("build", "dev") - testing.keys() == set()
    assert {name: testing.get(name) for name in running} == running


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_locks_have_hashes_and_name_no_registry(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(locked(name))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert re.findall(r"://|index-url|find-links|/opt/|file:", text) == []


def test_nothing_foreign_is_committed() -> None:
    foreign = {".ttf", ".otf", ".woff", ".woff2", ".whl", ".so", ".jar", ".exe", ".deb", ".min.js", ".pyc"}
    assert [name for name in tracked() if any(name.endswith(end) for end in foreign)] == []
    assert [name for name in tracked() if "node_modules" in name or "vendor/" in name] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [name for name in tracked() if name.endswith(".py") and empty & set(re.split(r"[/.]", name))] == []


def test_no_file_names_a_developers_machine() -> None:
    machine = re.compile(rb"/(?:home|Users)/[a-z]|/work/(?:main|shared)|/root/\w|/opt/(?:wheels|pypi)")
    found = [
        name
        for name in tracked()
        if name != "tests/architecture/test_house.py" and machine.search((ROOT / name).read_bytes())
    ]
    assert found == []


def test_make_help_names_every_target() -> None:
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout
    for target in ("help", "setup", "run", "test", "check", "test-long", "bench", "clean"):
        assert re.search(rf"^  make {target}\s+\S", shown, re.MULTILINE), target


class TestSetup:
    """.ci/setup with stand-ins for the system's programs; that it works for real is proved in a bare Debian root."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci/setup", tmp_path / ".ci/setup")
        for name in (
            "requirements.txt",
            "requirements-dev.txt",
            "pyproject.toml",
            "setup.py",
            "package-lock.json",
            ".npmrc",
        ):
            shutil.copy(ROOT / name, tmp_path / name)
        bundle = tmp_path / ".ci/bundle"
        bundle.write_text('#!/bin/sh\n[ "$1" != --check ] || exec test -e bundled\ntouch bundled\n')
        bundle.chmod(0o755)
        (tmp_path / "bin").mkdir()
        self.stand_in(tmp_path, "apt-get", "exit 99")
        self.stand_in(tmp_path, "dpkg-query", "printf 'install ok installed'")
        self.stand_in(tmp_path, "id", "echo 1000")
        return tmp_path

    @staticmethod
    def stand_in(place: Path, name: str, body: str) -> None:
        path = place / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @staticmethod
    def run(place: Path, level: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(place / ".ci/setup"), level],
            # PYTHON: with the system's own, which is asked for by its full path, no stand-in could be tried.
            env={"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "PYTHON": "python3"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @pytest.mark.parametrize(("level", "package"), [("run", "libpango-1.0-0"), ("test", "poppler-utils")])
    def test_a_missing_package_is_one_line_with_the_fix(self, place: Path, level: str, package: str) -> None:
        self.stand_in(place, "dpkg-query", f'[ "$3" = {package} ] || printf "install ok installed"')
        found = self.run(place, level)
        assert found.returncode == 1
        assert found.stderr == (
            f"Missing system packages. Run: sudo apt-get install -y --no-install-recommends {package}\n"
        )
        assert not (place / ".venv").exists()

    def test_running_needs_fewer_packages_than_testing(self, place: Path) -> None:
        self.stand_in(place, "dpkg-query", "exit 1")
        asked = {level: set(self.run(place, level).stderr.split()) for level in ("run", "test")}
        assert asked["run"] < asked["test"]
        assert {"postgresql", "postfix", "swaks", "qpdf"} <= asked["test"] - asked["run"]

    def test_an_old_python_is_one_line_with_the_fix(self, place: Path) -> None:
        for name in ("python3", "python3.11", "python3.12", "python3.13"):
            self.stand_in(place, name, "exit 1")
        found = self.run(place, "run")
        assert found.returncode == 1
        assert found.stderr.startswith("Python 3.11 or newer is needed.")
        assert len(found.stderr.splitlines()) == 1

    def test_what_is_done_is_not_done_again(self, place: Path) -> None:
        scripts = place / ".venv/bin"
        scripts.mkdir(parents=True)
        self.stand_in(place, "pip-was-called", "exit 0")
        (scripts / "python").write_text(f'#!/bin/sh\n[ "$1" = -m ] && touch {place}/called\nexit 0\n')
        (scripts / "python").chmod(0o755)
        (scripts / "npm").write_text(f'#!/bin/sh\necho "$@" >>{place}/npm-was-called\nmkdir -p node_modules\n')
        (scripts / "npm").chmod(0o755)
        assert self.run(place, "test").returncode == 0
        assert (place / "called").exists()
        assert (place / "bundled").exists()
        (place / "called").unlink()
        for level in ("test", "run"):
            again = self.run(place, level)
            assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
        assert not (place / "called").exists()
        assert (place / "npm-was-called").read_text() == "ci --silent\n"
        (place / "requirements.txt").write_text("changed")
        assert self.run(place, "run").returncode == 0
        assert (place / "called").exists()

    def test_running_needs_no_npm_package_of_the_tests(self, place: Path) -> None:
        scripts = place / ".venv/bin"
        scripts.mkdir(parents=True)
        for name in ("python", "npm"):
            (scripts / name).write_text(
                f'#!/bin/sh\n[ {name} = python ] || echo "$@" >>{place}/npm\nmkdir -p node_modules\n'
            )
            (scripts / name).chmod(0o755)
        for level in ("run", "test"):
            assert self.run(place, level).returncode == 0
        assert (place / "npm").read_text() == "ci --silent --omit=dev --omit=optional\nci --silent\n"

    def test_another_level_is_refused(self, place: Path) -> None:
        assert self.run(place, "all").returncode == 64
