"""The wheel holds all that the program needs: it is built, installed beside the checkout, and asked to work."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked(*patterns: str) -> list[str]:
    # A build server's checkout may belong to another user than the tests: git must read it all the same.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def bundled() -> list[str]:
    """The portal's scripts as .ci/bundle makes them."""
    found = [str(path.relative_to(ROOT)) for path in (ROOT / "static/portal/dist").glob("*.*")]
    assert any(name.endswith("manifest.json") for name in found), "run .ci/bundle"
    return [name for name in found if not Path(name).name.startswith(".")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # Built from a copy of what git does not ignore: no left-over of a build helps, and nothing stays in the checkout.
    # The bundled scripts are the one thing made at set-up.
    for name in [*tracked(), *bundled()]:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(folder),
            str(source),
        ],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    (found,) = folder.glob("letterlock-*.whl")
    return found


def test_the_wheel_holds_templates_static_files_and_the_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in (("templates", "letterlock_templates"), ("static", "letterlock_static")):
        wanted = {f"{package}/{name.partition('/')[2]}" for name in tracked(folder)}
        assert wanted
        assert wanted - names == set()
    assert {f"letterlock_static/{name.partition('/')[2]}" for name in bundled()} - names == set()
    assert set(tracked("relay/*.py", "pdfmail/*.py")) - names == set()
    assert any(name.endswith("/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} <= {
        "relay",
        "pdfmail",
        "portal",
        "letterlock_templates",
        "letterlock_static",
    }


def test_the_program_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            # -P and an own path: neither the working directory nor an editable install may lend a file.
            [sys.executable, "-P", "-c", PROGRAM, str(ROOT), *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(site), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=100,
        )

    where = run("where")
    assert where.returncode == 0, where.stderr
    assert [Path(line).is_relative_to(site) for line in where.stdout.splitlines()] == [True, True, True]
    made = run("init", str(tmp_path / "host"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "host/letterlock.toml").read_text()
    checked = run("--config", str(tmp_path / "host"), "config", "check")
    assert checked.returncode == 0, checked.stderr


PROGRAM = """
import sys
root = sys.argv.pop(1)
sys.path[:] = [entry for entry in sys.path if not entry.startswith(root) or "site-packages" in entry]
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
if sys.argv[1] == "where":
    import relay.core.resources as resources
    print(resources.__file__, resources.templates_folder(), resources.static_folder(), sep="\\n")
else:
    from relay.cli.main import main
    sys.exit(main(sys.argv[1:]))
"""
